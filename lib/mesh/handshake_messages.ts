/**
 * The five messages of a handshake, as JSON frames of at most 16 KiB on the first stream of a connection, and what
 * a proof says. Strict: a stranger wrote them. Unknown members are passed over. Pure.
 *
 *     dialer  -> hello    who it wants to be, its nonce, what it speaks
 *     listener-> welcome  the same, and its proof          | refuse
 *     dialer  -> proof    its proof, certificate or invite | refuse
 *     listener-> accept   its certificate                  | refuse
 */
import type { JsonObject, JsonValue } from "../base/json.ts";
import { KIB } from "../base/units.ts";
import { formatAddress, parseAddress, type PeerAddress } from "./address.ts";
import type { Role } from "./credentials.ts";
import { isKeyId, type MeshId, type NodeId } from "./ids.ts";
import { isPrintable, isU32, ProtocolError } from "./wire.ts";

/** Longest frame before the link is up. */
export const HANDSHAKE_BYTES_MAX = 16 * KIB;
/** Bytes of a nonce: 43 characters in base64url, like a key. */
export const NONCE_BYTES = 32;

const VERSION_CHARS_MAX = 64;
const MESSAGE_CHARS_MAX = 400;
const PAPER_CHARS_MAX = 8 * KIB;

/** What both sides say about themselves. */
export interface Introduction {
  readonly node: NodeId;
  /** Changes with each start of the process. */
  readonly session: string;
  readonly nonce: string;
  /** Version of the program. */
  readonly version: string;
  readonly role: Role;
}

/** The dialer begins. */
export interface Hello extends Introduction {
  readonly t: "hello";
  /** Newest and oldest protocol that it speaks. */
  readonly v: number;
  readonly min: number;
  readonly mesh: MeshId;
}

/** The listener shows who it is. */
export interface Welcome extends Introduction {
  readonly t: "welcome";
  /** The protocol that both will speak. */
  readonly v: number;
  readonly proof: string;
}

/** The dialer shows who it is, and that it belongs here, or was invited. */
export interface Proof {
  readonly t: "proof";
  readonly proof: string;
  readonly paper:
    | { readonly kind: "certificate"; readonly jws: string }
    | { readonly kind: "invite"; readonly jws: string };
  /** Where the listener is seen. */
  readonly sees: PeerAddress;
}

/** The listener takes the dialer in. */
export interface Accept {
  readonly t: "accept";
  readonly certificate: string;
  /** The certificate that the dialer's invite was turned into. */
  readonly issued: string | undefined;
  /** Where the dialer is seen. */
  readonly sees: PeerAddress;
}

/** Either side says no; the connection ends. */
export interface Refuse {
  readonly t: "refuse";
  readonly code: string;
  readonly message: string;
}

/** A message as JSON. */
export function writeHandshake(message: Hello | Welcome | Proof | Accept | Refuse): JsonObject {
  switch (message.t) {
    case "proof":
      return {
        t: "proof",
        proof: message.proof,
        [message.paper.kind]: message.paper.jws,
        sees: formatAddress(message.sees),
      };
    case "accept":
      return {
        t: "accept",
        certificate: message.certificate,
        ...(message.issued === undefined ? {} : { issued: message.issued }),
        sees: formatAddress(message.sees),
      };
    case "refuse": {
      const { code } = message;
      return { t: "refuse", code, message: message.message.slice(0, MESSAGE_CHARS_MAX) };
    }
    default:
      return { ...message };
  }
}

/**
 * Reads the message of the wanted kind, or a refusal in its place.
 *
 * @throws {ProtocolError} when it is neither
 */
export function readHello(json: JsonObject): Hello | Refuse {
  if (json["t"] === "refuse") return readRefuse(json);
  expectKind(json, "hello");
  return {
    t: "hello",
    v: member(json, "v", isU32),
    min: member(json, "min", isU32),
    mesh: member(json, "mesh", isKeyId),
    ...readIntroduction(json),
  };
}

