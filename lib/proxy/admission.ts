/**
 * Who may go to the engine now, who waits, and who is told to come back: one of these per model.
 *
 *   arrive --slot free--> running --leave--> (gone; the oldest waiter runs)
 *      |---- queue has room --> waiting --leave--> (gone)
 *      |                           '------ waited too long --> expired
 *      '---- queue is full --> refused, with the time after which it is worth asking again
 *
 * Holds in every state: at most `slots` run, at most `queueMax` wait, nobody waits while a slot is
 * free, waiters run in the order in which they came, and each id leaves once.
 *
 * The rest of an answer that broke off on another host goes first: its client reads already, and it has
 * waited once. As many of those may wait as of others, so that no new request pushes them out.
 *
 * One peer may hold half of the places of a queue: whatever it sends, others can still wait. Callers of this node itself
 * have no such limit.
 *
 * The engine has a queue of its own without a bound; it is never used, because only as many requests
 * are sent as it has slots.
 *
 * @module
 */
import { assertNever } from "../base/errors.ts";

/** What happens to a request. */
export type AdmissionInput =
  | {
    readonly kind: "arrive";
    readonly id: number;
    readonly isContinuation?: boolean;
    /** The peer that asks; undefined for callers of this node itself. */
    readonly peer?: string | undefined;
  }
  /** It is done, failed, or its client is gone; unknown ids are fine. */
  | { readonly kind: "leave"; readonly id: number }
  /** How many may run at once from now on; at least 1. */
  | { readonly kind: "slots"; readonly count: number }
  | { readonly kind: "tick" };

/** What follows from it. */
export type AdmissionEffect =
  | { readonly kind: "start"; readonly id: number; readonly waitedMs: number }
  | {
    readonly kind: "refuse";
    readonly id: number;
    readonly retryAfterS: number;
    /** Places that this caller may hold: all of the queue, or the share of a peer. */
    readonly placesMax: number;
  }
  | { readonly kind: "expire"; readonly id: number; readonly waitedMs: number };

/** The bounds of a queue. */
export interface AdmissionLimits {
  /** Most requests that wait. */
  readonly queueMax: number;
  /** Longest wait in the queue. */
  readonly waitMsMax: number;
}

/** Weight of the newest service time in the running mean: about the last ten count. */
const MEAN_WEIGHT = 0.2;
/** Service time assumed before one was measured: a short answer on a slow machine. */
const SERVICE_MS_UNKNOWN = 5_000;
/** Bounds of what is told to clients; longer than ten minutes is a guess about the far future. */
const RETRY_S_MIN = 1;
const RETRY_S_MAX = 600;

/** Part of the places that one peer may hold. */
const PEER_SHARE = 0.5;

interface Waiter {
  readonly sinceMs: number;
  readonly peer: string | undefined;
}

/** The most places of a queue that one peer may hold; at least one. */
function peerPlaces({ queueMax }: AdmissionLimits): number {
  return Math.max(1, Math.floor(queueMax * PEER_SHARE));
}

