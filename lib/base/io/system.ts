import type { Clock, Timers } from "../clock.ts";
import type { Rng, SecretSource } from "../rng.ts";

/** The real clock. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
};

/** From here on a timer may be late by {@link SWEEP_MS}, and costs nearly nothing. */
const LONG_MS = 30_000;
const SWEEP_MS = 1_000;

interface LongTimer {
  readonly dueMs: number;
  readonly run: () => void;
}

/** The limits of requests: thousands are set in a second, and nearly none ever runs. */
const longTimers = new Set<LongTimer>();
let sweep: ReturnType<typeof setTimeout> | undefined;

function sweepLongTimers(): void {
  const nowMs = performance.now();
  sweep = undefined;
  for (const timer of [...longTimers]) {
    if (timer.dueMs > nowMs || !longTimers.delete(timer)) continue;
    // In a turn of its own: what it throws must not stop the others.
    setTimeout(timer.run, 0);
  }
  if (longTimers.size > 0) sweep = setTimeout(sweepLongTimers, SWEEP_MS);
}

/** The real timers. */
export const systemTimers: Timers = {
  after(delayMs, run) {
    if (delayMs < LONG_MS) {
      const id = setTimeout(run, delayMs);
      return () => clearTimeout(id);
    }
    const timer: LongTimer = { dueMs: performance.now() + delayMs, run };
    longTimers.add(timer);
    sweep ??= setTimeout(sweepLongTimers, SWEEP_MS);
    return () => {
      if (!longTimers.delete(timer) || longTimers.size > 0) return;
      clearTimeout(sweep);
      sweep = undefined;
    };
  },
};

/** Real chance; not for secrets. */
export const systemRng: Rng = { next: () => Math.random() };

/** Unpredictable bytes from the operating system. */
export const systemSecrets: SecretSource = {
  bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
};
