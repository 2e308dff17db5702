/** The numbers of the supervision of an engine process. */
import type { BackoffLimits } from "../base/backoff.ts";

/** Limits and intervals, in milliseconds unless the name says otherwise. */
export interface SupervisorConfig {
  /** Between two looks at the health while it loads. */
  readonly loadProbeMs: number;
  /** Between two looks at the health of a server that is ready. */
  readonly readyProbeMs: number;
  /** Between two looks after one that failed: a hang should be told from a hiccup soon. */
  readonly retryProbeMs: number;
  /** Failed looks in a row after which a server that was ready counts as hung. */
  readonly healthFailuresMax: number;
  /** A load is given up after neither output nor a change of health for so long. */
  readonly stallMs: number;
  /** Between the polite signal and the one that cannot be ignored. */
  readonly stopGraceMs: number;
  /** Between two signals that cannot be ignored, while the system does not report the end. */
  readonly killAgainMs: number;
  /** Crashes within {@link crashWindowMs} from which on the longest wait is taken each time. */
  readonly crashesMax: number;
  readonly crashWindowMs: number;
  /** Crashes in a row before readiness after which nothing is tried any more. */
  readonly loadCrashesMax: number;
  /** Other ports that are tried at once when one turns out to be taken. */
  readonly portRetriesMax: number;
  readonly restartBackoff: BackoffLimits;
}

export const SUPERVISOR_DEFAULTS: SupervisorConfig = {
  // A small model loads in 0.3 s, and what is not seen is added to the time to the first token.
  loadProbeMs: 50,
  readyProbeMs: 5_000,
  retryProbeMs: 1_000,
  // Long prompts do not slow the health down (0.4 ms during a prefill of 50 s, measured with 0.7.0),
  // but a machine that swaps may be silent for a while.
  healthFailuresMax: 3,
  // A disk at 100 MB/s reads 120 GB in this time, should a build report nothing meanwhile.
  stallMs: 20 * 60_000,
  stopGraceMs: 5_000,
  killAgainMs: 5_000,
  crashesMax: 5,
  crashWindowMs: 10 * 60_000,
  // A model that cannot be loaded fails the same way each time; a GPU that is still giving back the
  // memory of the last process does not.
  loadCrashesMax: 3,
  portRetriesMax: 5,
  restartBackoff: { baseMs: 500, capMs: 30_000 },
};
