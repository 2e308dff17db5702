/** One node of a simulated mesh: the membership machine with a driver, as lib/node has one. */
import { createHash } from "node:crypto";
import type { PeerAddress } from "~/mesh/address.ts";
import type { ControlMessage } from "~/mesh/control.ts";
import type { BootstrapPeer, Role } from "~/mesh/credentials.ts";
import type { NodeId } from "~/mesh/ids.ts";
import type { LinkHealth } from "~/mesh/link_ports.ts";
import { Membership } from "~/mesh/membership.ts";
import type { MemberEvent, MeshEffect, MeshInput } from "~/mesh/membership_ports.ts";
import type { NodeRecord, SignedRecord } from "~/mesh/record.ts";
import { replaces } from "~/node/mesh/link_choice.ts";
import type { Chance } from "./chance.ts";
import type { EventQueue } from "./event_queue.ts";
import type { Endpoint, Host, LinkEnd, Network } from "./network.ts";

/** What all processes of a simulation share. */
export interface Surroundings {
  readonly queue: EventQueue;
  readonly chance: Chance;
  readonly network: Network;
  /** Stands for signatures: whatever is in here was signed. */
  readonly signed: Map<string, SignedRecord>;
  /** Who is at an address. */
  hostAt(address: PeerAddress): Host | undefined;
  /** Told of what a process thinks of others. */
  onMember(process: SimProcess, event: MemberEvent, node: NodeId): void;
}

/** Who a process is. */
export interface Identity {
  readonly node: NodeId;
  readonly role: Role;
  readonly host: Host;
  readonly address: PeerAddress;
}

/** The id of the node number `n`: the same in every run. */
export function simulatedId(n: number): NodeId {
  return createHash("sha256").update(`simulated ${n}`).digest("base64url");
}

/** A running node. */
export class SimProcess implements Endpoint {
  readonly identity: Identity;
  readonly session: string;
  readonly machine: Membership;
  readonly #around: Surroundings;
  readonly #current = new Map<NodeId, LinkEnd>();
  readonly #revoked = new Set<string>();
  /** Who is here and with which incarnation, put together from the events. */
  readonly seen = new Map<NodeId, number>();
  #incarnation: number;
  #wakeMs = Number.POSITIVE_INFINITY;
  isAlive = true;
  isLeaving = false;

  constructor(identity: Identity, startNumber: number, around: Surroundings) {
    this.identity = identity;
    this.#around = around;
    this.session = `session-${startNumber}`;
    this.#incarnation = 1_700_000_000_000 + Math.round(around.queue.nowMs);
    this.machine = new Membership({ self: identity.node, role: identity.role, rng: around.chance });
    around.network.listen(this);
  }

  get host(): Host {
    return this.identity.host;
  }

  /** Incarnation of its record; 0 for a client. */
  get incarnation(): number {
    return this.identity.role === "client" ? 0 : this.#incarnation;
  }

  /** Begins with what is known: records of an earlier run, or nodes of an invite. */
  start(records: readonly SignedRecord[], seeds: readonly BootstrapPeer[]): void {
    if (this.identity.role === "member") this.publish();
    if (records.length > 0) this.input({ kind: "records", from: undefined, records });
    this.input({ kind: "seeds", seeds });
  }

  /** Publishes a record that is newer than the last one. */
  publish(): void {
    this.#incarnation += 1;
    this.input({ kind: "self", record: this.#sign() });
  }

  #sign(): SignedRecord {
    const { node, host, address } = this.identity;
    const record: NodeRecord = {
      node,
      incarnation: this.#incarnation,
      session: this.session,
      version: "0.1.0",
      protocol: 1,
      leafHash: node,
      addresses: [address],
      dialable: host.nat === "open" ? "yes" : "no",
      devices: [],
      offeredBytes: 0,
      engine: undefined,
      models: [],
      serving: [],
      loading: [],
      isLeaving: this.isLeaving,
    };
    const jws = `${node}.${this.session}.${this.#incarnation}`;
    const certificate = {
      jws,
      paper: {
        meshId: node,
        issuer: node,
        issuedUnixS: 0,
        expiresUnixS: Number.MAX_SAFE_INTEGER,
        serial: "serial",
        subject: node,
        rights: [],
        inviteSerial: undefined,
      },
    };
    const signed = { jws, record, certificate };
    this.#around.signed.set(jws, signed);
    return signed;
  }

  /** Says goodbye and ends. */
  leave(): void {
    this.isLeaving = true;
    if (this.identity.role === "member") this.publish();
    this.#around.queue.after(50, () => {
      for (const end of this.#current.values()) this.#around.network.close(end);
      this.isAlive = false;
    });
  }

  /** Ends without a word. */
  kill(): void {
    this.isAlive = false;
    this.#around.network.kill(this);
  }

  /** Revokes a node, as the command does. */
  revoke(node: NodeId): void {
    this.#learnRevoked([`${node}`], undefined);
  }

