import type { CancelTimer, Clock, Timers } from "~/base/clock.ts";

interface Pending {
  readonly atMs: number;
  readonly run: () => void;
}

/** A clock that stands still until told to move; timers run in the order of their due times. */
export class VirtualTime implements Clock, Timers {
  #nowMs: number;
  readonly #wallOffsetMs: number;
  #pending: Pending[] = [];

  constructor(options: { readonly startMs?: number; readonly wallStartMs?: number } = {}) {
    this.#nowMs = options.startMs ?? 0;
    this.#wallOffsetMs = (options.wallStartMs ?? 1_700_000_000_000) - this.#nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#nowMs + this.#wallOffsetMs;
  }

  after(delayMs: number, run: () => void): CancelTimer {
    const entry: Pending = { atMs: this.#nowMs + Math.max(0, delayMs), run };
    this.#pending.push(entry);
    return () => {
      this.#pending = this.#pending.filter((other) => other !== entry);
    };
  }

  /** How many timers wait. */
  get pendingCount(): number {
    return this.#pending.length;
  }

  /** When the next timer is due; undefined when none waits. */
  get nextMs(): number | undefined {
    return this.#nextUntil(Number.POSITIVE_INFINITY)?.atMs;
  }

  /** Moves time forward, running each timer at its moment, those that they add included. */
  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs;
    for (let next = this.#nextUntil(untilMs); next !== undefined; next = this.#nextUntil(untilMs)) {
      this.#pending = this.#pending.filter((other) => other !== next);
      this.#nowMs = next.atMs;
      next.run();
    }
    this.#nowMs = untilMs;
  }

  #nextUntil(untilMs: number): Pending | undefined {
    let first: Pending | undefined;
    // They are in their order, so of those due at once the first found is the first.
    for (const entry of this.#pending) {
      if (entry.atMs <= untilMs && (first === undefined || entry.atMs < first.atMs)) first = entry;
    }
    return first;
  }
}
