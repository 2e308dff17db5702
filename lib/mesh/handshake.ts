/**
 * The handshake: both sides prove the key that they are, bound to this connection by the listener's certificate,
 * and that they belong to the same mesh. The messages are in `handshake_messages.ts`; limits of time and number
 * are kept by `make_link.ts`.
 */
import { Buffer } from "node:buffer";
import { isDeepStrictEqual } from "node:util";
import type { Clock, Timers } from "../base/clock.ts";
import type { JsonObject } from "../base/json.ts";
import type { SecretSource } from "../base/rng.ts";
import type { PeerAddress } from "./address.ts";
import { type Certificate, type Role, roleOf, type Signed } from "./credentials.ts";
import {
  type Accept,
  type Hello,
  type Introduction,
  NONCE_BYTES,
  type ProofFacts,
  proofPayload,
  readAccept,
  readHello,
  readProof,
  readWelcome,
  type Refuse,
  type Welcome,
  writeHandshake,
} from "./handshake_messages.ts";
import { type MeshId, type NodeId, shortId } from "./ids.ts";
import type { LinkPeer } from "./link_ports.ts";
import { isRefusal, type Refusal, refusal } from "./refusal.ts";
import type { Signer, Verifier } from "./signing.ts";
import { PROTOCOL_OLDEST, PROTOCOL_VERSION } from "./wire.ts";

/** What the handshake asks about papers. */
export interface PaperChecks {
  /** The certificate, when it is one of this mesh for `node` that holds now: chain, dates, revocations. */
  checkCertificate(jws: string, node: NodeId): Promise<Signed<Certificate> | Refusal>;
  /** Turns an invite into a certificate for `joiner`. */
  admit(inviteJws: string, joiner: NodeId): Promise<Signed<Certificate> | Refusal>;
}

/** Who we are, and what we make links with. */
export interface LinkContext {
  meshId(): MeshId;
  readonly self: {
    readonly nodeId: NodeId;
    /** Changes with each start of the process. */
    readonly session: string;
    readonly version: string;
    readonly role: Role;
  };
  /** Our own certificate; undefined until we joined. */
  certificateJws(): string | undefined;
  readonly signer: Signer;
  readonly verifier: Verifier;
  readonly papers: PaperChecks;
  readonly secrets: SecretSource;
  readonly clock: Clock;
  readonly timers: Timers;
}

/** Why there is no link: a refusal of either side, or "lost", "timeout", "protocol" (nonsense came). */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  /** A code of `refusal.ts`, "lost", "timeout", "protocol", or what a newer peer says. */
  readonly code: string;
  /** True when the peer said it. */
  readonly byPeer: boolean;

  constructor(code: string, message: string, options: { readonly byPeer?: boolean } = {}) {
    super(message);
    this.code = code;
    this.byPeer = options.byPeer ?? false;
  }
}

/** The first stream as the handshake sees it: one JSON object after another. */
export interface HandshakeWire {
  send(json: JsonObject): Promise<void>;
  /** @throws {RefusedError} "lost" when the stream ended */
  receive(): Promise<JsonObject>;
}

/** What a side knows of the connection. */
interface ConnectionFacts {
  readonly context: LinkContext;
  readonly leafHash: string;
  /** Where we see the peer. */
  readonly sees: PeerAddress;
}

/** What a handshake leads to. */
export interface Handshaken {
  readonly peer: LinkPeer;
  /** Where the peer sees us. */
  readonly observed: PeerAddress;
  /** The certificate that our invite was turned into. */
  readonly issued: string | undefined;
}

/**
 * The dialer's side.
 *
 * @throws {RefusedError} when either side refuses
 */
export async function dialHandshake(
  wire: HandshakeWire,
  facts: ConnectionFacts & { readonly expected: NodeId; readonly invite?: string | undefined },
): Promise<Handshaken> {
  const { context, expected, leafHash } = facts;
  const paper = paperToShow(context, facts.invite);
  const hello: Hello = {
    t: "hello",
    v: PROTOCOL_VERSION,
    min: PROTOCOL_OLDEST,
    mesh: context.meshId(),
    ...introduce(context),
  };
  await wire.send(writeHandshake(hello));
  const welcome = notRefused(readWelcome(await wire.receive()));
  refuseIf(judgeWelcome(welcome, expected));
  const about = { v: welcome.v, mesh: hello.mesh, dialer: hello, listener: welcome, leafHash };
  await verifyProof(context, { jws: welcome.proof, about, side: "listener" });
  const proof = await signProof(context, about, "dialer");
  await wire.send(writeHandshake({ t: "proof", proof, paper, sees: facts.sees }));
  const accept = notRefused(readAccept(await wire.receive()));
  if (paper.kind === "invite") await checkIssued(context, accept);
  const certificate = passed(
    await context.papers.checkCertificate(accept.certificate, welcome.node),
  );
  return { peer: peerOf(welcome, certificate), observed: accept.sees, issued: accept.issued };
}

/**
 * The listener's side. Says why before it throws a refusal of its own.
 *
 * @throws {RefusedError} when either side refuses
 */
