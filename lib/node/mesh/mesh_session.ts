/**
 * One mesh, as long as this node is in it: drives the membership machine and does what it says. Owns the machine, its
 * one timer, the links and the desk of records; inputs are handled one after another, in the order they came.
 */
import { getLogger } from "@logtape/logtape";
import type { CancelTimer, Clock, Timers } from "~/base/clock.ts";
import { messageOf } from "~/base/errors.ts";
import type { Rng } from "~/base/rng.ts";
import type { AskedModel, ControlMessage, RecordMark } from "~/mesh/control.ts";
import type { Role } from "~/mesh/credentials.ts";
import { RefusedError } from "~/mesh/handshake.ts";
import type { MeshId, NodeId } from "~/mesh/ids.ts";
import { shortId } from "~/mesh/ids.ts";
import type { Link, LinkEnd, LinkHealth, PeerStream } from "~/mesh/link_ports.ts";
import { Membership } from "~/mesh/membership.ts";
import type {
  DialOutcome,
  MemberEvent,
  MemberView,
  MeshEffect,
  MeshInput,
  MeshMessage,
  RecordVerdict,
} from "~/mesh/membership_ports.ts";
import type { SignedRecord } from "~/mesh/record.ts";
import type { Transport } from "~/mesh/transport.ts";
import { RaceLostError } from "./dial_race.ts";
import { type DialTarget, type LinkMaker, LinkTable } from "./link_table.ts";
import type { RecordDesk } from "./record_desk.ts";

const log = getLogger(["mesh-llm", "mesh"]);

/** Between two looks at the round trips of links. */
const RTT_LOOK_MS = 5_000;
/** A peer that ended a link with one of these words would end the next one, too: so long it is not dialled. */
const UNWELCOME = new Set(["full", "revoked", "expired", "certificate", "flood", "protocol"]);
const UNWELCOME_MS = 10_000;
const UNWELCOME_MAX = 256;

/** What a session tells the node. */
export interface SessionEvents {
  member(event: MemberEvent, node: NodeId): void;
  stream(link: Link, stream: PeerStream): void;
  linkUp(link: Link): void;
  linkDown(link: Link, end: LinkEnd): void;
  /** A node was revoked; it may never have had a link. */
  revoked(node: NodeId): void;
  health(link: Link, health: LinkHealth): void;
  /** As in {@link LinkTableEvents}. */
  quiet(link: Link): void;
  /** Papers: revocations, grants, renewals, certificates. */
  paper(link: Link, message: PaperMessage): void;
  /** Callers of a client asked for models. */
  demand(client: NodeId, asked: readonly AskedModel[]): void;
  /** Somebody has a newer record of this node. */
  outrun(incarnation: number): void;
  /** Another process runs with this node's key. */
  clash(): void;
}

/** Control messages about papers. */
export type PaperMessage = Extract<
  ControlMessage,
  { readonly t: "revocations" | "grant" | "renew" | "renewed" | "certificate" }
>;

/** What a session works with. */
export interface MeshSessionOptions {
  readonly meshId: MeshId;
  readonly self: NodeId;
  readonly role: Role;
  readonly transport: Pick<Transport, "dial">;
  readonly maker: LinkMaker;
  /** Whether a node was revoked for good. */
  readonly isRevoked: (node: NodeId) => boolean;
  readonly desk: (session: MeshSession) => RecordDesk;
  /** Revocations by serial, as they travel. */
  readonly revocationPapers: (serials: readonly string[]) => readonly string[];
  readonly events: SessionEvents;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly rng: Rng;
}

/** A mesh that this node is in. */
export class MeshSession {
  readonly meshId: MeshId;
  readonly table: LinkTable;
  readonly #options: MeshSessionOptions;
  readonly #machine: Membership;
  readonly #desk: RecordDesk;
  readonly #inbox: MeshInput[] = [];
  readonly #settling = new Set<() => void>();
  /** The first neighbour that told whom it is linked with, and those. */
  #told: readonly NodeId[] | undefined;
  /** Peers that sent us away, and until when. */
  readonly #unwelcome = new Map<NodeId, number>();
  /** Kept until the machine hears something: every request asks several times. */
  #members: readonly MemberView[] | undefined;
  #isHandling = false;
  #isClosed = false;
  #wake: { readonly atMs: number; readonly cancel: CancelTimer } | undefined;
  #rttLook: CancelTimer | undefined;

