import { createHash } from "node:crypto";
import { Buffer } from "node:buffer";
import { isJsonObject, type JsonObject } from "~/base/json.ts";
import { type ExpectedSignature, peekPayload, type Signer, type Verifier } from "~/mesh/signing.ts";

/** The id of the stand-in number `n`: written like a public key, and the same in every run. */
export function standInId(n: number | string): string {
  return createHash("sha256").update(`stand-in ${n}`).digest("base64url");
}

/**
 * Signs for `id` without a key, cheaply: for simulations. It binds id, type and payload as a signature does, but
 * anybody could make one.
 */
export function standInSigner(id: string): Signer {
  return {
    id,
    sign: (type, payload) => Promise.resolve(standInJws(id, type, payload)),
  };
}

/** What {@link standInSigner} gives, at once. */
export function standInJws(id: string, type: string, payload: JsonObject): string {
  const header = encode(JSON.stringify({ alg: "EdDSA", typ: type }));
  const body = `${header}.${encode(JSON.stringify(payload))}`;
  return `${body}.${sealOf(id, body)}`;
}

/** Checks what {@link standInSigner} signed. */
export const standInVerifier: Verifier = {
  verify: (jws, expected) => Promise.resolve(verify(jws, expected)),
};

function verify(jws: string, { id, type }: ExpectedSignature): JsonObject | undefined {
  const payload = peekPayload(jws, jws.length);
  const [header = "", , seal] = jws.split(".");
  if (payload === undefined || seal !== sealOf(id, jws.slice(0, jws.lastIndexOf(".")))) {
    return undefined;
  }
  const fields: unknown = JSON.parse(Buffer.from(header, "base64url").toString());
  return isJsonObject(fields) && fields["typ"] === type ? payload : undefined;
}

function sealOf(id: string, body: string): string {
  return createHash("sha256").update(`${id} ${body}`).digest("base64url");
}

function encode(text: string): string {
  return Buffer.from(text).toString("base64url");
}
