import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { standInId } from "#support/stand_in_signer.ts";
import { isKeyId, isSerial, isSerialOf, serialOf, shortId } from "~/mesh/ids.ts";

const ID = standInId(1);
const SERIAL = serialOf(ID, "AAAAAAAAAAA");

Deno.test("isKeyId() knows 32 bytes in base64url, written the one way", () => {
  fc.assert(fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
    bytes[0] = 0x55;
    const id = Buffer.from(bytes).toString("base64url");
    assert.ok(isKeyId(id));
    const last = id.at(-1) ?? "";
    const next = String.fromCharCode(last.charCodeAt(0) + 1);
    assert.equal(isKeyId(id.slice(0, -1) + next), false);
  }));
});

for (const value of [undefined, null, 7, "", ID.slice(1), `${ID}A`, `${ID}=`, ` ${ID}`, [ID]]) {
  Deno.test(`isKeyId() refuses ${JSON.stringify(value)}`, () =>
    assert.equal(isKeyId(value), false));
}

Deno.test("isKeyId() refuses the keys for which anybody can sign, in each of their spellings", () => {
  const zero = Buffer.alloc(32);
  const one = Buffer.from(zero);
  one[0] = 1;
  const minusOne = Buffer.alloc(32, 0xff);
  minusOne[0] = 0xec;
  minusOne[31] = 0x7f;
  for (const point of [zero, one, minusOne]) {
    assert.equal(isKeyId(point.toString("base64url")), false);
    point[31] = (point[31] ?? 0) | 0x80;
    assert.equal(isKeyId(point.toString("base64url")), false);
  }
});

Deno.test("a serial tells who signed it, and no other issuer can claim it", () => {
  assert.ok(isSerial(SERIAL));
  assert.ok(isSerialOf(SERIAL, ID));
  assert.equal(isSerialOf(SERIAL, standInId(2)), false);
  assert.equal(isSerialOf("anything", ID), false);
});

Deno.test("isSerial() and isSerialOf() refuse any other text", () => {
  fc.assert(fc.property(fc.string(), (text) => {
    assert.equal(isSerial(text), false);
    assert.equal(isSerialOf(text, ID), false);
  }));
  for (const value of [undefined, `${SERIAL} `, SERIAL.slice(1), SERIAL.replace(".", "-")]) {
    assert.equal(isSerial(value), false);
  }
});

Deno.test("shortId() is the beginning of an id", () => {
  assert.ok(ID.startsWith(shortId(ID)));
  assert.equal(shortId(ID).length, 8);
});
