/**
 * Whom a member dials. Every pair of members of which one can be dialled is to be linked: the lower id dials at
 * once, the higher one a moment later. Two that cannot be dialled are told by a common neighbour to dial each other
 * at the same time, which opens both their NATs.
 */
import type { PeerAddress } from "./address.ts";
import type { BootstrapPeer } from "./credentials.ts";
import type { Attempt, DialBook, DialTarget } from "./dial_book.ts";
import type { NodeId } from "./ids.ts";
import type { MembershipState } from "./membership_state.ts";
import type { NodeRecord } from "./record.ts";
import { isLive } from "./neighbours.ts";
import type { Presence } from "./presence.ts";

/** The higher id waits so long for the lower one, and half as much again by chance. */
const YIELD_MS = 500;
/** So long we wait for somebody to dial us who cannot be dialled. */
const OUTBOUND_MS = 1_500;
/** A dial that came to nothing so far is helped along: soon where that was to be expected, else later. */
const ASK_MS = 300;
const ASK_LATE_MS = 1_500;
/** An absent member is tried this often; later less. */
const ABSENT_CAP_MS = 2_000;
const LATE_CAP_MS = 30_000;
const LATE_AFTER_MS = 10 * 60_000;
/** One that is here through others can wait. */
const VIA_CAP_MS = 60_000;
/** Between two requests to one neighbour to pass on that we want to be dialled. */
const DIAL_ME_MS = 1_100;
/** Of the dials, those for absent members at most: who comes new must not wait for timeouts. */
const ABSENT_SHARE = 0.5;

interface Candidate extends DialTarget {
  readonly attempt: Attempt;
  /** It says itself that it cannot be dialled. */
  readonly isHard: boolean;
  readonly isAbsent: boolean;
  readonly isMet: boolean;
}

/** The planner. */
export class MemberDials {
  readonly #state: MembershipState;
  readonly #presence: Presence;
  readonly #book: DialBook;
  readonly #askedMs = new Map<NodeId, number>();
  /** Nodes to begin with. */
  seeds: readonly BootstrapPeer[] = [];
  /** Where others see us. */
  observed: readonly PeerAddress[] = [];

  constructor(state: MembershipState, presence: Presence, book: DialBook) {
    this.#state = state;
    this.#presence = presence;
    this.#book = book;
  }

