import assert from "node:assert/strict";
import fc from "fast-check";
import { InvariantError } from "~/base/errors.ts";
import { LineRing } from "~/base/line_ring.ts";

Deno.test("LineRing keeps the last lines, an unfinished one included", () => {
  const ring = new LineRing({ linesMax: 2, lineCharsMax: 80 });
  assert.deepEqual(ring.push("one\ntwo\nth"), ["one", "two"]);
  assert.deepEqual(ring.push("ree\r\nfour"), ["three"]);
  assert.deepEqual(ring.last(10), ["two", "three", "four"]);
  assert.deepEqual(ring.last(1), ["four"]);
});

Deno.test("LineRing cuts long lines, also one that never ends", () => {
  const ring = new LineRing({ linesMax: 3, lineCharsMax: 4 });
  for (let i = 0; i < 1000; i++) ring.push("abcdefgh");
  assert.deepEqual(ring.last(3), ["abcd"]);
  assert.deepEqual(ring.push("\nxyzxyz\n"), ["abcd", "xyzx"]);
});

Deno.test("LineRing refuses to be made without room", () => {
  assert.throws(() => new LineRing({ linesMax: 0, lineCharsMax: 1 }), InvariantError);
});

Deno.test("LineRing never holds more than its bounds, however the text is cut", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: fc.constantFrom("a", "\n", "\r", "b") })), (texts) => {
      const ring = new LineRing({ linesMax: 3, lineCharsMax: 5 });
      for (const text of texts) ring.push(text);
      const kept = ring.last(100);
      assert.ok(kept.length <= 4, "at most three lines and an unfinished one");
      assert.ok(kept.every((line) => line.length <= 5 && !/[\r\n]/.test(line)));
    }),
  );
});
