/**
 * Papers as compact JWS (RFC 7515) with `alg` EdDSA over Ed25519 (RFC 8037), by `jose`. Of the header only
 * `alg` and `typ` count: a key that comes with a paper (`jwk`, `jku`, `kid`, `x5c`) is never looked at.
 */
import { Buffer } from "node:buffer";
import { CompactSign, compactVerify } from "jose";
import { isJsonObject, type JsonObject } from "../../base/json.ts";
import { LruMap } from "../../base/lru.ts";
import { isKeyId } from "../ids.ts";
import {
  type ExpectedSignature,
  JWS_CHARS_MAX,
  type PaperType,
  type Signer,
  type Verifier,
} from "../signing.ts";

const ALGORITHM = "EdDSA";
/** Header, payload, and 64 bytes whose last character carries 2 bits: there is one way to write a signature. */
const SIGNED_TEXT = /^[A-Za-z0-9_-]{1,256}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{85}[AQgw]$/;
const UTF8 = new TextDecoder("utf-8", { fatal: true });
/** Keys of nodes met lately: reading one costs as much as half a check. */
const KEYS_MAX = 1024;

/** Signs with `privateKey`, an Ed25519 key whose public half is `id`. */
export function jwsSigner(id: string, privateKey: CryptoKey): Signer {
  return {
    id,
    sign: async (type: PaperType, payload: JsonObject): Promise<string> => {
      const bytes = new TextEncoder().encode(JSON.stringify(payload));
      const header = { alg: ALGORITHM, typ: type };
      return await new CompactSign(bytes).setProtectedHeader(header).sign(privateKey);
    },
  };
}

/** Checks signatures of Ed25519 keys. */
export class JwsVerifier implements Verifier {
  readonly #keys = new LruMap<string, CryptoKey>(KEYS_MAX);

  async verify(jws: string, { type, id }: ExpectedSignature): Promise<JsonObject | undefined> {
    if (jws.length > JWS_CHARS_MAX || !SIGNED_TEXT.test(jws) || !isKeyId(id)) return undefined;
    try {
      const { payload, protectedHeader } = await compactVerify(jws, await this.#keyOf(id), {
        algorithms: [ALGORITHM],
      });
      // Whoever writes "crit" demands that we understand something that we do not (RFC 7515, 4.1.11).
      if (protectedHeader.typ !== type || protectedHeader.crit !== undefined) return undefined;
      const value: unknown = JSON.parse(UTF8.decode(payload));
      return isJsonObject(value) ? value : undefined;
    } catch {
      return undefined;
    }
  }

  async #keyOf(id: string): Promise<CryptoKey> {
    const known = this.#keys.get(id);
    if (known !== undefined) return known;
    const raw = new Uint8Array(Buffer.from(id, "base64url"));
    const key = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
    this.#keys.set(id, key);
    return key;
  }
}
