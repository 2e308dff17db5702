/** What this node must not load for now: a load that failed is tried again after a wait that grows. */
import { backoffMs } from "../base/backoff.ts";
import type { Rng } from "../base/rng.ts";
import type { AvoidedModel } from "./ports.ts";

const FAILED = { baseMs: 60_000, capMs: 3_600_000 };
/** A failure so long ago says nothing any more. */
const FORGET_MS = 2 * FAILED.capMs;
/** Somebody who drops a model by hand does not want it back at once. */
const DROPPED_MS = 3_600_000;
/** Models remembered: more than a node has. */
const REMEMBERED_MAX = 256;

interface Entry {
  readonly cause: AvoidedModel["cause"];
  readonly untilMs: number;
  readonly failures: number;
  readonly atMs: number;
}

/** The models to avoid, with their cooldowns. */
export class Avoidance {
  readonly #rng: Rng;
  readonly #entries = new Map<string, Entry>();

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  failed(id: string, nowMs: number): void {
    const before = this.#entries.get(id);
    const isRecent = before !== undefined && nowMs - before.atMs < FORGET_MS;
    const failures = isRecent ? before.failures + 1 : 1;
    const untilMs = nowMs + backoffMs(failures - 1, this.#rng, FAILED);
    this.#set(id, { cause: "failed", untilMs, failures, atMs: nowMs });
  }

  dropped(id: string, nowMs: number): void {
    this.#set(id, { cause: "dropped", untilMs: nowMs + DROPPED_MS, failures: 0, atMs: nowMs });
  }

  /** Somebody asked for it by hand: nothing stands against it. */
  forgive(id: string): void {
    this.#entries.delete(id);
  }

  #set(id: string, entry: Entry): void {
    this.#entries.delete(id);
    this.#entries.set(id, entry);
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > REMEMBERED_MAX && oldest !== undefined) this.#entries.delete(oldest);
  }

  /** What is to be avoided now, for the record too; in the order of names. */
  list(nowMs: number): readonly AvoidedModel[] {
    return [...this.#entries]
      .filter(([, { untilMs }]) => untilMs > nowMs)
      .map(([id, { cause }]) => ({ id, cause }))
      .sort((a, b) => a.id < b.id ? -1 : 1);
  }

  /** When the list changes by itself; undefined for never. */
  wakeAtMs(nowMs: number): number | undefined {
    const next = [...this.#entries.values()].map(({ untilMs }) => untilMs)
      .filter((untilMs) => untilMs > nowMs);
    return next.length === 0 ? undefined : Math.min(...next);
  }
}
