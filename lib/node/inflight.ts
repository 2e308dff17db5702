import type { Timers } from "~/base/clock.ts";
import { assert } from "~/base/errors.ts";

/** Counts requests that are being answered here, and tells when the last one ended. */
export class Inflight {
  readonly #timers: Timers;
  readonly #waiting = new Set<() => void>();
  #count = 0;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** How many are being answered now. */
  get count(): number {
    return this.#count;
  }

  /** A request began. */
  begin(): void {
    this.#count += 1;
  }

  /** A request ended, in whatever way. */
  end(): void {
    assert(this.#count > 0, "a request that ends has begun");
    this.#count -= 1;
    if (this.#count > 0) return;
    for (const wake of [...this.#waiting]) wake();
  }

  /** Resolves with true once nothing is being answered, or with false after `limitMs` milliseconds. */
  whenIdle(limitMs: number): Promise<boolean> {
    if (this.#count === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const finish = (isIdle: boolean): void => {
        this.#waiting.delete(wake);
        cancel();
        resolve(isIdle);
      };
      const wake = (): void => finish(true);
      const cancel = this.#timers.after(limitMs, () => finish(false));
      this.#waiting.add(wake);
    });
  }
}
