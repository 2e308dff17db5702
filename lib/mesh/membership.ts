/**
 * Who is in the mesh, and what each says about itself: a machine. It never waits and touches nothing; its driver
 * gives it what happened with the time of a clock that does not run backwards, does what it answers, and calls
 * `tick` when {@link Membership.wakeAtMs} has come.
 *
 * This version links every pair of members of which one can be dialled, for up to 32 nodes. A larger mesh needs
 * another choice of neighbours and nothing else.
 */
import { assertNever } from "../base/errors.ts";
import { ClientDials } from "./client_dials.ts";
import type { RecordMark } from "./control.ts";
import type { BootstrapPeer } from "./credentials.ts";
import { DialBook } from "./dial_book.ts";
import type { NodeId } from "./ids.ts";
import type { LinkHealth } from "./link_ports.ts";
import { MemberDials } from "./member_dials.ts";
import {
  MEMBERSHIP_LIMITS,
  type MembershipLimits,
  type MemberView,
  type MeshEffect,
  type MeshInput,
  type MeshMessage,
  type RecordVerdict,
} from "./membership_ports.ts";
import { type MembershipOptions, MembershipState } from "./membership_state.ts";
import { isLive, isUsable, type Neighbour } from "./neighbours.ts";
import { OwnPaths } from "./own_paths.ts";
import { Presence } from "./presence.ts";
import type { SignedRecord } from "./record.ts";
import { RecordIntake } from "./record_intake.ts";
import { Repair } from "./repair.ts";
import { Spread } from "./spread.ts";
import { WantedRecords } from "./wanted_records.ts";

/** Between two looks for what is too old. */
const TIDY_MS = 30_000;
/** Whoever sent too much is not dialled so long. */
const FLOOD_MS = 60_000;
/** Nodes to begin with: those of a few invites. */
const SEEDS_MAX = 16;

type Of<Kind extends MeshInput["kind"]> = Extract<MeshInput, { kind: Kind }>;

/** The machine. */
export class Membership {
  readonly #state: MembershipState;
  readonly #presence: Presence;
  readonly #book: DialBook;
  readonly #intake: RecordIntake;
  readonly #repair: Repair;
  readonly #spread: Spread;
  readonly #paths: OwnPaths;
  readonly #wanted: WantedRecords;
  readonly #memberDials: MemberDials;
  readonly #clientDials: ClientDials;
  #dialsDueMs = Number.POSITIVE_INFINITY;
  /** What {@link Presence.turns} was when the dials were last looked at. */
  #dialsTurn = -1;
  #tidyDueMs = Number.POSITIVE_INFINITY;
  #nowMs = Number.NEGATIVE_INFINITY;

  /** @param options.limits bounds of what peers can make us keep. @default {MEMBERSHIP_LIMITS} */
  constructor(
    options: Omit<MembershipOptions, "limits"> & { readonly limits?: MembershipLimits },
  ) {
    const state = new MembershipState({ limits: MEMBERSHIP_LIMITS, ...options });
    this.#state = state;
    this.#presence = new Presence(state);
    this.#book = new DialBook(state);
    this.#intake = new RecordIntake(state);
    this.#repair = new Repair(state);
    this.#spread = new Spread(state);
    this.#paths = new OwnPaths(state);
    this.#wanted = new WantedRecords(state);
    this.#memberDials = new MemberDials(state, this.#presence, this.#book);
    this.#clientDials = new ClientDials(state, this.#book);
  }

  /** What is to be done after `input`, in this order. Never throws, whatever a peer sends. */
  handle(input: MeshInput, nowMs: number): readonly MeshEffect[] {
    const atMs = this.#nowMs = Math.max(this.#nowMs, nowMs);
    if (this.#tidyDueMs === Number.POSITIVE_INFINITY) this.#tidyDueMs = atMs + TIDY_MS;
    this.#take(input, atMs);
    this.#presence.run(atMs);
    this.#wanted.run(atMs);
    this.#paths.run(atMs);
    this.#spread.run(atMs);
    this.#repair.run(atMs);
    if (atMs >= this.#tidyDueMs) this.#tidy(atMs);
    if (this.#mayDial(input, atMs)) {
      this.#dialsDueMs = this.#dials.run(atMs);
      this.#dialsTurn = this.#presence.turns;
    }
    return this.#state.takeEffects();
  }

  /** Whether there can be anything new to dial: messages come often, and mostly change nothing in this. */
  #mayDial({ kind }: MeshInput, nowMs: number): boolean {
    const isNothing = kind === "message" || kind === "tick" || kind === "observed";
    return !isNothing || nowMs >= this.#dialsDueMs || this.#dialsTurn !== this.#presence.turns;
  }

  get #dials(): MemberDials | ClientDials {
    return this.#state.role === "client" ? this.#clientDials : this.#memberDials;
  }

