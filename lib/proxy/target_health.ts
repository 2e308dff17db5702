/**
 * Which nodes are avoided for now: after a failure for a while that doubles with each one after it, then one request
 * probes whether it answers again while all others still avoid it.
 *
 *   fine --failed--> avoided --its time is over--> probed --answered--> fine
 *                       ^                            |
 *                       '---------- failed ----------'
 */
import type { Rng } from "../base/rng.ts";
import { LruMap } from "../base/lru.ts";

/** After the first failure: an engine that ended is back in seconds. */
const AVOID_MS_FIRST = 1_000;
const AVOID_MS_MAX = 60_000;
/** A probe without an answer for so long is followed by another one. */
const PROBE_MS = 10_000;
/** Many entry nodes avoid the same host: they shall not all come back at once. */
const JITTER = 0.2;
/** Nodes that are remembered. */
const NODES_MAX = 1024;

/** Whether a node may be asked. */
export type Standing = "fine" | "avoided" | "to be probed";

interface Trouble {
  readonly failures: number;
  readonly untilMs: number;
  readonly probedMs: number | undefined;
}

/** What is known of the health of nodes from what they did with requests. */
export class TargetHealth {
  readonly #rng: Rng;
  readonly #troubles = new LruMap<string, Trouble | undefined>(NODES_MAX);

  constructor(rng: Rng) {
    this.#rng = rng;
  }

  /** The node did not answer, or broke an answer off. */
  failed(nodeId: string, nowMs: number): void {
    const before = this.#troubles.get(nodeId);
    // What fails together, because one machine is gone, is one failure.
    if (before !== undefined && before.probedMs === undefined && nowMs < before.untilMs) return;
    const failures = (before?.failures ?? 0) + 1;
    const plainMs = Math.min(AVOID_MS_MAX, AVOID_MS_FIRST * 2 ** Math.min(failures - 1, 10));
    const untilMs = nowMs + plainMs * (1 + JITTER * this.#rng.next());
    this.#troubles.set(nodeId, { failures, untilMs, probedMs: undefined });
  }

  /** The node answered. */
  answered(nodeId: string): void {
    if (this.#troubles.get(nodeId) !== undefined) this.#troubles.set(nodeId, undefined);
  }

  /** How it stands with the node now. */
  standing(nodeId: string, nowMs: number): Standing {
    const trouble = this.#troubles.get(nodeId);
    if (trouble === undefined) return "fine";
    if (nowMs < trouble.untilMs) return "avoided";
    const { probedMs } = trouble;
    return probedMs === undefined || nowMs >= probedMs + PROBE_MS ? "to be probed" : "avoided";
  }

  /** A request was sent to it. */
  sent(nodeId: string, nowMs: number): void {
    const trouble = this.#troubles.get(nodeId);
    if (trouble === undefined || nowMs < trouble.untilMs) return;
    this.#troubles.set(nodeId, { ...trouble, probedMs: nowMs });
  }
}
