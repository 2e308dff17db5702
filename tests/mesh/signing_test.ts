import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { peekPayload } from "~/mesh/signing.ts";

function jwsWith(payload: Uint8Array | string): string {
  return `e30.${Buffer.from(payload).toString("base64url")}.AAAA`;
}

Deno.test("peekPayload() reads the object in the middle", () => {
  assert.deepEqual(peekPayload(jwsWith('{"a":[1]}'), 100), { a: [1] });
});

Deno.test("peekPayload() looks at nothing that is longer than it may be", () => {
  const jws = jwsWith('{"a":1}');
  assert.deepEqual(peekPayload(jws, jws.length), { a: 1 });
  assert.equal(peekPayload(jws, jws.length - 1), undefined);
});

for (const payload of ["[]", "null", "1", '"text"', "{", "", '{"a":1}}']) {
  Deno.test(`peekPayload() finds no object in ${payload}`, () => {
    assert.equal(peekPayload(jwsWith(payload), 100), undefined);
  });
}

Deno.test("peekPayload() refuses bytes that are no UTF-8, and texts of two or four parts", () => {
  assert.equal(peekPayload(jwsWith(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), 100), undefined);
  const jws = jwsWith("{}");
  for (const text of [`${jws}.AAAA`, jws.slice(0, -5), `.${jws}`, `${jws} `, ""]) {
    assert.equal(peekPayload(text, 100), undefined);
  }
});

Deno.test("peekPayload() fails on no text", () => {
  const part = fc.stringMatching(/^[A-Za-z0-9_-]{0,40}$/);
  const text = fc.oneof(fc.string({ unit: "binary" }), fc.array(part).map((all) => all.join(".")));
  fc.assert(fc.property(text, (jws) => {
    const payload = peekPayload(jws, 1000);
    assert.ok(payload === undefined || typeof payload === "object");
  }));
});
