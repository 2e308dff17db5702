/**
 * Passes records on. Our own goes to all neighbours, another's to those that will not hear it from its subject or
 * from whoever told us. News is gathered for a moment, so that many changes make one message, and a node that
 * changes all the time is passed on twice a second at most.
 */
import type { NodeId } from "./ids.ts";
import type { MembershipState } from "./membership_state.ts";
import { isUsable, type Neighbour } from "./neighbours.ts";
import type { SignedRecord } from "./record.ts";

/** News waits this long for more. */
const GATHER_MS = 50;
/** Between two records of one node. */
const SAME_NODE_MS = 500;

interface News {
  readonly dueMs: number;
  /** Who told us; our own id when it is ours. */
  readonly source: NodeId;
}

/** News on its way out. */
export class Spread {
  readonly #state: MembershipState;
  readonly #news = new Map<NodeId, News>();
  #dueMs = Number.POSITIVE_INFINITY;

  constructor(state: MembershipState) {
    this.#state = state;
  }

  get dueMs(): number {
    return this.#dueMs;
  }

  /** The record of `node` is new, and `source` told us. A farewell does not wait: who says it is about to go. */
  add(node: NodeId, source: NodeId, nowMs: number): void {
    const entry = this.#state.store.get(node);
    if (entry === undefined) return;
    const isUrgent = entry.signed.record.isLeaving;
    const dueMs = isUrgent ? nowMs : Math.max(nowMs + GATHER_MS, entry.spreadMs + SAME_NODE_MS);
    const waiting = this.#news.get(node);
    this.#news.set(node, { dueMs: Math.min(dueMs, waiting?.dueMs ?? dueMs), source });
    this.#dueMs = Math.min(this.#dueMs, dueMs);
  }

  /** Sends what is due. */
  run(nowMs: number): void {
    if (nowMs < this.#dueMs) return;
    const due: { readonly signed: SignedRecord; readonly source: NodeId }[] = [];
    this.#dueMs = Number.POSITIVE_INFINITY;
    for (const [node, { dueMs, source }] of this.#news) {
      if (dueMs > nowMs) {
        this.#dueMs = Math.min(this.#dueMs, dueMs);
        continue;
      }
      this.#news.delete(node);
      const entry = this.#state.store.get(node);
      if (entry === undefined) continue;
      entry.spreadMs = nowMs;
      due.push({ signed: entry.signed, source });
    }
    for (const neighbour of this.#state.neighbours.all()) {
      if (!isUsable(neighbour)) continue;
      const records = due.filter(({ signed, source }) =>
        this.#concerns(neighbour, signed.record.node, source)
      ).map(({ signed }) => signed.jws);
      if (records.length === 0) continue;
      this.#state.emit({ kind: "send", to: neighbour.peer, message: { t: "records", records } });
    }
  }

  #concerns({ peer, paths }: Neighbour, subject: NodeId, source: NodeId): boolean {
    if (subject === this.#state.self) return true;
    if (peer === subject || peer === source) return false;
    return !paths.has(subject) && !paths.has(source);
  }
}