  constructor(options: MeshSessionOptions) {
    const { self, role, rng, transport, maker, isRevoked, timers } = options;
    this.meshId = options.meshId;
    this.#options = options;
    this.#machine = new Membership({ self, role, rng });
    this.#desk = options.desk(this);
    this.table = new LinkTable({
      self,
      transport,
      maker,
      isRevoked,
      timers,
      events: {
        up: (link) => this.#onUp(link),
        message: (link, message) => this.#onMessage(link, message),
        stream: (link, stream) => options.events.stream(link, stream),
        health: (link, health) => this.#onHealth(link, health),
        quiet: (link) => options.events.quiet(link),
        down: (link, end) => this.#onDown(link, end),
      },
    });
    this.#lookAtRtts();
  }

  /** Members that are here, this node not counted. */
  members(): readonly MemberView[] {
    return this.#members ??= this.#machine.members();
  }

  /** One member, when it is here. */
  member(node: NodeId): MemberView | undefined {
    return this.#machine.member(node);
  }

  /** Clients that hang on this node. */
  clients(): readonly NodeId[] {
    return this.#machine.clients();
  }

  /** Records to find the mesh again by, after a restart. */
  records(): readonly SignedRecord[] {
    return this.#machine.records();
  }

  /** Whether a record is worth checking. */
  judge(from: NodeId, mark: RecordMark): RecordVerdict {
    return this.#machine.judge(from, mark, this.#options.clock.nowMs());
  }

  /** Hands something to the machine, and does what follows. */
  tell(input: MeshInput): void {
    if (this.#isClosed) return;
    this.#inbox.push(input);
    if (this.#isHandling) return;
    this.#isHandling = true;
    try {
      for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
        this.#members = undefined;
        for (const effect of this.#machine.handle(next, this.#options.clock.nowMs())) {
          this.#tryToAct(effect);
        }
      }
    } finally {
      this.#isHandling = false;
      this.#setTimer();
    }
    this.#settle();
  }

  /** Records that hold came in. */
  deliver(from: NodeId, records: readonly SignedRecord[]): void {
    this.tell({ kind: "records", from, records });
  }

  /** The papers of a node do not hold: nothing of it is kept, and its link ends. */
  turnOut(node: NodeId, reason: "revoked" | "expired"): void {
    this.tell({ kind: "revoked", node, reason });
    if (reason === "revoked") this.#options.events.revoked(node);
  }

  /**
   * Waits until a neighbour has told whom it is linked with and all of them are known, or `limitMs` milliseconds
   * have passed, or the session is closed: then `members()` is what the mesh is, as far as one can know so soon.
   */
  settled(limitMs: number): Promise<void> {
    if (this.#isSettled()) return Promise.resolve();
    return new Promise((resolve) => {
      const finish = (): void => {
        cancel();
        this.#settling.delete(finish);
        resolve();
      };
      const cancel = this.#options.timers.after(limitMs, finish);
      this.#settling.add(finish);
    });
  }

  /** Leaves: links end with the reason, nothing more is done. Resolves when they are gone. */
  async close(reason: string): Promise<void> {
    this.#isClosed = true;
    this.#wake?.cancel();
    this.#rttLook?.();
    this.#settle();
    await this.table.close(reason);
  }

  /** One thing that cannot be done must not keep the others from being done. */
  #tryToAct(effect: MeshEffect): void {
    try {
      this.#act(effect);
    } catch (error) {
      log.error("Cannot do what the mesh wants ({what}): {reason}", {
        what: effect.kind,
        reason: messageOf(error),
      });
    }
  }

  #act(effect: MeshEffect): void {
    const { events, revocationPapers } = this.#options;
    switch (effect.kind) {
      case "send":
        this.table.get(effect.to)?.send(effect.message);
        break;
      case "send_revocations": {
        const papers = revocationPapers(effect.serials);
        if (papers.length > 0) this.table.get(effect.to)?.send({ t: "revocations", papers });
        break;
      }
      case "dial":
        void this.#dialFor(effect);
        break;
      case "close":
        this.table.drop(effect.peer, effect.reason);
        break;
      case "member":
        log.debug("{node} {event}", { node: shortId(effect.node), event: effect.event });
        events.member(effect.event, effect.node);
        break;
      case "outrun":
        events.outrun(effect.incarnation);
        break;
      case "clash":
        events.clash();
        break;
    }
  }