/** The rules above, without any waiting of its own. */
export class AdmissionMachine {
  readonly #limits: AdmissionLimits;
  #slots = 1;
  /** id -> when it started. */
  readonly #running = new Map<number, number>();
  /** Maps keep the order of arrival. */
  readonly #waiting = new Map<number, Waiter>();
  readonly #continuing = new Map<number, Waiter>();
  #meanMs: number | undefined;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  get runningCount(): number {
    return this.#running.size;
  }

  get waitingCount(): number {
    return this.#waiting.size + this.#continuing.size;
  }

  /** When `tick` is due: the moment at which the oldest waiter has waited too long. */
  get wakeAtMs(): number | undefined {
    let oldestMs = Infinity;
    for (const line of this.#lines()) {
      // The first of a line is its oldest.
      for (const { sinceMs } of line.values()) {
        oldestMs = Math.min(oldestMs, sinceMs);
        break;
      }
    }
    return oldestMs === Infinity ? undefined : oldestMs + this.#limits.waitMsMax;
  }

  handle(input: AdmissionInput, nowMs: number): AdmissionEffect[] {
    switch (input.kind) {
      case "arrive":
        return this.#arrive(input, nowMs);
      case "leave":
        return this.#leave(input.id, nowMs);
      case "slots":
        this.#slots = Math.max(1, input.count);
        return this.#startWaiters(nowMs);
      case "tick":
        return this.#expire(nowMs);
      default:
        return assertNever(input);
    }
  }

  #lines(): readonly Map<number, Waiter>[] {
    return [this.#continuing, this.#waiting];
  }

  #arrive(
    { id, isContinuation = false, peer }: Extract<AdmissionInput, { kind: "arrive" }>,
    nowMs: number,
  ): AdmissionEffect[] {
    const line = isContinuation ? this.#continuing : this.#waiting;
    if (this.#running.size < this.#slots) {
      this.#running.set(id, nowMs);
      return [{ kind: "start", id, waitedMs: 0 }];
    }
    const placesMax = this.#fullAt(line, peer);
    if (placesMax !== undefined) {
      return [{ kind: "refuse", id, retryAfterS: this.#retryAfterS(nowMs), placesMax }];
    }
    line.set(id, { sinceMs: nowMs, peer });
    return [];
  }

  /** How many places are taken that this caller may hold, when that is all of them. */
  #fullAt(line: ReadonlyMap<number, Waiter>, peer: string | undefined): number | undefined {
    const { queueMax } = this.#limits;
    if (line.size >= queueMax) return queueMax;
    if (peer === undefined) return undefined;
    const shareMax = peerPlaces(this.#limits);
    const held = [...line.values()].filter((waiter) => waiter.peer === peer).length;
    return held >= shareMax ? shareMax : undefined;
  }

  #leave(id: number, nowMs: number): AdmissionEffect[] {
    const startedMs = this.#running.get(id);
    if (startedMs === undefined) {
      for (const line of this.#lines()) line.delete(id);
      return [];
    }
    this.#running.delete(id);
    const tookMs = nowMs - startedMs;
    this.#meanMs = this.#meanMs === undefined
      ? tookMs
      : this.#meanMs + MEAN_WEIGHT * (tookMs - this.#meanMs);
    return this.#startWaiters(nowMs);
  }

  #startWaiters(nowMs: number): AdmissionEffect[] {
    const effects: AdmissionEffect[] = [];
    for (const line of this.#lines()) {
      for (const [id, { sinceMs }] of line) {
        if (this.#running.size >= this.#slots) return effects;
        line.delete(id);
        this.#running.set(id, nowMs);
        effects.push({ kind: "start", id, waitedMs: nowMs - sinceMs });
      }
    }
    return effects;
  }

  #expire(nowMs: number): AdmissionEffect[] {
    const effects: AdmissionEffect[] = [];
    for (const line of this.#lines()) {
      for (const [id, { sinceMs }] of line) {
        const waitedMs = nowMs - sinceMs;
        if (waitedMs < this.#limits.waitMsMax) break;
        line.delete(id);
        effects.push({ kind: "expire", id, waitedMs });
      }
    }
    return effects;
  }

  /**
   * When everybody who waits now will have started, as far as the last service times tell: slots come free in the order
   * in which those who run will be done, again and again.
   */
  #retryAfterS(nowMs: number): number {
    const meanMs = this.#meanMs ?? SERVICE_MS_UNKNOWN;
    const leftMs = [...this.#running.values()].map((startedMs) => {
      const ranMs = nowMs - startedMs;
      // Who takes longer than usual may take as long once more.
      return ranMs > meanMs ? meanMs : meanMs - ranMs;
    }).sort((a, b) => a - b);
    const others = Math.max(0, this.waitingCount - 1);
    const rounds = Math.floor(others / leftMs.length);
    const waitMs = (leftMs[others % leftMs.length] ?? 0) + rounds * meanMs;
    return Math.min(RETRY_S_MAX, Math.max(RETRY_S_MIN, Math.ceil(waitMs / 1000)));
  }
}
