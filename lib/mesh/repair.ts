/** Compares what we have with what a neighbour has, after a connection and now and then. */
import type { ControlMessage } from "./control.ts";
import type { NodeId } from "./ids.ts";
import type { MembershipState } from "./membership_state.ts";
import { isLive, type Neighbour } from "./neighbours.ts";

/** Between two comparisons, a quarter more or less by chance. */
const EVERY_MS = 30_000;
/** What a digest can name. */
const DIGEST_MAX = 1024;
const WANT_MAX = 64;

/** Keeps stores alike. */
export class Repair {
  readonly #state: MembershipState;
  /** Revocations that we hold. */
  #revoked: readonly string[] = [];
  #dueMs = Number.POSITIVE_INFINITY;

  constructor(state: MembershipState) {
    this.#state = state;
  }

  get dueMs(): number {
    return this.#dueMs;
  }

  /** Says what we have to a new neighbour. Clients say it, and are not told: they bring nothing. */
  greet(neighbour: Neighbour, nowMs: number): void {
    if (neighbour.role === "member") this.#sendDigest(neighbour.peer, false);
    if (this.#dueMs === Number.POSITIVE_INFINITY) this.#plan(nowMs);
  }

  #plan(nowMs: number): void {
    this.#dueMs = nowMs + EVERY_MS * (0.75 + this.#state.rng.next() / 2);
  }

  #sendDigest(to: NodeId, answer: boolean): void {
    const have = this.#state.store.marks(DIGEST_MAX);
    const revoked = this.#revoked.slice(-DIGEST_MAX);
    this.#state.emit({ kind: "send", to, message: { t: "digest", have, revoked, answer } });
  }

  /** Compares with one neighbour, chosen by chance. */
  run(nowMs: number): void {
    if (nowMs < this.#dueMs) return;
    this.#plan(nowMs);
    const live = [...this.#state.neighbours.all()].filter((neighbour) =>
      neighbour.role === "member" && isLive(neighbour)
    );
    const whom = live[Math.floor(this.#state.rng.next() * live.length)];
    if (whom !== undefined) this.#sendDigest(whom.peer, true);
  }

  /** Sends what the neighbour lacks, asks for what we lack. */
  onDigest(
    neighbour: Neighbour,
    { have, revoked, answer }: Extract<ControlMessage, { t: "digest" }>,
    nowMs: number,
  ): void {
    const { peer } = neighbour;
    this.sendRecords(neighbour, this.#state.store.newerThan(have), nowMs);
    const theirs = new Set(revoked);
    this.#sendRevocations(peer, this.#revoked.filter((serial) => !theirs.has(serial)));
    if (!answer || neighbour.role === "client") return;
    const ours = new Set(this.#revoked);
    // Revocations cannot be asked for by name: our own digest brings them, and the records.
    if (revoked.some((serial) => !ours.has(serial))) return this.#sendDigest(peer, false);
    const nodes = this.#state.store.olderThan(have).slice(0, WANT_MAX);
    if (nodes.length > 0) {
      this.#state.emit({ kind: "send", to: peer, message: { t: "want", nodes } });
    }
  }

  /** Sends records, as many as the neighbour may still have. A client gives none. */
  sendRecords(neighbour: Neighbour, nodes: Iterable<NodeId>, nowMs: number): void {
    if (this.#state.role === "client") return;
    const records: string[] = [];
    for (const node of nodes) {
      const jws = this.#state.store.get(node)?.signed.jws;
      if (jws === undefined) continue;
      if (!neighbour.recordsOut.take(1, nowMs)) break;
      records.push(jws);
    }
    if (records.length === 0) return;
    this.#state.emit({ kind: "send", to: neighbour.peer, message: { t: "records", records } });
  }

  /** What we hold changed: what is new goes to those that `from` does not tell. */
  setRevoked(serials: readonly string[], from: NodeId | undefined): void {
    const known = new Set(this.#revoked);
    this.#revoked = serials;
    const fresh = serials.filter((serial) => !known.has(serial));
    for (const neighbour of this.#state.neighbours.all()) {
      const isTold = from !== undefined &&
        (neighbour.peer === from || neighbour.paths.has(from));
      if (!isTold && !neighbour.isClosing) this.#sendRevocations(neighbour.peer, fresh);
    }
  }

  #sendRevocations(to: NodeId, serials: readonly string[]): void {
    if (serials.length === 0 || this.#state.role === "client") return;
    this.#state.emit({ kind: "send_revocations", to, serials });
  }
}
