/**
 * This node's life in one mesh: its papers, its links, what it says about itself, and the ways to the others. Made anew
 * for each mesh that the node is in.
 */
import type { Clock, Timers } from "~/base/clock.ts";
import type { Rng, SecretSource } from "~/base/rng.ts";
import type { PeerAddress } from "~/mesh/address.ts";
import type { MeshAuthority } from "~/mesh/authority.ts";
import type { AskedModel } from "~/mesh/control.ts";
import type { BootstrapPeer, Invite, Right, Role, Signed } from "~/mesh/credentials.ts";
import { type LinkContext, RefusedError } from "~/mesh/handshake.ts";
import type { NodeId } from "~/mesh/ids.ts";
import type { Link, PeerStream } from "~/mesh/link_ports.ts";
import { acceptLink, dialLink } from "~/mesh/make_link.ts";
import type { MemberEvent } from "~/mesh/membership_ports.ts";
import type { Refusal } from "~/mesh/refusal.ts";
import {
  decodeRecord,
  encodeRecord,
  isFarAhead,
  RECORD_JWS_CHARS_MAX,
} from "~/mesh/record_codec.ts";
import { peekPayload, type Signer, type Verifier } from "~/mesh/signing.ts";
import type { Transport } from "~/mesh/transport.ts";
import type { UnprovenGate } from "~/mesh/unproven.ts";
import { PROTOCOL_VERSION } from "~/mesh/wire.ts";
import { type AddressFacts, dialableOf, ownAddresses } from "./addresses.ts";
import { bootstrapPeers, INVITE_PEERS_MAX } from "./bootstrap_peers.ts";
import { raceWays } from "./dial_race.ts";
import { ClientVoice } from "./client_voice.ts";
import { InterfaceWatch } from "./interface_watch.ts";
import { joinFailure } from "./join_failure.ts";
import type { LinkMaker } from "./link_table.ts";
import { MemberWays } from "./member_ways.ts";
import { MeshSession } from "./mesh_session.ts";
import type { OwnFacts } from "./own_record.ts";
import { OwnVoice } from "./own_voice.ts";
import { PaperFlows } from "./paper_flows.ts";
import { RecordDesk } from "./record_desk.ts";

/** Peers of a token that are tried before the ones before have answered: each has several addresses. */
const JOIN_STAGGER_MS = 500;
/** For all peers of a token. */
const JOIN_MS_MAX = 15_000;
/** For the last words of answers to be read by who asked: some round trips of the slowest way. */
const ANSWERS_MS = 2_000;

/** What this node is, in whatever mesh. */
export interface LifeSelf {
  readonly nodeId: NodeId;
  readonly session: string;
  readonly version: string;
  readonly role: Role;
}

/** What a record says beyond who and where the node is. */
export type LocalFacts = Pick<OwnFacts, "engine" | "offeredBytes" | "models" | "slot" | "election">;

/** What a life tells the node. */
export interface LifeEvents {
  member(event: MemberEvent, node: NodeId): void;
  stream(link: Link, stream: PeerStream): void;
  /** Callers of a client asked for models. */
  demand(client: NodeId, asked: readonly AskedModel[]): void;
  /** A node was revoked: it is not to be looked for any more. */
  revoked(node: NodeId): void;
  /** Papers, peers or the own place changed: to be kept and shown. */
  changed(): void;
  /** The own certificate does not hold any more. */
  expelled(why: Refusal): void;
  /** About once a minute: time to look at what only time changes. */
  looked(): void;
  clash(): void;
}

/** What a life is made of. */
export interface MeshLifeParts {
  readonly self: LifeSelf;
  readonly authority: MeshAuthority;
  readonly signer: Signer;
  readonly verifier: Verifier;
  readonly transport: Transport;
  readonly gate: UnprovenGate;
  readonly secrets: SecretSource;
  readonly rng: Rng;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly advertised: readonly PeerAddress[];
  readonly interfaces: () => readonly string[];
  readonly facts: () => LocalFacts;
  /** Members may not admit others. */
  readonly isClosed: boolean;
  readonly events: LifeEvents;
}

/** A node in a mesh. */
export class MeshLife {
  readonly authority: MeshAuthority;
  readonly session: MeshSession;
  readonly voice: OwnVoice;
  readonly flows: PaperFlows;
  readonly ways: MemberWays;
  /** What it says as a client, which has no record. */
  readonly clientVoice: ClientVoice;
  readonly #parts: MeshLifeParts;
  /** The invite of each peer that is dialled to join. */
  readonly #joining = new Map<NodeId, string>();
  #isLeaving = false;
  /** Somebody reached this node whom it had not dialled. */
  #wasReached = false;
  readonly #interfaces: InterfaceWatch;

