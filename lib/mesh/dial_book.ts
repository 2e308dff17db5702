/** The dials of a node: those under way, bounded, and when each peer may be tried again. */
import { backoffMs } from "../base/backoff.ts";
import type { PeerAddress } from "./address.ts";
import type { NodeId } from "./ids.ts";
import type { DialOutcome } from "./membership_ports.ts";
import type { MembershipState } from "./membership_state.ts";

/** A driver that never answers must not use up the dials. */
const DIAL_MS_MAX = 30_000;
/** A link that comes up so soon after both sides were told to dial is one of them. */
const PUNCH_MS = 8_000;

/** Between failed dials. */
const BACKOFF_BASE_MS = 500;
/** Of a peer that said no, which only time changes. */
const REFUSED = { baseMs: 20_000, capMs: 300_000 };

/** Where a dial goes. */
export interface DialTarget {
  readonly peer: NodeId;
  readonly addresses: readonly PeerAddress[];
  readonly leafHash: string;
}

/** How one peer was tried. */
export interface Attempt {
  /** Failed dials in a row. */
  failures: number;
  /** Not before. */
  dueMs: number;
  /** When the dial under way began. */
  sinceMs: number | undefined;
  /** When both sides were last told to dial. */
  punchMs: number;
  /** Longest wait after a failure. */
  capMs: number;
}

/** The book. */
export class DialBook {
  readonly #state: MembershipState;
  readonly #attempts = new Map<NodeId, Attempt>();
  #underWay = 0;

  constructor(state: MembershipState) {
    this.#state = state;
  }

  /** Dials that may begin now. */
  get free(): number {
    return Math.max(0, this.#state.limits.dials - this.#underWay);
  }

  get(peer: NodeId): Attempt | undefined {
    return this.#attempts.get(peer);
  }

  /** The attempt at a peer, begun when there is none. */
  open(peer: NodeId, dueMs: number): Attempt {
    const known = this.#attempts.get(peer);
    if (known !== undefined) return known;
    const attempt: Attempt = {
      failures: 0,
      dueMs,
      sinceMs: undefined,
      punchMs: Number.NEGATIVE_INFINITY,
      capMs: BACKOFF_BASE_MS,
    };
    this.#attempts.set(peer, attempt);
    return attempt;
  }

  /** Dials; the addresses take turns in being first. */
  start({ peer, addresses, leafHash }: DialTarget, nowMs: number): void {
    const attempt = this.open(peer, nowMs);
    const turn = attempt.failures % addresses.length;
    const rotated = [...addresses.slice(turn), ...addresses.slice(0, turn)];
    attempt.sinceMs = nowMs;
    this.#underWay += 1;
    this.#state.emit({ kind: "dial", peer, addresses: rotated, leafHash });
  }

  /** A dial came to its end. */
  end(peer: NodeId, outcome: DialOutcome, nowMs: number): void {
    const attempt = this.#attempts.get(peer);
    if (attempt?.sinceMs === undefined) return;
    attempt.sinceMs = undefined;
    this.#underWay -= 1;
    if (outcome === "up") return this.forget(peer);
    const limits = outcome === "refused"
      ? REFUSED
      : { baseMs: BACKOFF_BASE_MS, capMs: attempt.capMs };
    attempt.dueMs = nowMs + backoffMs(attempt.failures, this.#state.rng, limits);
    attempt.failures += 1;
  }

  /** Begins anew: the peer has a new address, or was heard of again. */
  reset(peer: NodeId, dueMs: number): void {
    const attempt = this.open(peer, dueMs);
    attempt.failures = 0;
    attempt.dueMs = dueMs;
  }

  /** Not before `untilMs`, whatever comes. */
  postpone(peer: NodeId, untilMs: number): void {
    const attempt = this.open(peer, untilMs);
    attempt.dueMs = Math.max(attempt.dueMs, untilMs);
  }

  /** Both sides are told to dial. */
  markPunch(peer: NodeId, nowMs: number): void {
    this.open(peer, nowMs).punchMs = nowMs;
  }

  /** Whether a link that comes up now is owed to both sides dialling. */
  isPunching(peer: NodeId, nowMs: number): boolean {
    return nowMs - (this.#attempts.get(peer)?.punchMs ?? Number.NEGATIVE_INFINITY) <= PUNCH_MS;
  }

  /** No more dials at a peer; one under way still counts until it ends. */
  forget(peer: NodeId): void {
    if (this.#attempts.get(peer)?.sinceMs === undefined) this.#attempts.delete(peer);
  }

  /** Ends what takes too long, and drops what `isWanted` does not want any more. */
  tidy(isWanted: (peer: NodeId) => boolean, nowMs: number): void {
    for (const [peer, { sinceMs }] of [...this.#attempts]) {
      if (sinceMs !== undefined && nowMs - sinceMs > DIAL_MS_MAX) this.end(peer, "failed", nowMs);
      if (!isWanted(peer)) this.forget(peer);
    }
  }
}
