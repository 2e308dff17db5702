/**
 * Whom a client dials: two members as gateways, the nearer of those that it tried, and those that it has requests
 * for. More would cost the mesh for nothing.
 */
import type { BootstrapPeer } from "./credentials.ts";
import type { Attempt, DialBook, DialTarget } from "./dial_book.ts";
import type { NodeId } from "./ids.ts";
import type { MembershipState } from "./membership_state.ts";
import { isLive, type Neighbour } from "./neighbours.ts";

/** Gateways that are kept; that are tried at once when there is one; and when there is none: half may be dead. */
const GATEWAYS = 2;
const GATEWAYS_TRIED = 3;
const ALONE_TRIED = 8;
/** A gateway shows its round trip within this time; then the slowest goes. */
const PROBE_MS = 5_000;
/** A link of its own is kept so long after the last request for it. */
const WANTED_MS = 5 * 60_000;
const WANTED_MAX = 16;
/** Longest wait between tries: with a gateway, without one, and without one for long. */
const SPARE_CAP_MS = 60_000;
const ALONE_CAP_MS = 2_000;

interface Candidate extends DialTarget {
  readonly attempt: Attempt;
}

/** The planner of a client. */
export class ClientDials {
  readonly #state: MembershipState;
  readonly #book: DialBook;
  readonly #wanted = new Map<NodeId, number>();
  seeds: readonly BootstrapPeer[] = [];

  constructor(state: MembershipState, book: DialBook) {
    this.#state = state;
    this.#book = book;
  }

  /** There are requests for `peer`. */
  want(peer: NodeId, nowMs: number): void {
    this.#wanted.delete(peer);
    this.#wanted.set(peer, nowMs + WANTED_MS);
    const [oldest] = this.#wanted.keys();
    if (oldest !== undefined && this.#wanted.size > WANTED_MAX) this.#wanted.delete(oldest);
  }

  /** Dials and closes what is due; returns when to look again. */
  run(nowMs: number): number {
    for (const [peer, untilMs] of this.#wanted) if (nowMs >= untilMs) this.#wanted.delete(peer);
    const gateways = this.#gateways();
    const wakeMs = this.#closeSpare(gateways, nowMs);
    const all = this.#candidates(gateways.length > 0, nowMs);
    const due = all.filter(({ attempt }) =>
      attempt.sinceMs === undefined && attempt.dueMs <= nowMs
    );
    const later = all.filter(({ attempt }) =>
      attempt.sinceMs === undefined && attempt.dueMs > nowMs
    );
    const wanted = due.filter(({ peer }) => this.#wanted.has(peer));
    for (const candidate of wanted) this.#dial(candidate, nowMs);
    const isShort = gateways.length < GATEWAYS;
    const underWay = all.filter(({ attempt }) => attempt.sinceMs !== undefined).length;
    const tried = gateways.length === 0 ? ALONE_TRIED : GATEWAYS_TRIED - gateways.length;
    let left = isShort ? tried - underWay : 0;
    const others = due.filter(({ attempt }) => attempt.sinceMs === undefined);
    for (; left > 0 && others.length > 0; left -= 1) {
      const at = Math.floor(this.#state.rng.next() * others.length);
      for (const candidate of others.splice(at, 1)) this.#dial(candidate, nowMs);
    }
    const awaited = isShort ? later : later.filter(({ peer }) => this.#wanted.has(peer));
    return Math.min(wakeMs, ...awaited.map(({ attempt }) => attempt.dueMs));
  }

  #dial(candidate: Candidate, nowMs: number): void {
    if (this.#book.free > 0) this.#book.start(candidate, nowMs);
  }

  #gateways(): readonly Neighbour[] {
    return [...this.#state.neighbours.all()].filter((neighbour) =>
      neighbour.role === "member" && isLive(neighbour)
    );
  }

  /** Closes the slowest of too many, once it had time to show how slow it is. */
  #closeSpare(gateways: readonly Neighbour[], nowMs: number): number {
    if (gateways.length <= GATEWAYS) return Number.POSITIVE_INFINITY;
    const spare = gateways.filter(({ peer }) => !this.#wanted.has(peer))
      .sort((a, b) => slowness(b) - slowness(a))[0];
    if (spare === undefined) return Math.min(...this.#wanted.values());
    const dueMs = Math.max(...gateways.map(({ upMs }) => upMs)) + PROBE_MS;
    if (nowMs < dueMs) return dueMs;
    spare.isClosing = true;
    this.#state.emit({ kind: "close", peer: spare.peer, reason: "spare" });
    return gateways.length - 1 > GATEWAYS ? nowMs + PROBE_MS : Number.POSITIVE_INFINITY;
  }

  #candidates(isConnected: boolean, nowMs: number): readonly Candidate[] {
    const found: Candidate[] = [];
    for (const [node, { signed: { record } }] of this.#state.store.entries()) {
      if (node === this.#state.self) continue;
      // Who said goodbye may be back; to one that is alone nobody else can tell so.
      if (record.isLeaving && isConnected) continue;
      if (this.#state.needsNoDial(node)) continue;
      if (record.dialable === "no" || record.addresses.length === 0) continue;
      found.push(this.#candidate({ ...record, peer: node }, isConnected, nowMs));
    }
    if (this.#state.isConnected) return found;
    for (const { nodeId, addresses, leafHash } of this.seeds) {
      if (this.#state.store.get(nodeId) !== undefined || addresses.length === 0) continue;
      found.push(this.#candidate({ peer: nodeId, addresses, leafHash }, false, nowMs));
    }
    return found;
  }

  #candidate(target: DialTarget, isConnected: boolean, nowMs: number): Candidate {
    const attempt = this.#book.open(target.peer, nowMs);
    // What was put off while there was another gateway is not put off without one.
    if (!isConnected && attempt.capMs === SPARE_CAP_MS) {
      attempt.dueMs = Math.min(attempt.dueMs, nowMs + ALONE_CAP_MS);
    }
    attempt.capMs = isConnected ? SPARE_CAP_MS : ALONE_CAP_MS;
    const { peer, addresses, leafHash } = target;
    return { peer, addresses, leafHash, attempt };
  }

  /** Forgets what is of no use any more. */
  tidy(nowMs: number): void {
    this.#book.tidy((peer) => {
      const isSeed = this.seeds.some(({ nodeId }) => nodeId === peer);
      return isSeed || this.#state.store.get(peer) !== undefined;
    }, nowMs);
  }
}

function slowness({ rttMs }: Neighbour): number {
  return rttMs ?? Number.MAX_VALUE;
}
