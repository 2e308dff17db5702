import type { CancelTimer, Clock, Timers } from "../base/clock.ts";
import { assertNever } from "../base/errors.ts";
import { formatMs } from "../base/units.ts";
import { type AdmissionEffect, type AdmissionLimits, AdmissionMachine } from "./admission.ts";
import { DoorError } from "./errors.ts";

/** The right to send one request to the engine. */
export interface Ticket {
  /** How long it had to wait. */
  readonly waitedMs: number;
  /** Gives the slot back; only the first call counts. */
  release(): void;
}

interface Waiter {
  resolve(ticket: Ticket): void;
  reject(error: unknown): void;
  /** Stops listening to the client's signal. */
  forget(): void;
}

interface Line {
  readonly machine: AdmissionMachine;
  readonly waiters: Map<number, Waiter>;
  cancelTimer: CancelTimer | undefined;
}

/** Lines kept for models without requests, for their service times; more are forgotten. */
const IDLE_LINES_MAX = 256;

/** Hands out tickets: one {@link AdmissionMachine} per model, and the waiting around it. */
export class AdmissionDesk {
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #limits: AdmissionLimits;
  readonly #lines = new Map<string, Line>();
  #lastId = 0;

  constructor(
    options: { readonly clock: Clock; readonly timers: Timers; readonly limits: AdmissionLimits },
  ) {
    this.#clock = options.clock;
    this.#timers = options.timers;
    this.#limits = options.limits;
  }

  /** How many requests wait, for all models. */
  get waitingCount(): number {
    let count = 0;
    for (const line of this.#lines.values()) count += line.machine.waitingCount;
    return count;
  }

  /** True when somebody who came now would not wait. */
  isFree(line: string, slots: number): boolean {
    const machine = this.#lines.get(line)?.machine;
    return machine === undefined || (machine.waitingCount === 0 && machine.runningCount < slots);
  }

  /**
   * Waits for a slot of the model.
   *
   * @param options.line where to wait; slots are counted apart for each line. @default {modelId}
   * @param options.isContinuation for the rest of an answer: before new requests. @default {false}
   * @param options.peer the node that asks, which may hold its share of the queue; undefined for callers of this node
   * @throws {DoorError} `queue_full`; `upstream_timeout` after the longest wait
   * @throws the signal's reason when it is aborted while waiting
   */
  acquire(
    modelId: string,
    options: {
      readonly slots: number;
      readonly signal: AbortSignal;
      readonly line?: string;
      readonly isContinuation?: boolean;
      readonly peer?: string | undefined;
    },
  ): Promise<Ticket> {
    const { slots, signal, isContinuation = false, peer } = options;
    const line = this.#lineOf(options.line ?? modelId);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const onAbort = () => {
        line.waiters.delete(id);
        this.#act(modelId, line, line.machine.handle({ kind: "leave", id }, this.#clock.nowMs()));
        reject(signal.reason);
      };
      const forget = () => signal.removeEventListener("abort", onAbort);
      line.waiters.set(id, { resolve, reject, forget });
      const nowMs = this.#clock.nowMs();
      this.#act(modelId, line, line.machine.handle({ kind: "slots", count: slots }, nowMs));
      const arrival = { kind: "arrive", id, isContinuation, peer } as const;
      this.#act(modelId, line, line.machine.handle(arrival, nowMs));
      if (line.waiters.has(id)) signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  #lineOf(name: string): Line {
    const known = this.#lines.get(name);
    if (known !== undefined) return known;
    if (this.#lines.size >= IDLE_LINES_MAX) this.#forgetIdle();
    const line: Line = {
      machine: new AdmissionMachine(this.#limits),
      waiters: new Map(),
      cancelTimer: undefined,
    };
    this.#lines.set(name, line);
    return line;
  }

  #act(modelId: string, line: Line, effects: readonly AdmissionEffect[]): void {
    for (const effect of effects) this.#settle(modelId, line, effect);
    this.#arm(modelId, line);
  }

  #settle(modelId: string, line: Line, effect: AdmissionEffect): void {
    const waiter = line.waiters.get(effect.id);
    line.waiters.delete(effect.id);
    waiter?.forget();
    switch (effect.kind) {
      case "start":
        waiter?.resolve(this.#ticketFor(modelId, line, effect));
        return;
      case "refuse":
        waiter?.reject(this.#refusal(modelId, effect));
        return;
      case "expire":
        waiter?.reject(
          new DoorError(
            "upstream_timeout",
            `Model "${modelId}" had no free slot for ${formatMs(effect.waitedMs)}`,
          ),
        );
        return;
      default:
        assertNever(effect);
    }
  }

  #refusal(
    modelId: string,
    { retryAfterS, placesMax }: Extract<AdmissionEffect, { kind: "refuse" }>,
  ): DoorError {
    const { queueMax } = this.#limits;
    const full = placesMax === queueMax
      ? `its queue of ${queueMax} is full`
      : `one peer may hold ${placesMax} of the ${queueMax} places in its queue, which this one does`;
    return new DoorError(
      "queue_full",
      `Model "${modelId}" is busy and ${full}: ask again in ${retryAfterS} s`,
      { param: "model", retryAfterS },
    );
  }

  #ticketFor(
    modelId: string,
    line: Line,
    start: { readonly id: number; readonly waitedMs: number },
  ): Ticket {
    const { id, waitedMs } = start;
    const release = () => {
      this.#act(modelId, line, line.machine.handle({ kind: "leave", id }, this.#clock.nowMs()));
    };
    return { waitedMs, release };
  }

  /** Keeps one timer per line, for the oldest waiter. */
  #arm(modelId: string, line: Line): void {
    const wakeAtMs = line.machine.wakeAtMs;
    if (wakeAtMs === undefined) {
      line.cancelTimer?.();
      line.cancelTimer = undefined;
      return;
    }
    if (line.cancelTimer !== undefined) return;
    line.cancelTimer = this.#timers.after(Math.max(0, wakeAtMs - this.#clock.nowMs()), () => {
      line.cancelTimer = undefined;
      this.#act(modelId, line, line.machine.handle({ kind: "tick" }, this.#clock.nowMs()));
    });
  }

  #forgetIdle(): void {
    for (const [name, { machine }] of this.#lines) {
      if (machine.runningCount === 0 && machine.waitingCount === 0) this.#lines.delete(name);
    }
  }
}
