/**
 * Passes records on. Our own goes to all neighbours, another's to those that will not hear it from its subject or
 * from whoever told us. News is gathered for a moment, so that many changes make one message, and a node that
 * changes all the time is passed on twice a second at most.
 */
import type { NodeId } from "./ids.ts";
import type { MembershipState } from "./membership_state.ts";
import { isLive, isUsable, type Neighbour } from "./neighbours.ts";
import type { SignedRecord } from "./record.ts";

/** News waits this long for more. */
const GATHER_MS = 50;
/** Between two records of one node. */
const SAME_NODE_MS = 500;
/** Neighbours that tell somebody of a new process, when many could. */
const TELLERS = 3;

interface News {
  readonly dueMs: number;
  /** Who told us; our own id when it is ours. */
  readonly source: NodeId;
  /** Its node was started anew since the record before. */
  readonly isNewProcess: boolean;
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
  add(
    node: NodeId,
    { source, isNewProcess }: Pick<News, "source" | "isNewProcess">,
    nowMs: number,
  ): void {
    const entry = this.#state.store.get(node);
    if (entry === undefined) return;
    const isUrgent = entry.signed.record.isLeaving;
    const dueMs = isUrgent ? nowMs : Math.max(nowMs + GATHER_MS, entry.spreadMs + SAME_NODE_MS);
    const waiting = this.#news.get(node);
    this.#news.set(node, {
      dueMs: Math.min(dueMs, waiting?.dueMs ?? dueMs),
      source,
      isNewProcess: isNewProcess || waiting?.isNewProcess === true,
    });
    this.#dueMs = Math.min(this.#dueMs, dueMs);
  }

  /** Sends what is due. */
  run(nowMs: number): void {
    if (nowMs < this.#dueMs) return;
    const due: (News & { readonly signed: SignedRecord })[] = [];
    this.#dueMs = Number.POSITIVE_INFINITY;
    for (const [node, news] of this.#news) {
      if (news.dueMs > nowMs) {
        this.#dueMs = Math.min(this.#dueMs, news.dueMs);
        continue;
      }
      this.#news.delete(node);
      const entry = this.#state.store.get(node);
      if (entry === undefined) continue;
      entry.spreadMs = nowMs;
      due.push({ ...news, signed: entry.signed });
    }
    for (const neighbour of this.#state.neighbours.all()) {
      if (!isUsable(neighbour)) continue;
      const records = due.filter((news) => this.#concerns(neighbour, news.signed.record.node, news))
        .map(({ signed }) => signed.jws);
      if (records.length === 0) continue;
      this.#state.emit({ kind: "send", to: neighbour.peer, message: { t: "records", records } });
    }
  }

  #concerns(neighbour: Neighbour, subject: NodeId, { source, isNewProcess }: News): boolean {
    const { peer, paths } = neighbour;
    if (subject === this.#state.self) return true;
    if (peer === subject || peer === source) return false;
    if (!paths.has(subject)) return !paths.has(source);
    return isNewProcess && this.#mustTell(peer, subject);
  }

  /**
   * Whether `peer` must hear from us that `subject` was started anew. It says that it is linked with it, but that
   * may be the old process. Who can be dialled hears it from the new one; of the others' neighbours a few are enough.
   */
  #mustTell(peer: NodeId, subject: NodeId): boolean {
    if (this.#state.store.present(peer)?.record.dialable === "yes") return false;
    const { self } = this.#state;
    let before = 0;
    for (const other of this.#state.neighbours.all()) {
      const isCommon = other.peer !== subject && isLive(other) && other.paths.has(peer);
      if (isCommon && isSooner(other.peer, self, subject)) before += 1;
    }
    return before < TELLERS;
  }
}

/** The order of ids that begins after `start`: another one for each subject. */
function isSooner(one: NodeId, other: NodeId, start: NodeId): boolean {
  const [oneIsLate, otherIsLate] = [one < start, other < start];
  return oneIsLate === otherIsLate ? one < other : otherIsLate;
}