/** See {@link readHello}. */
export function readWelcome(json: JsonObject): Welcome | Refuse {
  if (json["t"] === "refuse") return readRefuse(json);
  expectKind(json, "welcome");
  return {
    t: "welcome",
    v: member(json, "v", isU32),
    proof: member(json, "proof", isPaperText),
    ...readIntroduction(json),
  };
}

/** See {@link readHello}. */
export function readProof(json: JsonObject): Proof | Refuse {
  if (json["t"] === "refuse") return readRefuse(json);
  expectKind(json, "proof");
  const kind = json["invite"] === undefined ? "certificate" : "invite";
  return {
    t: "proof",
    proof: member(json, "proof", isPaperText),
    paper: { kind, jws: member(json, kind, isPaperText) },
    sees: readAddress(json),
  };
}

/** See {@link readHello}. */
export function readAccept(json: JsonObject): Accept | Refuse {
  if (json["t"] === "refuse") return readRefuse(json);
  expectKind(json, "accept");
  return {
    t: "accept",
    certificate: member(json, "certificate", isPaperText),
    issued: json["issued"] === undefined ? undefined : member(json, "issued", isPaperText),
    sees: readAddress(json),
  };
}

function readRefuse(json: JsonObject): Refuse {
  return {
    t: "refuse",
    code: member(json, "code", isCode),
    message: member(json, "message", isMessage),
  };
}

function readIntroduction(json: JsonObject): Introduction {
  return {
    node: member(json, "node", isKeyId),
    session: member(json, "session", isSession),
    // 32 bytes in base64url are written like a key.
    nonce: member(json, "nonce", isKeyId),
    version: member(json, "version", isVersion),
    role: member(json, "role", isRole),
  };
}

function readAddress(json: JsonObject): PeerAddress {
  const address = parseAddress(member(json, "sees", isText));
  if (address === undefined) throw wrong(json, "sees");
  return address;
}

function expectKind(json: JsonObject, kind: string): void {
  if (json["t"] === kind) return;
  throw new ProtocolError(`Found another message in the handshake; wanted "${kind}"`);
}

function member<T>(json: JsonObject, name: string, isWanted: (value: unknown) => value is T): T {
  const value: JsonValue | undefined = json[name];
  if (isWanted(value)) return value;
  throw wrong(json, name);
}

function wrong(json: JsonObject, name: string): ProtocolError {
  return new ProtocolError(`Found "${json["t"]}" in the handshake with a wrong "${name}"`);
}

const isText = (value: unknown): value is string => typeof value === "string";
const isVersion = (value: unknown): value is string => isPrintable(value, VERSION_CHARS_MAX);
const isMessage = (value: unknown): value is string => isPrintable(value, MESSAGE_CHARS_MAX);
const isRole = (value: unknown): value is Role => value === "member" || value === "client";
const isCode = (value: unknown): value is string =>
  typeof value === "string" && /^[a-z_]{1,32}$/.test(value);
const isSession = (value: unknown): value is string =>
  typeof value === "string" && /^[A-Za-z0-9_-]{8,64}$/.test(value);
const isPaperText = (value: unknown): value is string =>
  typeof value === "string" && value.length <= PAPER_CHARS_MAX &&
  /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/.test(value);

/** What both proofs of one handshake are about. */
export interface ProofFacts {
  readonly v: number;
  readonly mesh: MeshId;
  readonly dialer: Introduction;
  readonly listener: Introduction;
  /** SHA-256 of the listener's leaf certificate: it ties the proof to this very connection. */
  readonly leafHash: string;
}

/** What the proof of `side` signs: everything that was said, so that none of it holds elsewhere. */
export function proofPayload(facts: ProofFacts, side: "dialer" | "listener"): JsonObject {
  const { v, mesh, dialer, listener, leafHash } = facts;
  const said = ({ node, session, nonce, version, role }: Introduction) => (
    { node, session, nonce, version, role }
  );
  return {
    protocol: "mesh-llm",
    v,
    mesh,
    side,
    dialer: said(dialer),
    listener: said(listener),
    leafHash,
  };
}