  /** When the machine wants a `tick`, on the clock of `handle`; infinite before the first input. */
  get wakeAtMs(): number {
    return Math.min(
      this.#presence.dueMs,
      this.#wanted.dueMs,
      this.#paths.dueMs,
      this.#spread.dueMs,
      this.#repair.dueMs,
      this.#dialsDueMs,
      this.#tidyDueMs,
    );
  }

  #take(input: MeshInput, nowMs: number): void {
    switch (input.kind) {
      case "self":
        return this.#onSelf(input.record, nowMs);
      case "observed":
        this.#memberDials.observed = input.addresses;
        return;
      case "link_up":
        return this.#onLinkUp(input, nowMs);
      case "health":
        return this.#onHealth(input.peer, input.health, nowMs);
      case "rtt":
        return this.#onRtt(input);
      case "message":
        return this.#onMessage(input.from, input.message, nowMs);
      case "records":
        return this.#onRecords(input, nowMs);
      case "revocations":
        return this.#repair.setRevoked(input.serials, input.from);
      case "revoked":
        return this.#onRevoked(input, nowMs);
      case "seeds":
        return this.#onSeeds(input.seeds);
      case "dialed":
        return this.#book.end(input.peer, input.outcome, nowMs);
      case "want_direct":
        return this.#clientDials.want(input.peer, nowMs);
      case "tick":
        return;
      default:
        return assertNever(input);
    }
  }

  #onSeeds(seeds: readonly BootstrapPeer[]): void {
    const others = seeds.filter(({ nodeId }) => nodeId !== this.#state.self).slice(0, SEEDS_MAX);
    this.#setSeeds(others);
  }

  #setSeeds(seeds: readonly BootstrapPeer[]): void {
    this.#memberDials.seeds = this.#clientDials.seeds = seeds;
  }

  #onSelf(record: SignedRecord, nowMs: number): void {
    const { self, role, store } = this.#state;
    if (role === "client" || record.record.node !== self) return;
    if (store.put(record, nowMs) === "known") return;
    const entry = store.get(self);
    if (entry !== undefined) entry.absentSinceMs = undefined;
    this.#spread.add(self, { source: self, isNewProcess: false }, nowMs);
  }

  #onLinkUp(up: Of<"link_up">, nowMs: number): void {
    const { self, store, neighbours } = this.#state;
    const { peer } = up;
    if (peer === self) return;
    const ledTo = neighbours.get(peer)?.paths ?? [];
    const neighbour = neighbours.add({
      peer,
      role: up.role,
      session: up.session,
      upMs: nowMs,
      isPunched: this.#book.isPunching(peer, nowMs),
      incarnation: store.get(peer)?.signed.record.incarnation ?? -1,
    });
    this.#book.forget(peer);
    this.#greet(neighbour, nowMs);
    this.#refresh([peer, ...ledTo], nowMs);
  }

  #greet(neighbour: Neighbour, nowMs: number): void {
    this.#repair.greet(neighbour, nowMs);
    this.#paths.greet(neighbour.peer);
  }

  #onHealth(peer: NodeId, health: LinkHealth, nowMs: number): void {
    const neighbour = this.#state.neighbours.get(peer);
    if (neighbour === undefined || neighbour.health === health) return;
    if (!neighbour.isClosing) this.#book.forget(peer);
    if (health === "closed") {
      return this.#refresh([peer, ...this.#state.neighbours.remove(peer)], nowMs);
    }
    // While it was silent nothing was sent to it.
    const wasSilent = neighbour.health === "silent";
    neighbour.health = health;
    if (wasSilent && isUsable(neighbour)) this.#greet(neighbour, nowMs);
    this.#refresh([peer, ...neighbour.paths], nowMs);
  }

  #onRtt({ peer, rttMs }: Of<"rtt">): void {
    const neighbour = this.#state.neighbours.get(peer);
    if (neighbour !== undefined) neighbour.rttMs = rttMs;
  }

  #onMessage(from: NodeId, message: MeshMessage, nowMs: number): void {
    const neighbour = this.#state.neighbours.get(from);
    if (neighbour === undefined || neighbour.isClosing) return;
    if (!neighbour.messages.take(1, nowMs)) {
      this.#book.postpone(from, nowMs + FLOOD_MS);
      return this.#close(neighbour, "flood", nowMs);
    }
    switch (message.t) {
      case "digest":
        return this.#repair.onDigest(neighbour, message, nowMs);
      case "want":
        return this.#repair.sendRecords(neighbour, new Set(message.nodes), nowMs);
      case "paths":
        return this.#onPaths(neighbour, message, nowMs);
      case "dial_me":
        return this.#onDialMe(neighbour, message, nowMs);
      default:
        return assertNever(message);
    }
  }

  #onPaths(from: Neighbour, news: Extract<MeshMessage, { t: "paths" }>, nowMs: number): void {
    const changed = this.#state.neighbours.setPaths(from.peer, news);
    for (const node of changed) if (from.paths.has(node)) this.#wanted.note(node, nowMs);
    this.#refresh(changed, nowMs);
  }

  /** We are asked to dial, or to pass the question on, once: only from and to members that we hear. */
  #onDialMe(via: Neighbour, ask: Extract<MeshMessage, { t: "dial_me" }>, nowMs: number): void {
    const { self, role, neighbours } = this.#state;
    if (role === "client" || via.role === "client") return;
    if (ask.target === self) {
      const { from, addresses, leafHash } = ask;
      if (from === self || from === via.peer || !via.paths.has(from)) return;
      return this.#memberDials.answer({ peer: from, addresses, leafHash }, nowMs);
    }
    const target = neighbours.get(ask.target);
    if (ask.from !== via.peer || target === undefined) return;
    if (target.role === "client" || !isLive(target) || !via.dialMe.take(1, nowMs)) return;
    this.#state.emit({ kind: "send", to: ask.target, message: ask });
  }

  #onRecords({ from, records }: Of<"records">, nowMs: number): void {
    const { neighbours } = this.#state;
    const source = from === undefined ? undefined : neighbours.get(from);
    if (from !== undefined && (source === undefined || source.role === "client")) return;
    for (const signed of records) {
      const { node } = signed.record;
      const before = this.#state.store.get(node)?.signed.record;
      if (!this.#intake.take(signed, nowMs)) continue;
      const isNewProcess = before !== undefined && before.session !== signed.record.session;
      if (before === undefined || isNewProcess) this.#redial(node, nowMs);
      if (from !== undefined) this.#spread.add(node, { source: from, isNewProcess }, nowMs);
      this.#refresh([node, ...this.#state.store.takeEvicted()], nowMs);
    }
  }

  /** A new process of a node: what failed with the old one says nothing. */
  #redial(node: NodeId, nowMs: number): void {
    if (this.#state.role === "member") this.#memberDials.renew(node, nowMs);
    else this.#book.reset(node, nowMs);
  }

  #onRevoked({ node, reason }: Of<"revoked">, nowMs: number): void {
    const { self, store, neighbours } = this.#state;
    if (node === self) return;
    store.remove(node);
    // Who is only late may come back with a new certificate.
    if (reason === "revoked") {
      this.#setSeeds(this.#memberDials.seeds.filter(({ nodeId }) => nodeId !== node));
    }
    const neighbour = neighbours.get(node);
    if (neighbour !== undefined) this.#close(neighbour, reason, nowMs);
    this.#book.forget(node);
    this.#refresh([node], nowMs);
  }

  #close(neighbour: Neighbour, reason: string, nowMs: number): void {
    if (neighbour.isClosing) return;
    neighbour.isClosing = true;
    this.#state.emit({ kind: "close", peer: neighbour.peer, reason });
    this.#refresh([neighbour.peer, ...neighbour.paths], nowMs);
  }

  /** The ways to these nodes may have changed. */
  #refresh(nodes: Iterable<NodeId>, nowMs: number): void {
    this.#paths.touch(nowMs);
    for (const node of new Set(nodes)) {
      const wasHere = this.#presence.isHere(node);
      this.#presence.refresh(node, nowMs);
      // Heard of again, through others: now it is worth a dial.
      if (!wasHere && this.#presence.isHere(node)) this.#redial(node, nowMs);
    }
  }

  #tidy(nowMs: number): void {
    this.#tidyDueMs = nowMs + TIDY_MS;
    this.#state.store.expire(nowMs);
    this.#state.neighbours.tidy();
    this.#dials.tidy(nowMs);
    this.#dialsTurn = -1;
  }

  /**
   * Whether a record that `from` sends is worth checking; what it costs is counted against `from`. Ask once for each
   * record, before its signature is looked at.
   */
  judge(from: NodeId, mark: RecordMark, nowMs: number): RecordVerdict {
    return this.#intake.judge(from, mark, nowMs);
  }

  /** Members who are here, by id; we ourselves are not among them. */
  members(): readonly MemberView[] {
    return this.#presence.members();
  }

  /** One member, when it is here. */
  member(node: NodeId): MemberView | undefined {
    return this.#presence.view(node);
  }

  /** Clients that hang on us. */
  clients(): readonly NodeId[] {
    return [...this.#state.neighbours.all()].filter(({ role, isClosing }) =>
      role === "client" && !isClosing
    ).map(({ peer }) => peer);
  }

  /** Records of all members that did not leave, here or not, without our own: to find the mesh again later. */
  records(): readonly SignedRecord[] {
    const { self, store } = this.#state;
    return [...store.entries()].filter(([node, { signed }]) =>
      node !== self && !signed.record.isLeaving
    ).map(([, { signed }]) => signed);
  }
}
