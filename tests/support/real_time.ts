/** The real clock and the real timers as one thing, for what wants both. */
import type { Clock, Timers } from "~/base/clock.ts";
import { systemClock, systemTimers } from "~/base/io/system.ts";

export const realTime: Clock & Timers = {
  ...systemClock,
  after: (delayMs, run) => systemTimers.after(delayMs, run),
};