  /** Dials whoever is due; returns when to look again. */
  run(nowMs: number): number {
    if (this.#state.own?.record.isLeaving === true) return Number.POSITIVE_INFINITY;
    let dueMs = Number.POSITIVE_INFINITY;
    const due: Candidate[] = [];
    for (const candidate of this.#candidates(nowMs)) {
      if (candidate.attempt.sinceMs !== undefined) {
        dueMs = Math.min(dueMs, this.#helpAlong(candidate, nowMs));
      } else if (candidate.attempt.dueMs <= nowMs) due.push(candidate);
      else dueMs = Math.min(dueMs, candidate.attempt.dueMs);
    }
    due.sort((a, b) =>
      Number(a.isAbsent) - Number(b.isAbsent) || Number(a.isHard) - Number(b.isHard) ||
      Number(b.isMet) - Number(a.isMet) ||
      a.attempt.dueMs - b.attempt.dueMs
    );
    let absentLeft = this.#absentLeft();
    for (const candidate of due) {
      if (this.#book.free === 0) break;
      if (candidate.isAbsent && absentLeft-- <= 0) continue;
      this.#book.start(candidate, nowMs);
      dueMs = Math.min(dueMs, this.#helpAlong(candidate, nowMs));
    }
    // Those for whom there was no room come when a dial ends, which is an input.
    return dueMs;
  }

  #absentLeft(): number {
    const { dials } = this.#state.limits;
    let underWay = 0;
    for (const [node, { absentSinceMs }] of this.#state.store.entries()) {
      const isUnderWay = this.#book.get(node)?.sinceMs !== undefined;
      if (absentSinceMs !== undefined && isUnderWay) underWay += 1;
    }
    return Math.max(1, Math.floor(dials * ABSENT_SHARE)) - underWay;
  }

  *#candidates(nowMs: number): Iterable<Candidate> {
    const { self, store } = this.#state;
    for (const [node, { signed: { record }, absentSinceMs, isMet }] of store.entries()) {
      if (node === self || this.#state.needsNoDial(node)) continue;
      // Who said goodbye may be back; to one that is alone nobody else can tell so.
      if (record.isLeaving && this.#state.isConnected) continue;
      const isAbsent = absentSinceMs !== undefined;
      // On the same local network even those can be dialled whom nobody else reaches.
      const isHard = record.dialable === "no";
      if (record.addresses.length === 0 || (isAbsent && isHard && !isMet)) continue;
      const attempt = this.#book.open(node, nowMs + this.#firstWaitMs(record));
      attempt.capMs = !isAbsent
        ? VIA_CAP_MS
        : nowMs - absentSinceMs < LATE_AFTER_MS && !isHard
        ? ABSENT_CAP_MS
        : LATE_CAP_MS;
      const { addresses, leafHash } = record;
      yield { peer: node, addresses, leafHash, attempt, isHard, isAbsent, isMet };
    }
    if (this.seeds.length === 0 || this.#state.isConnected) return;
    for (const { nodeId, addresses, leafHash } of this.seeds) {
      if (store.get(nodeId) !== undefined || addresses.length === 0) continue;
      const attempt = this.#book.open(nodeId, nowMs);
      attempt.capMs = ABSENT_CAP_MS;
      const facts = { isHard: false, isAbsent: true, isMet: true };
      yield { peer: nodeId, addresses, leafHash, attempt, ...facts };
    }
  }

  #firstWaitMs({ node, dialable }: NodeRecord): number {
    const chanceMs = this.#state.rng.next() * YIELD_MS;
    const isFirst = this.#state.self < node;
    const isOnly = this.#state.own?.record.dialable === "no";
    const isHard = dialable === "no";
    if (isHard && !isOnly) return OUTBOUND_MS + (isFirst ? 0 : YIELD_MS + chanceMs);
    return isFirst || (isOnly && !isHard) ? 0 : YIELD_MS + chanceMs;
  }

  /** What is known of `node` changed: it is tried as if never before. */
  renew(node: NodeId, nowMs: number): void {
    const record = this.#state.store.present(node)?.record;
    if (record === undefined || this.#state.needsNoDial(node)) return;
    this.#book.reset(node, nowMs + this.#firstWaitMs(record));
  }

  /** Has the peer of a dial that leads nowhere dial us in its turn; returns when to look again. */
  #helpAlong({ peer, attempt, isHard, isAbsent }: Candidate, nowMs: number): number {
    const { sinceMs, punchMs, failures } = attempt;
    if (sinceMs === undefined || isAbsent || punchMs >= sinceMs) return Number.POSITIVE_INFINITY;
    const dueMs = sinceMs + (isHard || failures > 0 ? ASK_MS : ASK_LATE_MS);
    if (nowMs < dueMs) return dueMs;
    this.#askToBeDialled(peer, nowMs);
    return nowMs + ASK_MS;
  }

  #askToBeDialled(target: NodeId, nowMs: number): void {
    const own = this.#state.own?.record;
    const addresses = this.observed.length > 0 ? this.observed : own?.addresses ?? [];
    if (own === undefined || addresses.length === 0) return;
    const free = this.#state.neighbours.via(target).filter((peer) =>
      nowMs - (this.#askedMs.get(peer) ?? Number.NEGATIVE_INFINITY) >= DIAL_ME_MS
    );
    const whom = free[Math.floor(this.#state.rng.next() * free.length)];
    if (whom === undefined) return;
    this.#askedMs.set(whom, nowMs);
    this.#book.markPunch(target, nowMs);
    const { leafHash } = own;
    const message = { t: "dial_me", target, from: this.#state.self, leafHash, addresses } as const;
    this.#state.emit({ kind: "send", to: whom, message });
  }

  /** Somebody wants us to dial it, through a neighbour. */
  answer({ peer, addresses, leafHash }: DialTarget, nowMs: number): void {
    if (!this.#presence.isHere(peer) || this.#state.needsNoDial(peer)) return;
    if (addresses.length === 0 || this.#book.free === 0) return;
    const attempt = this.#book.get(peer);
    if (attempt?.sinceMs !== undefined) {
      attempt.punchMs = nowMs;
      return;
    }
    if (nowMs - (attempt?.punchMs ?? Number.NEGATIVE_INFINITY) < DIAL_ME_MS / 2) return;
    this.#book.markPunch(peer, nowMs);
    this.#book.start({ peer, addresses, leafHash }, nowMs);
  }

  /** Forgets what is of no use any more. */
  tidy(nowMs: number): void {
    const { store } = this.#state;
    this.#book.tidy((peer) => {
      const isSeed = this.seeds.some(({ nodeId }) => nodeId === peer);
      return isSeed || store.get(peer) !== undefined;
    }, nowMs);
    for (const peer of [...this.#askedMs.keys()]) {
      const neighbour = this.#state.neighbours.get(peer);
      if (neighbour === undefined || !isLive(neighbour)) this.#askedMs.delete(peer);
    }
  }
}
