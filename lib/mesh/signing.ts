/**
 * Signing and checking as ports. A paper travels as a compact JWS (RFC 7515) by an Ed25519 key, and each kind
 * has its own `typ`, so that none can be passed off as another. The real ones are `io/jws.ts`; simulations use
 * a stand-in.
 */
import { Buffer } from "node:buffer";
import { isJsonObject, type JsonObject } from "../base/json.ts";

/** The `typ` of a paper's protected header. */
export type PaperType =
  | "mesh-llm-grant"
  | "mesh-llm-invite"
  | "mesh-llm-certificate"
  | "mesh-llm-revocation"
  | "mesh-llm-record"
  | "mesh-llm-proof";

/** Signs with one private key. */
export interface Signer {
  /** The public half: a node id or a mesh id. */
  readonly id: string;
  /** The payload as a compact JWS. */
  sign(type: PaperType, payload: JsonObject): Promise<string>;
}

/** What a signature must be. */
export interface ExpectedSignature {
  readonly type: PaperType;
  /** The public key that must have signed. */
  readonly id: string;
}

/** Checks signatures. */
export interface Verifier {
  /**
   * The payload when `jws` is a compact JWS of exactly this `typ`, with `alg` EdDSA, signed by `id`; undefined
   * otherwise. Never throws, whatever the text is.
   */
  verify(jws: string, expected: ExpectedSignature): Promise<JsonObject | undefined>;
}

/** The largest paper that anybody looks at: a node's record with all that it serves. */
export const JWS_CHARS_MAX = 128 * 1024;

/** Three parts, none empty; a fourth, or a character that base64url has not, is refused. */
const COMPACT_JWS = /^[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+$/;
const UTF8 = new TextDecoder("utf-8", { fatal: true });

/**
 * The payload of a compact JWS, unverified: only to learn whose signature to check. Undefined when `jws` is
 * none, is longer than `charsMax`, or holds no JSON object.
 */
export function peekPayload(jws: string, charsMax: number): JsonObject | undefined {
  if (jws.length > charsMax) return undefined;
  const payload = COMPACT_JWS.exec(jws)?.[1];
  if (payload === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(UTF8.decode(Buffer.from(payload, "base64url")));
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
