/**
 * Time as an argument. Decisions never read a clock of their own: they are given one of these, so
 * that a test or a simulation can hand them any moment it likes.
 */
export interface Clock {
  /** Milliseconds since an arbitrary moment; never runs backwards. For durations. */
  nowMs(): number;
  /** Milliseconds since 1970-01-01 UTC; may jump. For dates that people or files see. */
  wallMs(): number;
}

/** Cancels a timer; calling it again, or after the timer ran, does nothing. */
export type CancelTimer = () => void;

/** Deferred work. The only way for code outside `io/` to let time pass. */
export interface Timers {
  /** Runs `run` once, `delayMs` milliseconds from now at the earliest. */
  after(delayMs: number, run: () => void): CancelTimer;
}
