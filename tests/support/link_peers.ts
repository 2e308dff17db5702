/** Nodes that make links with each other: stand-in papers, any network, any time. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import type { Clock, Timers } from "~/base/clock.ts";
import { type Certificate, rightsOf, type Role, type Signed } from "~/mesh/credentials.ts";
import type { PeerAddress } from "~/mesh/address.ts";
import type { ControlMessage } from "~/mesh/control.ts";
import type { LinkContext } from "~/mesh/handshake.ts";
import { type NodeId, serialOf } from "~/mesh/ids.ts";
import type { MeshLink } from "~/mesh/link.ts";
import type { LinkEnd, LinkEvents, LinkHealth, PeerStream } from "~/mesh/link_ports.ts";
import { acceptLink, dialLink } from "~/mesh/make_link.ts";
import { type Refusal, refusal } from "~/mesh/refusal.ts";
import type { Connection, Transport } from "~/mesh/transport.ts";
import { UnprovenGate } from "~/mesh/unproven.ts";
import { standInId, standInJws, standInSigner, standInVerifier } from "./stand_in_signer.ts";

/** The mesh of these tests. */
export const MESH_ID = standInId("mesh");

/** Ids whose certificates do not hold any more, by why. */
export type BadPapers = Map<NodeId, "expired" | "revoked">;

/** One node at a transport. */
export class TestPeer {
  readonly nodeId: NodeId;
  readonly transport: Transport;
  readonly gate = new UnprovenGate();
  /** Certificates that this node finds expired or revoked. */
  readonly bad: BadPapers = new Map();
  context: LinkContext;

  constructor(
    name: string,
    { transport, time, role = "member" }: {
      readonly transport: Transport;
      readonly time: Clock & Timers;
      readonly role?: Role;
    },
  ) {
    this.nodeId = standInId(name);
    this.transport = transport;
    this.context = {
      meshId: () => MESH_ID,
      self: { nodeId: this.nodeId, session: `session-of-${name}`, version: "0.1.0", role },
      certificateJws: () => certificateFor(this.nodeId, role),
      signer: standInSigner(this.nodeId),
      verifier: standInVerifier,
      papers: {
        checkCertificate: (jws, node) => this.#check(jws, node),
        admit: (invite, joiner) => this.#admit(invite, joiner),
      },
      secrets: { bytes: (length) => new Uint8Array(randomBytes(length)) },
      clock: time,
      timers: time,
    };
  }

  /** Accepts the next connection as a link. */
  async accept(): Promise<MeshLink> {
    const connection = await this.transport.accept();
    assert.ok(connection !== undefined);
    return await acceptLink(connection, this);
  }

  /** Connects without a handshake. */
  async connect(to: TestPeer, address: PeerAddress): Promise<Connection> {
    const { signal } = new AbortController();
    return await this.transport.dial(address, { leafHash: to.transport.leafHash, signal });
  }

  /** Dials and makes a link. */
  async dial(to: TestPeer, address: PeerAddress, invite?: string): Promise<MeshLink> {
    const connection = await this.connect(to, address);
    const { context } = this;
    return (await dialLink(connection, { context, expected: to.nodeId, invite })).link;
  }

  async #check(jws: string, node: NodeId): Promise<Signed<Certificate> | Refusal> {
    const payload = await standInVerifier.verify(jws, {
      type: "mesh-llm-certificate",
      id: MESH_ID,
    });
    if (payload === undefined || payload["subject"] !== node) {
      return refusal("certificate", "The certificate is not by this mesh, or for another node");
    }
    const why = this.bad.get(node);
    if (why !== undefined) return refusal(why, `The certificate is ${why}`);
    return {
      jws,
      paper: certificatePaper(node, payload["role"] === "client" ? "client" : "member"),
    };
  }

  #admit(invite: string, joiner: NodeId): Promise<Signed<Certificate> | Refusal> {
    if (invite !== INVITE) {
      return Promise.resolve(refusal("invite", "The invite is not of this mesh"));
    }
    const jws = certificateFor(joiner, "member");
    return Promise.resolve({ jws, paper: certificatePaper(joiner, "member") });
  }
}

/** The token that every {@link TestPeer} takes. */
export const INVITE = standInJws(MESH_ID, "mesh-llm-invite", { any: true });

/** A certificate of the mesh for `node`. */
export function certificateFor(node: NodeId, role: Role): string {
  return standInJws(MESH_ID, "mesh-llm-certificate", { subject: node, role });
}

function certificatePaper(subject: NodeId, role: Role): Certificate {
  return {
    meshId: MESH_ID,
    issuer: MESH_ID,
    issuedUnixS: 1_700_000_000,
    expiresUnixS: 1_800_000_000,
    serial: serialOf(MESH_ID, "AAAAAAAAAAA"),
    subject,
    rights: rightsOf(role),
    inviteSerial: undefined,
  };
}

/** Remembers what a link tells; lets a test wait for it. */
export class Recorder implements LinkEvents {
  readonly messages: ControlMessage[] = [];
  readonly healths: LinkHealth[] = [];
  /** How often it was told that the link is quiet. */
  quietCount = 0;
  readonly #streams: PeerStream[] = [];
  readonly #takers: ((stream: PeerStream) => void)[] = [];
  readonly #end = Promise.withResolvers<LinkEnd>();
  readonly #waits: { readonly count: number; readonly resolve: () => void }[] = [];

  /** How the link ended. */
  get end(): Promise<LinkEnd> {
    return this.#end.promise;
  }

  message(message: ControlMessage): void {
    this.messages.push(message);
    for (const { count, resolve } of this.#waits) if (this.messages.length >= count) resolve();
  }

  stream(stream: PeerStream): void {
    const take = this.#takers.shift();
    if (take === undefined) this.#streams.push(stream);
    else take(stream);
  }

  health(health: LinkHealth): void {
    this.healths.push(health);
  }

  quiet(): void {
    this.quietCount += 1;
  }

  closed(end: LinkEnd): void {
    this.#end.resolve(end);
  }

  /** The next stream that the peer opens. */
  async nextStream(): Promise<PeerStream> {
    const stream = this.#streams.shift();
    return stream ?? await new Promise((resolve) => this.#takers.push(resolve));
  }

  /** Until so many messages have come in all. */
  async received(count: number): Promise<void> {
    if (this.messages.length >= count) return;
    await new Promise<void>((resolve) => this.#waits.push({ count, resolve }));
  }
}

/** Lets promises settle. */
export async function settle(turns = 20): Promise<void> {
  for (let turn = 0; turn < turns; turn += 1) {
    await new Promise((turned) => setImmediate(turned));
  }
}
