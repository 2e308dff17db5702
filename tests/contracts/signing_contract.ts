/** What every pair of {@link Signer} and {@link Verifier} does, the stand-in of simulations too. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { JsonObject } from "~/base/json.ts";
import { type PaperType, peekPayload, type Signer, type Verifier } from "~/mesh/signing.ts";

/** Every kind of paper. */
export const PAPER_TYPES: readonly PaperType[] = [
  "mesh-llm-grant",
  "mesh-llm-invite",
  "mesh-llm-certificate",
  "mesh-llm-revocation",
  "mesh-llm-record",
  "mesh-llm-proof",
];

const BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const PAYLOAD: JsonObject = { v: 1, name: "Grüße 🦙", list: [1, null, { deep: true }] };

/** What an implementation brings to the suite. */
export interface SigningSubject {
  readonly verifier: Verifier;
  /** A signer with a key of its own, another each time. */
  readonly makeSigner: () => Promise<Signer>;
}

/** Defines the tests of one implementation. */
export function testSigning(name: string, { verifier, makeSigner }: SigningSubject): void {
  Deno.test(`${name} gives back what was signed, and anybody can look at it before`, async () => {
    const signer = await makeSigner();
    for (const type of PAPER_TYPES) {
      const jws = await signer.sign(type, PAYLOAD);
      assert.match(jws, /^[\w-]+\.[\w-]+\.[\w-]+$/);
      assert.deepEqual(await verifier.verify(jws, { type, id: signer.id }), PAYLOAD);
      assert.deepEqual(peekPayload(jws, jws.length), PAYLOAD);
    }
  });

  Deno.test(`${name} takes no paper of one type for one of another`, async () => {
    const signer = await makeSigner();
    for (const signed of PAPER_TYPES) {
      const jws = await signer.sign(signed, PAYLOAD);
      for (const type of PAPER_TYPES.filter((other) => other !== signed)) {
        assert.equal(await verifier.verify(jws, { type, id: signer.id }), undefined);
      }
    }
  });

  Deno.test(`${name} takes no paper of one signer for one of another`, async () => {
    const [signer, other] = [await makeSigner(), await makeSigner()];
    assert.notEqual(signer.id, other.id);
    const jws = await signer.sign("mesh-llm-record", PAYLOAD);
    assert.equal(await verifier.verify(jws, { type: "mesh-llm-record", id: other.id }), undefined);
  });

  Deno.test(`${name} refuses a paper in which any character was changed`, async () => {
    const signer = await makeSigner();
    const expected = { type: "mesh-llm-certificate", id: signer.id } as const;
    const jws = await signer.sign(expected.type, PAYLOAD);
    for (let at = 0; at < jws.length; at++) {
      const now = jws[at] ?? "";
      // The neighbour differs in the last bit only, which base64url may leave unused at an end.
      const next = now === "." ? "A" : BASE64URL[BASE64URL.indexOf(now) ^ 1];
      const changed = `${jws.slice(0, at)}${next}${jws.slice(at + 1)}`;
      assert.equal(await verifier.verify(changed, expected), undefined, `character ${at}`);
      const without = `${jws.slice(0, at)}${jws.slice(at + 1)}`;
      assert.equal(await verifier.verify(without, expected), undefined, `without ${at}`);
    }
    for (const changed of [`${jws}=`, `${jws}.`, ` ${jws}`, `${jws}\n`, `${jws}A`, `.${jws}`]) {
      assert.equal(await verifier.verify(changed, expected), undefined, JSON.stringify(changed));
    }
  });

  Deno.test(`${name} refuses any text without failing`, async () => {
    const { id } = await makeSigner();
    const part = fc.stringMatching(/^[A-Za-z0-9_-]{0,90}$/);
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.array(part, { maxLength: 5 }).map((parts) => parts.join(".")),
    );
    const anyId = fc.oneof(fc.constant(id), fc.string());
    await fc.assert(fc.asyncProperty(text, anyId, async (jws, by) => {
      assert.equal(await verifier.verify(jws, { type: "mesh-llm-proof", id: by }), undefined);
    }));
  });
}
