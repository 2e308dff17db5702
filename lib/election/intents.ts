/** What a node means to do once it has held true for a while: things that pass by themselves are never done. */
import type { Rng } from "../base/rng.ts";

/** A wait: a fixed part, and one by chance, so that not all do the same at once. */
export interface Wait {
  readonly baseMs: number;
  readonly chanceMs: number;
}

/** Intents by key, each with the moment when it is due. */
export class Intents {
  readonly #rng: Rng;
  readonly #due = new Map<string, number>();

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  /** Takes over what is meant now: what was meant before keeps its moment, what is not any more is forgotten. */
  follow(wanted: readonly { readonly key: string; readonly wait: Wait }[], nowMs: number): void {
    const keys = new Set(wanted.map(({ key }) => key));
    for (const key of this.#due.keys()) if (!keys.has(key)) this.#due.delete(key);
    for (const { key, wait: { baseMs, chanceMs } } of wanted) {
      if (!this.#due.has(key)) this.#due.set(key, nowMs + baseMs + this.#rng.next() * chanceMs);
    }
  }

  /** Whether it was meant long enough. */
  isDue(key: string, nowMs: number): boolean {
    const dueMs = this.#due.get(key);
    return dueMs !== undefined && dueMs <= nowMs;
  }

  /** When the next one is due; undefined when none is to come. */
  wakeAtMs(nowMs: number): number | undefined {
    const next = [...this.#due.values()].filter((dueMs) => dueMs > nowMs);
    return next.length === 0 ? undefined : Math.min(...next);
  }
}