  constructor(parts: MeshLifeParts) {
    this.#parts = parts;
    this.#interfaces = new InterfaceWatch({
      read: parts.interfaces,
      timers: parts.timers,
      changed: () => {
        this.voice.changed();
        parts.events.changed();
      },
    });
    this.authority = parts.authority;
    this.session = this.#makeSession();
    this.ways = new MemberWays({
      members: () => this.session.members(),
      link: (peer) => this.session.table.get(peer),
      wantDirect: (peer) => this.session.tell({ kind: "want_direct", peer }),
    });
    this.voice = this.#makeVoice();
    this.clientVoice = new ClientVoice({
      members: () => this.session.members(),
      link: (peer) => this.session.table.get(peer),
      timers: parts.timers,
    });
    this.flows = new PaperFlows({
      authority: parts.authority,
      isClient: this.role === "client",
      session: this.session,
      timers: parts.timers,
      changed: () => {
        this.voice.changed();
        parts.events.changed();
      },
      expelled: parts.events.expelled,
      looked: () => parts.events.looked(),
    });
  }

  /** How this node acts in it. */
  get role(): Role {
    return this.#parts.self.role;
  }

  /** Begins to speak, once there is a certificate; resolves when the first record is out. */
  async begin(): Promise<void> {
    const serials = this.authority.revocationSerials();
    if (serials.length > 0) this.session.tell({ kind: "revocations", from: undefined, serials });
    await this.voice.speak();
    this.session.tell({ kind: "tick" });
  }

  /** Peers to look for others at, as long as nobody is here. */
  seed(peers: readonly BootstrapPeer[]): void {
    const seeds = peers.filter(({ nodeId }) => !this.authority.isRevoked(nodeId));
    this.session.tell({ kind: "seeds", seeds });
  }

  /** Where this node can be dialled, best first. */
  addresses(): readonly PeerAddress[] {
    return ownAddresses(this.#addressFacts());
  }

  /**
   * Comes in by an invite: dials its peers until one admits this node.
   *
   * @throws {UserError} with one sentence that says why not
   */
  async join(invite: Signed<Invite>, signal: AbortSignal): Promise<void> {
    const { timers } = this.#parts;
    const peers = invite.paper.peers.filter(({ nodeId }) => nodeId !== this.#parts.self.nodeId);
    for (const { nodeId } of peers) this.#joining.set(nodeId, invite.jws);
    try {
      await raceWays<BootstrapPeer, Link>({
        ways: peers,
        attempt: ({ nodeId, leafHash, addresses }, ended) =>
          this.session.table.dial({ peer: nodeId, leafHash, addresses }, ended),
        // One admission is enough, and a second link does no harm.
        discard: () => {},
        nameOf: ({ nodeId }) => nodeId.slice(0, 8),
        timers,
        staggerMs: JOIN_STAGGER_MS,
        limitMs: JOIN_MS_MAX,
        signal,
      });
    } catch (error) {
      throw joinFailure(error, peers.length);
    } finally {
      this.#joining.clear();
    }
  }

  /** All that an invite could name, the best first. */
  bootstrapPeers(): readonly BootstrapPeer[] {
    const { self: { nodeId, role }, transport: { leafHash }, isClosed } = this.#parts;
    return bootstrapPeers({
      own: { nodeId, leafHash, addresses: this.addresses() },
      role,
      dialable: dialableOf(this.#addressFacts(), this.#wasReached),
      members: this.session.members(),
      isClosed,
    });
  }

  /**
   * Makes an invite.
   *
   * @param peers whom it names. @default {the best}
   * @throws {UserError} when this node may not invite
   */
  makeInvite(
    rights: readonly Right[],
    expiresInMs?: number,
    peers: readonly BootstrapPeer[] = this.bootstrapPeers().slice(0, INVITE_PEERS_MAX),
  ): Promise<Signed<Invite>> {
    return this.authority.makeInvite({
      rights,
      peers,
      ...(expiresInMs === undefined ? {} : { expiresInMs }),
    });
  }

  /** Says goodbye, then ends all links. */
  async leave(): Promise<void> {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    await this.voice.speak();
    // A link that closes takes with it what its peer has not read: the last words of answers.
    await this.session.table.answersTaken(ANSWERS_MS);
    await this.close("leaving");
  }

  /** Ends without a goodbye to the mesh; resolves when the links are gone. */
  async close(reason: string): Promise<void> {
    this.#interfaces.close();
    this.voice.close();
    this.clientVoice.close();
    this.flows.close();
    await this.session.close(reason);
  }

  #addressFacts(): AddressFacts {
    const { advertised, transport } = this.#parts;
    const links = this.session.table.all();
    return {
      advertised,
      interfaces: this.#interfaces.current(),
      // A link that was dialled outlives a change of address; what its peer saw then is nobody's now.
      observed: links.map(({ observedAddress }) => observedAddress)
        .filter(({ ip }) => !this.#interfaces.wasOwn(ip)),
      port: transport.port,
    };
  }

  #makeSession(): MeshSession {
    const { self, authority, transport, clock, timers, rng, events } = this.#parts;
    return new MeshSession({
      meshId: authority.meshId,
      self: self.nodeId,
      role: self.role,
      transport,
      maker: this.#linkMaker(),
      isRevoked: (node) => authority.isRevoked(node),
      desk: (session) => this.#makeDesk(session),
      revocationPapers: (serials) => {
        const wanted = new Set(serials);
        const others = authority.revocationSerials().filter((serial) => !wanted.has(serial));
        return authority.revocationsBeyond(others);
      },
      events: {
        member: events.member,
        // What a client serves is for its own machine, and it passes nothing on.
        stream: (link, stream) =>
          self.role === "client" ? stream.cancel() : events.stream(link, stream),
        linkUp: (link) => this.#onLinkUp(link),
        linkDown: (link) => {
          this.ways.onHealth(link.peer.nodeId, "closed");
          events.changed();
        },
        revoked: events.revoked,
        health: (link, health) => this.ways.onHealth(link.peer.nodeId, health),
        quiet: (link) => this.ways.onQuiet(link.peer.nodeId),
        demand: events.demand,
        paper: (link, message) => this.flows.onMessage(link, message),
        outrun: (incarnation) => void this.voice.outrun(incarnation),
        clash: events.clash,
      },
      clock,
      timers,
      rng,
    });
  }

  #makeDesk(session: MeshSession): RecordDesk {
    const { authority, verifier, clock } = this.#parts;
    return new RecordDesk({
      peek: (jws) => {
        const payload = peekPayload(jws, RECORD_JWS_CHARS_MAX);
        return payload === undefined ? undefined : decodeRecord(payload)?.record;
      },
      verify: (jws, id) => verifier.verify(jws, { type: "mesh-llm-record", id }),
      read: decodeRecord,
      checkCertificate: (jws, node) => authority.checkCertificate(jws, node),
      isFarAhead: (incarnation) => isFarAhead(incarnation, clock.wallMs()),
      judge: (from, mark) => session.judge(from, mark),
      deliver: (from, records) => session.deliver(from, records),
    });
  }

  #makeVoice(): OwnVoice {
    const { self, signer, timers, clock } = this.#parts;
    return new OwnVoice({
      facts: () => this.#ownFacts(),
      // A client is in nobody's list: it says nothing.
      certificate: () => self.role === "client" ? undefined : this.authority.certificate,
      sign: (record, certificateJws) =>
        signer.sign("mesh-llm-record", encodeRecord(record, certificateJws)),
      publish: (record) => this.session.tell({ kind: "self", record }),
      timers,
      // Of this life: in a mesh that it comes back to, its word must be newer than its own farewell.
      startedUnixMs: clock.wallMs(),
    });
  }

  #ownFacts(): OwnFacts {
    const { self, transport, facts } = this.#parts;
    return {
      node: self.nodeId,
      session: self.session,
      version: self.version,
      protocol: PROTOCOL_VERSION,
      leafHash: transport.leafHash,
      addresses: this.addresses(),
      dialable: dialableOf(this.#addressFacts(), this.#wasReached),
      isLeaving: this.#isLeaving,
      ...facts(),
    };
  }

  #linkMaker(): LinkMaker {
    const { gate } = this.#parts;
    const context = this.#linkContext();
    return {
      accept: (connection) => acceptLink(connection, { context, gate }),
      dial: async (connection, expected, signal) => {
        // Who has a certificate that holds needs no invite any more.
        const invite = this.authority.certificate === undefined
          ? this.#joining.get(expected)
          : undefined;
        const { link, issued } = await dialLink(connection, { context, expected, invite, signal });
        if (issued !== undefined) await this.#takeIssued(link, issued);
        return link;
      },
    };
  }

  async #takeIssued(link: Link, issued: string): Promise<void> {
    const taken = await this.authority.takeCertificate(issued);
    if (typeof taken === "string") return;
    link.close("certificate");
    throw new RefusedError(taken.code, taken.message);
  }

  #linkContext(): LinkContext {
    const { self, authority, signer, verifier, secrets, clock, timers } = this.#parts;
    return {
      meshId: () => authority.meshId,
      self,
      certificateJws: () => authority.certificate?.jws,
      signer,
      verifier,
      papers: {
        checkCertificate: (jws, node) => authority.checkCertificate(jws, node),
        admit: (jws, joiner) => authority.admit(jws, joiner),
      },
      secrets,
      clock,
      timers,
    };
  }

  #onLinkUp(link: Link): void {
    // Whoever was dialled before came through a door that our own dial may have opened.
    const { nodeId } = link.peer;
    if (!link.isDialer && !this.session.table.wasDialled(nodeId)) this.#wasReached = true;
    // What only the machine itself knows is of no use to who is to dial through two translations.
    const observed = ownAddresses({ ...this.#addressFacts(), interfaces: [] });
    this.session.tell({ kind: "observed", addresses: observed });
    this.flows.onLinkUp(link);
    this.voice.changed();
    this.#parts.events.changed();
  }
}
