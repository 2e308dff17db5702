import type { CancelTimer, Clock, Timers } from "./clock.ts";

/** From here on a timer may be late by {@link SWEEP_MS}. */
const LONG_MS = 5_000;
const SWEEP_MS = 1_000;

interface LongTimer {
  readonly dueMs: number;
  run: () => void;
}

/**
 * Timers of which the long ones cost nearly nothing: one real timer looks after all of them once a second. A
 * busy door sets thousands in a second, for limits of minutes and hours, and nearly none of them ever runs.
 */
export class CoarseTimers implements Timers {
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #long = new Set<LongTimer>();
  #cancelSweep: CancelTimer | undefined;

  constructor(options: { readonly clock: Clock; readonly timers: Timers }) {
    this.#clock = options.clock;
    this.#timers = options.timers;
  }

  after(delayMs: number, run: () => void): CancelTimer {
    if (delayMs < LONG_MS) return this.#timers.after(delayMs, run);
    const timer: LongTimer = { dueMs: this.#clock.nowMs() + delayMs, run };
    this.#long.add(timer);
    this.#cancelSweep ??= this.#timers.after(SWEEP_MS, () => this.#sweep());
    return () => this.#cancel(timer);
  }

  #cancel(timer: LongTimer): void {
    // It may be due already, and only wait for its turn.
    timer.run = () => {};
    if (!this.#long.delete(timer) || this.#long.size > 0) return;
    this.#cancelSweep?.();
    this.#cancelSweep = undefined;
  }

  #sweep(): void {
    const nowMs = this.#clock.nowMs();
    const due = [...this.#long].filter((timer) => timer.dueMs <= nowMs);
    for (const timer of due) this.#long.delete(timer);
    this.#cancelSweep = this.#long.size === 0
      ? undefined
      : this.#timers.after(SWEEP_MS, () => this.#sweep());
    // Each in a turn of its own: what one throws must not stop the others.
    for (const timer of due) this.#timers.after(0, () => timer.run());
  }
}
