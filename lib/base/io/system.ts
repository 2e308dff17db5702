import type { Clock, Timers } from "../clock.ts";
import { CoarseTimers } from "../coarse_timers.ts";
import type { Rng, SecretSource } from "../rng.ts";

/** The real clock. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
};

/** The real timers. */
export const systemTimers: Timers = new CoarseTimers({
  clock: systemClock,
  timers: {
    after(delayMs, run) {
      const id = setTimeout(run, delayMs);
      return () => clearTimeout(id);
    },
  },
});

/** Real chance; not for secrets. */
export const systemRng: Rng = { next: () => Math.random() };

/** Unpredictable bytes from the operating system. */
export const systemSecrets: SecretSource = {
  bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
};