  async #dialFor(target: DialTarget): Promise<void> {
    if (this.#isUnwelcomeAt(target.peer)) {
      return this.tell({ kind: "dialed", peer: target.peer, outcome: "refused" });
    }
    const outcome = await this.table.dial(target).then((): DialOutcome => "up", (error) => {
      log.debug("Cannot reach {peer}: {reason}", {
        peer: shortId(target.peer),
        reason: messageOf(error),
      });
      if (refusalsIn(error).some(isOfRevoked)) this.turnOut(target.peer, "revoked");
      return refusalsIn(error).some(isNoUse) ? "refused" : "failed";
    });
    this.tell({ kind: "dialed", peer: target.peer, outcome });
  }

  #avoid(peer: NodeId): void {
    this.#unwelcome.delete(peer);
    this.#unwelcome.set(peer, this.#options.clock.nowMs() + UNWELCOME_MS);
    const [oldest] = this.#unwelcome.keys();
    if (oldest !== undefined && this.#unwelcome.size > UNWELCOME_MAX) {
      this.#unwelcome.delete(oldest);
    }
  }

  #isUnwelcomeAt(peer: NodeId): boolean {
    const untilMs = this.#unwelcome.get(peer);
    if (untilMs === undefined) return false;
    if (this.#options.clock.nowMs() < untilMs) return true;
    this.#unwelcome.delete(peer);
    return false;
  }

  #onUp(link: Link): void {
    const { nodeId: peer, role, session } = link.peer;
    this.tell({ kind: "link_up", peer, role, session, isDialer: link.isDialer });
    this.#options.events.linkUp(link);
  }

  #onHealth(link: Link, health: LinkHealth): void {
    this.tell({ kind: "health", peer: link.peer.nodeId, health });
    this.#options.events.health(link, health);
  }

  #onDown(link: Link, end: LinkEnd): void {
    const peer = link.peer.nodeId;
    if (end.byPeer && this.#sendsAway(end.reason)) this.#avoid(peer);
    if (end.byPeer && end.reason === "leaving") {
      void this.#afterGoodbye(peer);
    } else {
      this.#desk.forget(peer);
      this.tell({ kind: "health", peer, health: "closed" });
    }
    this.#options.events.linkDown(link, end);
  }

  /** The record that says goodbye came right before the link ended, and is still being checked. */
  async #afterGoodbye(peer: NodeId): Promise<void> {
    await this.#desk.finished(peer);
    if (this.table.get(peer) !== undefined) return;
    this.tell({ kind: "health", peer, health: "closed" });
  }

  #onMessage(link: Link, message: ControlMessage): void {
    const from = link.peer.nodeId;
    switch (message.t) {
      case "records":
        return this.#desk.take(from, message.records);
      case "revocations":
      case "grant":
      case "renew":
      case "renewed":
      case "certificate":
        return this.#options.events.paper(link, message);
      case "demand":
        // A member says it in its record, where others hear it too; a client has no record to say it in.
        if (link.peer.role !== "client" || this.#options.role === "client") return;
        return this.#options.events.demand(from, message.asked);
      case "digest":
      case "want":
      case "paths":
      case "dial_me":
        if (message.t === "paths") this.#told ??= [from, ...message.up];
        return this.tell({ kind: "message", from, message: message satisfies MeshMessage });
      default:
        // Pings and the like are the link's own.
        return;
    }
  }

  /**
   * A member that is replaced has to come back at once: only by meeting the records of the other process with its
   * key can it find out. A client has no record; two with one key would drive each other out all the time.
   */
  #sendsAway(reason: string): boolean {
    if (reason === "replaced") return this.#options.role === "client";
    return UNWELCOME.has(reason);
  }

  #settle(): void {
    if (this.#settling.size === 0 || !this.#isSettled()) return;
    for (const finish of [...this.#settling]) finish();
  }

  #isSettled(): boolean {
    if (this.#isClosed) return true;
    return this.#told?.every((node) =>
      node === this.#options.self || this.#machine.member(node) !== undefined
    ) ?? false;
  }

  #setTimer(): void {
    const atMs = this.#machine.wakeAtMs;
    if (this.#wake?.atMs === atMs) return;
    this.#wake?.cancel();
    this.#wake = undefined;
    if (!Number.isFinite(atMs) || this.#isClosed) return;
    const cancel = this.#options.timers.after(
      Math.max(0, atMs - this.#options.clock.nowMs()),
      () => {
        this.#wake = undefined;
        this.tell({ kind: "tick" });
      },
    );
    this.#wake = { atMs, cancel };
  }

  #lookAtRtts(): void {
    this.#rttLook = this.#options.timers.after(RTT_LOOK_MS, () => {
      for (const link of this.table.all()) {
        const { rttMs } = link;
        if (rttMs !== undefined) this.tell({ kind: "rtt", peer: link.peer.nodeId, rttMs });
      }
      this.#lookAtRtts();
    });
  }
}

function refusalsIn(error: unknown): readonly RefusedError[] {
  const causes = error instanceof RaceLostError ? error.causes : [error];
  return causes.filter((cause) => cause instanceof RefusedError);
}

/** What the peer showed was revoked, or it is not dialled any more. */
function isOfRevoked({ byPeer, code }: RefusedError): boolean {
  return !byPeer && code === "revoked";
}

/** Somebody answered and does not want us, or we do not want it: to try again soon would change nothing. */
function isNoUse(refused: RefusedError): boolean {
  return refused.byPeer || isOfRevoked(refused);
}