  #learnRevoked(serials: readonly string[], from: NodeId | undefined): void {
    const fresh = serials.filter((serial) => !this.#revoked.has(serial));
    for (const serial of fresh) this.#revoked.add(serial);
    if (fresh.length === 0) return;
    this.input({ kind: "revocations", from, serials: [...this.#revoked] });
    for (const node of fresh) this.input({ kind: "revoked", node, reason: "revoked" });
  }

  linkUp(end: LinkEnd): void {
    const peer = end.other.owner as SimProcess;
    const { node, role } = peer.identity;
    if (this.#revoked.has(node) || this.isLeaving) return this.#around.network.close(end);
    const current = this.#current.get(node);
    const facts = (of: LinkEnd) => ({
      session: (of.other.owner as SimProcess).session,
      isDialer: of.isDialer,
      health: of.health,
    });
    const ids = { self: this.identity.node, peer: node };
    if (current !== undefined && !replaces(facts(end), facts(current), ids)) return;
    this.#current.set(node, end);
    const { session } = peer;
    this.input({ kind: "link_up", peer: node, role, session, isDialer: end.isDialer });
  }

  message(end: LinkEnd, message: ControlMessage): void {
    const from = (end.other.owner as SimProcess).identity.node;
    const nowMs = this.#around.queue.nowMs;
    switch (message.t) {
      case "records": {
        const records = message.records.flatMap((jws) => {
          const signed = this.#around.signed.get(jws);
          if (signed === undefined || this.#revoked.has(signed.record.node)) return [];
          return this.machine.judge(from, signed.record, nowMs) === "news" ? [signed] : [];
        });
        if (records.length > 0) this.input({ kind: "records", from, records });
        return;
      }
      case "revocations":
        return this.#learnRevoked(message.papers, from);
      case "digest":
      case "want":
      case "paths":
      case "dial_me":
        return this.input({ kind: "message", from, message });
    }
  }

  health(end: LinkEnd, health: LinkHealth): void {
    const { node } = (end.other.owner as SimProcess).identity;
    if (this.#current.get(node) !== end) return;
    if (health === "closed") this.#current.delete(node);
    this.input({ kind: "health", peer: node, health });
  }

  /** Gives the machine what happened and does what it wants. */
  input(input: MeshInput): void {
    if (!this.isAlive) return;
    for (const effect of this.machine.handle(input, this.#around.queue.nowMs)) this.#act(effect);
    this.#plan();
  }

  #plan(): void {
    const wakeMs = this.machine.wakeAtMs;
    if (wakeMs >= this.#wakeMs || wakeMs === Number.POSITIVE_INFINITY) return;
    this.#wakeMs = wakeMs;
    this.#around.queue.at(wakeMs, () => {
      if (this.#wakeMs !== wakeMs) return;
      this.#wakeMs = Number.POSITIVE_INFINITY;
      this.input({ kind: "tick" });
    });
  }

  #act(effect: MeshEffect): void {
    const { network, queue } = this.#around;
    switch (effect.kind) {
      case "send": {
        const end = this.#current.get(effect.to);
        if (end !== undefined) network.send(end, effect.message);
        return;
      }
      case "send_revocations": {
        const end = this.#current.get(effect.to);
        const message = { t: "revocations", papers: effect.serials } as const;
        if (end !== undefined) network.send(end, message);
        return;
      }
      case "dial":
        return this.#dial(effect.peer, effect.addresses);
      case "close": {
        const end = this.#current.get(effect.peer);
        // A link tells that it is closed, but never while it is being told to.
        if (end !== undefined) queue.after(0, () => network.close(end));
        return;
      }
      case "member":
        return this.#onMember(effect.event, effect.node);
      case "outrun":
        this.#incarnation = Math.max(this.#incarnation, effect.incarnation);
        return queue.after(1, () => this.publish());
      case "clash":
        return queue.after(0, () => this.kill());
    }
  }

  #onMember(event: MemberEvent, node: NodeId): void {
    if (event === "suspect" || event === "back" || event === "rerouted") return;
    const record = this.machine.member(node)?.record.record;
    if (record === undefined) this.seen.delete(node);
    else this.seen.set(node, record.incarnation);
    this.#around.onMember(this, event, node);
  }

  /** Whether who follows the events knows the same as who asks. */
  get isConsistent(): boolean {
    const members = this.machine.members();
    return members.length === this.seen.size &&
      members.every(({ node, record }) => this.seen.get(node) === record.record.incarnation);
  }

  #dial(peer: NodeId, addresses: readonly PeerAddress[]): void {
    const { network, hostAt } = this.#around;
    const [address] = addresses;
    const host = address === undefined ? undefined : hostAt(address);
    const done = (isUp: boolean): void => {
      this.input({ kind: "dialed", peer, outcome: isUp ? "up" : "failed" });
    };
    // Nobody answers at an address without a host, as in life.
    const nowhere = { name: "nowhere", nat: "open", side: -1, port: 0 } as const;
    network.dial(this, { host: host ?? { ...nowhere }, port: address?.port ?? 0 }, done);
  }
}
