/**
 * How often this node may ask anew for what failed elsewhere: a share of the requests that it takes in, and a reserve
 * for the moment when one machine with everything on it is lost. When all hosts fail, requests are then not
 * multiplied by the number of tries. What was asked anew and answered multiplied nothing: it gives back what it took,
 * or else a mesh that loses one machine after the other would use up its reserve with every request saved.
 */

/** What one request earns: in the long run one in five may be asked twice. */
const EARNED = 0.2;
/** Earned without any request, each second. */
const EARNED_PER_S = 2;
/** The reserve: more than one machine has under way. */
const RESERVE = 256;

/** The budget of one entry node. */
export class RetryBudget {
  #left = RESERVE;
  #countedMs = 0;

  /** A new request came. */
  earn(): void {
    this.#left = Math.min(RESERVE, this.#left + EARNED);
  }

  /** What was asked anew is answered. */
  giveBack(): void {
    this.#left = Math.min(RESERVE, this.#left + 1);
  }

  /** Takes one retry; false when none is left. */
  take(nowMs: number): boolean {
    const elapsedMs = Math.max(0, nowMs - this.#countedMs);
    this.#countedMs = nowMs;
    this.#left = Math.min(RESERVE, this.#left + (elapsedMs / 1000) * EARNED_PER_S);
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
