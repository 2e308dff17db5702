import type { Rng } from "./rng.ts";

/** The two numbers of an exponential backoff. */
export interface BackoffLimits {
  /** Longest wait before the first retry, in milliseconds. */
  readonly baseMs: number;
  /** Longest wait at all, in milliseconds. */
  readonly capMs: number;
}

/**
 * Wait before retry number `attempt` (0 for the first): half of the capped exponential ceiling is
 * certain, the other half is chance, so that retries spread out but never come at once.
 */
export function backoffMs(attempt: number, rng: Rng, limits: BackoffLimits): number {
  const ceilingMs = Math.min(limits.capMs, limits.baseMs * 2 ** Math.min(attempt, 30));
  return Math.floor(ceilingMs / 2 + (rng.next() * ceilingMs) / 2);
}