export async function acceptHandshake(
  wire: HandshakeWire,
  facts: ConnectionFacts,
): Promise<Handshaken> {
  const { context, leafHash } = facts;
  const hello = notRefused(readHello(await wire.receive()));
  refuseIf(judgeHello(hello, context));
  const v = Math.min(hello.v, PROTOCOL_VERSION);
  const self = introduce(context);
  const about = { v, mesh: hello.mesh, dialer: hello, listener: self, leafHash };
  const proof = await signProof(context, about, "listener");
  await wire.send(writeHandshake({ t: "welcome", v, proof, ...self }));
  const shown = notRefused(readProof(await wire.receive()));
  await verifyProof(context, { jws: shown.proof, about, side: "dialer" });
  const isJoiner = shown.paper.kind === "invite";
  const answer = isJoiner
    ? await context.papers.admit(shown.paper.jws, hello.node)
    : await context.papers.checkCertificate(shown.paper.jws, hello.node);
  const certificate = passed(answer);
  const accept: Accept = {
    t: "accept",
    certificate: ownCertificate(context),
    issued: isJoiner ? certificate.jws : undefined,
    sees: facts.sees,
  };
  await wire.send(writeHandshake(accept));
  return { peer: peerOf(hello, certificate), observed: shown.sees, issued: undefined };
}

function introduce(context: LinkContext): Introduction {
  const { nodeId, session, version, role } = context.self;
  const nonce = Buffer.from(context.secrets.bytes(NONCE_BYTES)).toString("base64url");
  return { node: nodeId, session, nonce, version, role };
}

/** The invite when there is one: whoever has it wants to join by it. */
function paperToShow(context: LinkContext, invite: string | undefined): PaperShown {
  if (invite !== undefined) return { kind: "invite", jws: invite };
  return { kind: "certificate", jws: ownCertificate(context) };
}

type PaperShown = { readonly kind: "certificate" | "invite"; readonly jws: string };

function ownCertificate(context: LinkContext): string {
  const jws = context.certificateJws();
  if (jws !== undefined) return jws;
  throw new RefusedError("certificate", "This node has no membership certificate yet");
}

/** What is wrong with a hello; undefined when nothing is. */
function judgeHello(hello: Hello, context: LinkContext): Refusal | undefined {
  if (hello.v < PROTOCOL_OLDEST || hello.min > PROTOCOL_VERSION || hello.min > hello.v) {
    return refusal(
      "version",
      `Found protocol ${hello.min} to ${hello.v} (mesh-llm ${hello.version}); this node, mesh-llm ` +
        `${context.self.version}, speaks ${PROTOCOL_OLDEST} to ${PROTOCOL_VERSION}`,
    );
  }
  if (hello.mesh !== context.meshId()) return refusal("mesh", "This node is in another mesh");
  if (hello.node === context.self.nodeId) {
    return refusal("self", "This node has the very key of the one that dials");
  }
  if (context.certificateJws() === undefined) {
    return refusal("busy", "This node has not joined its mesh yet");
  }
  return undefined;
}

/** What is wrong with a welcome; undefined when nothing is. */
function judgeWelcome(welcome: Welcome, expected: NodeId): Refusal | undefined {
  if (welcome.v < PROTOCOL_OLDEST || welcome.v > PROTOCOL_VERSION) {
    return refusal("version", `Found protocol ${welcome.v}; wanted at most ${PROTOCOL_VERSION}`);
  }
  if (welcome.node === expected) return undefined;
  return refusal("proof", `Found node ${shortId(welcome.node)}; wanted ${shortId(expected)}`);
}

async function signProof(
  context: LinkContext,
  about: ProofFacts,
  side: "dialer" | "listener",
): Promise<string> {
  return await context.signer.sign("mesh-llm-proof", proofPayload(about, side));
}

async function verifyProof(
  context: LinkContext,
  { jws, about, side }: { jws: string; about: ProofFacts; side: "dialer" | "listener" },
): Promise<void> {
  const { node } = about[side];
  const payload = await context.verifier.verify(jws, { type: "mesh-llm-proof", id: node });
  if (payload !== undefined && isDeepStrictEqual(payload, proofPayload(about, side))) return;
  throw new RefusedError(
    "proof",
    `The proof of node ${shortId(node)} is not by its key, or not for this connection`,
  );
}

/** A joiner looks at what it got before it believes to be in. */
async function checkIssued(context: LinkContext, accept: Accept): Promise<void> {
  if (accept.issued === undefined) {
    throw new RefusedError("certificate", "The peer took the invite and issued no certificate");
  }
  passed(await context.papers.checkCertificate(accept.issued, context.self.nodeId));
}

function peerOf(said: Introduction, certificate: Signed<Certificate>): LinkPeer {
  const allowed = roleOf(certificate.paper.rights);
  return {
    nodeId: said.node,
    certificate,
    role: allowed === "client" ? "client" : said.role,
    session: said.session,
    version: said.version,
  };
}

function notRefused<T extends object>(message: T | Refuse): T {
  if (!isRefuse(message)) return message;
  throw new RefusedError(message.code, message.message, { byPeer: true });
}

function isRefuse(message: object): message is Refuse {
  return "t" in message && message.t === "refuse";
}

function passed(answer: Signed<Certificate> | Refusal): Signed<Certificate> {
  if (isRefusal(answer)) throw new RefusedError(answer.code, answer.message);
  return answer;
}

function refuseIf(found: Refusal | undefined): void {
  if (found !== undefined) throw new RefusedError(found.code, found.message);
}
