import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHmac } from "node:crypto";
import { CompactSign, exportJWK } from "jose";
import { jwsSigner, JwsVerifier } from "~/mesh/io/jws.ts";
import { makeEphemeralNodeKey, type NodeKey } from "~/mesh/io/node_key.ts";
import { JWS_CHARS_MAX } from "~/mesh/signing.ts";

const TYPE = "mesh-llm-certificate";
const BODY = new TextEncoder().encode("{}");
const verifier = new JwsVerifier();

/** A paper of this key with any header. */
async function signWith(key: NodeKey, header: Record<string, unknown>): Promise<string> {
  const protectedHeader = { alg: "EdDSA", typ: TYPE, ...header } as { alg: "EdDSA" };
  return await new CompactSign(BODY).setProtectedHeader(protectedHeader).sign(key.privateKey, {
    crit: { "x-new": true, b64: true },
  });
}

async function isTaken(jws: string, id: string): Promise<boolean> {
  return await verifier.verify(jws, { type: TYPE, id }) !== undefined;
}

function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

Deno.test("JwsVerifier refuses alg none, with and without a signature", async () => {
  const key = await makeEphemeralNodeKey();
  const [, , signature] = (await signWith(key, {})).split(".");
  for (const alg of ["none", "None", "NONE", "", null, undefined]) {
    const unsigned = `${encode({ alg, typ: TYPE })}.${encode({})}.`;
    assert.equal(await isTaken(unsigned, key.nodeId), false);
    assert.equal(await isTaken(unsigned + signature, key.nodeId), false);
  }
});

Deno.test("JwsVerifier refuses a code made with the public key as a shared secret", async () => {
  const { nodeId } = await makeEphemeralNodeKey();
  const input = `${encode({ alg: "HS512", typ: TYPE })}.${encode({})}`;
  for (const secret of [nodeId, Buffer.from(nodeId, "base64url")]) {
    const code = createHmac("sha512", secret).update(input).digest("base64url");
    assert.equal(await isTaken(`${input}.${code}`, nodeId), false);
  }
});

Deno.test("JwsVerifier never uses a key that comes with the paper", async () => {
  const [key, foreign] = [await makeEphemeralNodeKey(), await makeEphemeralNodeKey()];
  const { crv, kty, x } = await exportJWK(foreign.privateKey);
  for (const header of [{ jwk: { crv, kty, x } }, { kid: key.nodeId }, { jku: "http://[::1]/" }]) {
    assert.equal(await isTaken(await signWith(foreign, header), key.nodeId), false);
    assert.equal(await isTaken(await signWith(key, header), key.nodeId), true);
  }
});

Deno.test("JwsVerifier refuses what demands to understand more", async () => {
  const key = await makeEphemeralNodeKey();
  assert.equal(await isTaken(await signWith(key, {}), key.nodeId), true);
  const demanding = { crit: ["x-new"], "x-new": 1 };
  assert.equal(await isTaken(await signWith(key, demanding), key.nodeId), false);
  const recognised = { crit: ["b64"], b64: true };
  assert.equal(await isTaken(await signWith(key, recognised), key.nodeId), false);
});

for (const typ of [undefined, null, "", "JWT", TYPE.toUpperCase(), `application/${TYPE}`, [TYPE]]) {
  Deno.test(`JwsVerifier refuses the typ ${JSON.stringify(typ)}`, async () => {
    const key = await makeEphemeralNodeKey();
    assert.equal(await isTaken(await signWith(key, { typ }), key.nodeId), false);
  });
}

Deno.test("JwsVerifier refuses a payload that is no object", async () => {
  const key = await makeEphemeralNodeKey();
  for (const text of ["[]", "null", "1", "{", ""]) {
    const jws = await new CompactSign(new TextEncoder().encode(text))
      .setProtectedHeader({ alg: "EdDSA", typ: TYPE }).sign(key.privateKey);
    assert.equal(await isTaken(jws, key.nodeId), false, text);
  }
});

Deno.test("JwsVerifier refuses papers beyond its limit, however well they are signed", async () => {
  const { nodeId, privateKey } = await makeEphemeralNodeKey();
  const signer = jwsSigner(nodeId, privateKey);
  const fits = await signer.sign(TYPE, { text: "x".repeat(JWS_CHARS_MAX * 0.7) });
  const tooLarge = await signer.sign(TYPE, { text: "x".repeat(JWS_CHARS_MAX) });
  assert.equal(await isTaken(fits, nodeId), true);
  assert.equal(await isTaken(tooLarge, nodeId), false);
  assert.equal(
    await isTaken(await signWith({ nodeId, privateKey }, { x: "x".repeat(200) }), nodeId),
    false,
  );
});

Deno.test("JwsVerifier refuses the key for which one signature fits every message", async () => {
  const identity = Buffer.alloc(32);
  identity[0] = 1;
  const forged = Buffer.alloc(64);
  forged[0] = 1;
  const jws = `${encode({ alg: "EdDSA", typ: TYPE })}.${encode({})}.${
    forged.toString("base64url")
  }`;
  assert.equal(await isTaken(jws, identity.toString("base64url")), false);
});
