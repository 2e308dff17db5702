/** Nodes that neighbours are linked with and of which we have no record: asked for after a moment. */
import type { NodeId } from "./ids.ts";
import type { MembershipState } from "./membership_state.ts";

/** The record is probably on its way already: the answer to our digest comes after the neighbour's paths. */
const FIRST_MS = 300;
const AGAIN_MS = 2_000;
const TRIES_MAX = 3;
/** Names waited for, and in one message. */
const WANTED_MAX = 1024;
const ASK_MAX = 64;

interface Wanted {
  readonly dueMs: number;
  readonly tries: number;
}

/** What is missing. */
export class WantedRecords {
  readonly #state: MembershipState;
  readonly #wanted = new Map<NodeId, Wanted>();
  #dueMs = Number.POSITIVE_INFINITY;

  constructor(state: MembershipState) {
    this.#state = state;
  }

  get dueMs(): number {
    return this.#dueMs;
  }

  /** A neighbour named `node`. One that said goodbye is not asked for: its next record comes by itself. */
  note(node: NodeId, nowMs: number): void {
    const { self, store } = this.#state;
    if (node === self || store.get(node) !== undefined) return;
    if (this.#wanted.has(node) || this.#wanted.size >= WANTED_MAX) return;
    this.#wanted.set(node, { dueMs: nowMs + FIRST_MS, tries: 0 });
    this.#dueMs = Math.min(this.#dueMs, nowMs + FIRST_MS);
  }

  /** Asks for what is due: each node of one of those that name it, another one each time. */
  run(nowMs: number): void {
    if (nowMs < this.#dueMs) return;
    this.#dueMs = Number.POSITIVE_INFINITY;
    const asks = new Map<NodeId, NodeId[]>();
    for (const [node, { dueMs, tries }] of this.#wanted) {
      if (dueMs <= nowMs) {
        const via = this.#state.neighbours.via(node);
        const whom = via[tries % Math.max(1, via.length)];
        const isOver = whom === undefined || tries >= TRIES_MAX ||
          this.#state.store.get(node) !== undefined;
        this.#wanted.delete(node);
        if (isOver) continue;
        asks.set(whom, [...asks.get(whom) ?? [], node]);
        this.#wanted.set(node, { dueMs: nowMs + AGAIN_MS, tries: tries + 1 });
      }
      this.#dueMs = Math.min(this.#dueMs, this.#wanted.get(node)?.dueMs ?? this.#dueMs);
    }
    for (const [whom, nodes] of asks) {
      for (let at = 0; at < nodes.length; at += ASK_MAX) {
        const message = { t: "want", nodes: nodes.slice(at, at + ASK_MAX) } as const;
        this.#state.emit({ kind: "send", to: whom, message });
      }
    }
  }
}
