/** How much of something may be done: so much at once, and so much a second. Pure. */

/** A bucket that fills with time and is emptied by what happens. */
export class TokenBucket {
  readonly #burst: number;
  readonly #perSecond: number;
  #left: number;
  #atMs = -Infinity;

  constructor(limits: { readonly burst: number; readonly perSecond: number }) {
    this.#burst = limits.burst;
    this.#perSecond = limits.perSecond;
    this.#left = limits.burst;
  }

  /** Whether `amount` more is allowed now; takes it when it is. */
  take(amount: number, nowMs: number): boolean {
    this.#fill(nowMs);
    if (amount > this.#left) return false;
    this.#left -= amount;
    return true;
  }

  /** Takes as much of a whole `amount` as is allowed now, in whole units; returns how much. */
  takeUpTo(amount: number, nowMs: number): number {
    this.#fill(nowMs);
    const taken = Math.min(amount, Math.floor(this.#left));
    this.#left -= taken;
    return taken;
  }

  /** Allows `amount` more, beyond what time brings; never more than a burst in all. */
  give(amount: number): void {
    this.#left = Math.min(this.#burst, this.#left + amount);
  }

  #fill(nowMs: number): void {
    const passedMs = Math.max(0, nowMs - this.#atMs);
    this.#atMs = Math.max(this.#atMs, nowMs);
    this.give((passedMs / 1000) * this.#perSecond);
  }
}
