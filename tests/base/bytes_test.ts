import assert from "node:assert/strict";
import { joined } from "~/base/bytes.ts";

Deno.test("joined() has the bytes of all in order, as bytes of its own", () => {
  const first = Uint8Array.of(1, 2);
  const whole = joined([first, new Uint8Array(0), Uint8Array.of(3)]);
  assert.deepEqual(whole, Uint8Array.of(1, 2, 3));
  first.fill(9);
  assert.deepEqual(whole, Uint8Array.of(1, 2, 3));
  assert.deepEqual(joined([]), new Uint8Array(0));
});
