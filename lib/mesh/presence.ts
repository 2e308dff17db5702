/**
 * Which members are here. One is here when we have a link with it, or a live neighbour says that it has. Nobody's
 * word takes a member away: a neighbour speaks for its own links only.
 */
import type { NodeId } from "./ids.ts";
import type { MemberEvent, MemberView } from "./membership_ports.ts";
import type { MembershipState } from "./membership_state.ts";

/**
 * How long a member stays, suspect, after its last way was lost by word or by a closed link. A link that fell
 * silent has waited already. With the 2 s after which a neighbour takes its word back it makes 4 s and two messages.
 */
const GRACE_MS = 2_000;

interface Seen {
  health: "live" | "suspect";
  isDirect: boolean;
  /** The neighbours it is reached by, as one text; empty when there is a link. */
  via: string;
  /** When it will be given up. */
  graceUntilMs: number | undefined;
}

/** Keeps count of who is here and tells the changes. */
export class Presence {
  readonly #state: MembershipState;
  readonly #here = new Map<NodeId, Seen>();
  #dueMs = Number.POSITIVE_INFINITY;
  #turns = 0;

  constructor(state: MembershipState) {
    this.#state = state;
  }

  /** When the next grace ends. */
  get dueMs(): number {
    return this.#dueMs;
  }

  /** Grows whenever somebody comes or goes. */
  get turns(): number {
    return this.#turns;
  }

  isHere(node: NodeId): boolean {
    return this.#here.has(node);
  }

  /** Looks at the ways to `node` again. */
  refresh(node: NodeId, nowMs: number): void {
    if (node === this.#state.self) return;
    const before = this.#here.get(node);
    const after = this.#look(node, before, nowMs);
    if (after === undefined) {
      if (before !== undefined) this.#lose(node, nowMs);
      return;
    }
    this.#here.set(node, after);
    if (after.graceUntilMs !== undefined) this.#dueMs = Math.min(this.#dueMs, after.graceUntilMs);
    const entry = this.#state.store.get(node);
    if (entry !== undefined) {
      entry.absentSinceMs = undefined;
      entry.isMet ||= after.isDirect;
    }
    this.#tell(node, before, after);
  }

  #look(node: NodeId, before: Seen | undefined, nowMs: number): Seen | undefined {
    const { store } = this.#state;
    if (store.present(node) === undefined) return undefined;
    const link = this.#state.directLink(node);
    if (link !== undefined) {
      const health = link.health === "live" ? "live" : "suspect";
      return { health, isDirect: true, via: "", graceUntilMs: undefined };
    }
    const via = this.#state.neighbours.via(node);
    if (via.length > 0) {
      return { health: "live", isDirect: false, via: via.join(" "), graceUntilMs: undefined };
    }
    if (before === undefined) return undefined;
    // Only its own link's silence is proof enough at once, and only when that was the last way.
    const isSilent = this.#state.neighbours.get(node)?.health === "silent";
    if (isSilent && before.isDirect) return undefined;
    const graceUntilMs = before.graceUntilMs ?? nowMs + GRACE_MS;
    if (nowMs >= graceUntilMs) return undefined;
    return { health: "suspect", isDirect: false, via: "", graceUntilMs };
  }

  #tell(node: NodeId, before: Seen | undefined, after: Seen): void {
    const event = changeOf(before, after);
    if (event === undefined) return;
    if (event === "joined") this.#turns += 1;
    this.#state.emit({ kind: "member", event, node });
  }

  #lose(node: NodeId, nowMs: number): void {
    this.#here.delete(node);
    this.#turns += 1;
    const entry = this.#state.store.get(node);
    const hasLeft = this.#state.store.present(node) === undefined;
    if (entry !== undefined) entry.absentSinceMs = nowMs;
    this.#state.emit({ kind: "member", event: hasLeft ? "left" : "gone", node });
  }

  /** Gives up those whose grace is over. */
  run(nowMs: number): void {
    if (nowMs < this.#dueMs) return;
    this.#dueMs = Number.POSITIVE_INFINITY;
    for (const [node, { graceUntilMs }] of [...this.#here]) {
      if (graceUntilMs !== undefined) this.refresh(node, nowMs);
    }
  }

  /** Everybody who is here, by id. */
  members(): readonly MemberView[] {
    const views: MemberView[] = [];
    for (const node of [...this.#here.keys()].sort()) {
      const view = this.view(node);
      if (view !== undefined) views.push(view);
    }
    return views;
  }

  view(node: NodeId): MemberView | undefined {
    const seen = this.#here.get(node);
    const record = this.#state.store.present(node);
    if (seen === undefined || record === undefined) return undefined;
    const { neighbours } = this.#state;
    return {
      node,
      record,
      health: seen.health,
      isDirect: seen.isDirect,
      isPunched: seen.isDirect && neighbours.get(node)?.isPunched === true,
      // Looked up when asked for: for those with a link hardly anybody asks.
      get via(): readonly NodeId[] {
        return neighbours.via(node);
      },
    };
  }
}

/** What of a change others want to know. */
function changeOf(before: Seen | undefined, after: Seen): MemberEvent | undefined {
  if (before === undefined) return "joined";
  if (before.health !== after.health) return after.health === "suspect" ? "suspect" : "back";
  return before.isDirect !== after.isDirect || before.via !== after.via ? "rerouted" : undefined;
}
