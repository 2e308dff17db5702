import assert from "node:assert/strict";
import fc from "fast-check";
import { parseCount } from "../../../tasks/lib/parse_count.ts";

Deno.test("parseCount() takes every whole number of its range", () => {
  fc.assert(fc.property(fc.integer({ min: 3, max: 0xffff_ffff }), (count) => {
    assert.equal(parseCount("--seeds", String(count), [3, 0xffff_ffff]), count);
  }));
});

Deno.test("parseCount() refuses all else, and says what it wants", () => {
  for (const text of ["", "2", "129", "-3", "3.5", "1e1", "0x10", " 7", "many", "99999999999"]) {
    assert.throws(() => parseCount("--nodes", text, [3, 128]), {
      name: "SyntaxError",
      message: `Cannot use --nodes ${text}: wanted a number from 3 to 128`,
    });
  }
});
