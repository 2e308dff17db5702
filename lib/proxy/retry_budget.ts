/**
 * How often this node may ask anew for what failed elsewhere: a share of the requests that it takes in, and a reserve
 * for the moment when one machine with everything on it is lost. When all hosts fail, requests are then not
 * multiplied by the number of tries. What was asked anew and answered multiplied nothing: it gives back what it took,
 * or else a mesh that loses one machine after the other would use up its reserve with every request saved.
 */
import { TokenBucket } from "../base/token_bucket.ts";

/** What one request earns: in the long run one in five may be asked twice. */
const EARNED = 0.2;
/** Earned without any request, each second. */
const EARNED_PER_S = 2;
/** The reserve: more than one machine has under way. */
const RESERVE = 256;

/** The budget of one entry node. */
export class RetryBudget {
  readonly #bucket = new TokenBucket({ burst: RESERVE, perSecond: EARNED_PER_S });

  /** A new request came. */
  earn(): void {
    this.#bucket.give(EARNED);
  }

  /** What was asked anew is answered. */
  giveBack(): void {
    this.#bucket.give(1);
  }

  /** Takes one retry; false when none is left. */
  take(nowMs: number): boolean {
    return this.#bucket.take(1, nowMs);
  }
}
