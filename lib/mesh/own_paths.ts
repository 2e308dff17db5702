/** What we tell our neighbours about whom we are linked with: changes, gathered for a moment. */
import type { NodeId } from "./ids.ts";
import type { MembershipState } from "./membership_state.ts";
import { isUsable } from "./neighbours.ts";

/** A change waits this long for more. */
const GATHER_MS = 100;
/** What one message can name. */
const NAMES_MAX = 1024;

/** Our own paths, as told. */
export class OwnPaths {
  readonly #state: MembershipState;
  #said = new Set<NodeId>();
  #dueMs = Number.POSITIVE_INFINITY;

  constructor(state: MembershipState) {
    this.#state = state;
  }

  get dueMs(): number {
    return this.#dueMs;
  }

  /** Something may have changed. */
  touch(nowMs: number): void {
    this.#dueMs = Math.min(this.#dueMs, nowMs + GATHER_MS);
  }

  /** Tells a new neighbour everything that the others were told. */
  greet(peer: NodeId): void {
    if (this.#state.role === "client") return;
    const up = [...this.#said].filter((node) => node !== peer);
    this.#state.emit({
      kind: "send",
      to: peer,
      message: { t: "paths", reset: true, up, down: [] },
    });
  }

  /** Tells the changes. */
  run(nowMs: number): void {
    if (nowMs < this.#dueMs) return;
    this.#dueMs = Number.POSITIVE_INFINITY;
    if (this.#state.role === "client") return;
    const now = this.#current();
    const up = [...now].filter((node) => !this.#said.has(node));
    const down = [...this.#said].filter((node) => !now.has(node));
    this.#said = now;
    if (up.length === 0 && down.length === 0) return;
    for (const neighbour of this.#state.neighbours.all()) {
      if (!isUsable(neighbour)) continue;
      const { peer } = neighbour;
      this.#state.emit({ kind: "send", to: peer, message: { t: "paths", reset: false, up, down } });
    }
  }

  /** Members that we hear now. One that is suspect is not promised to anybody. */
  #current(): Set<NodeId> {
    const nodes = new Set<NodeId>();
    for (const { peer } of this.#state.neighbours.all()) {
      if (nodes.size >= NAMES_MAX) break;
      if (this.#state.directLink(peer)?.health === "live") nodes.add(peer);
    }
    return nodes;
  }
}
