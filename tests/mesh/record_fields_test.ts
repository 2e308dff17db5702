import assert from "node:assert/strict";
import fc from "fast-check";
import { isCount, isFingerprint, isName, readList, readName } from "~/mesh/record_fields.ts";

Deno.test("names are printable and bounded, counts are whole, fingerprints have their form", () => {
  assert.deepEqual(["m", "", "a\u0007", "x".repeat(257), 1].map((value) => isName(value)), [
    true,
    false,
    false,
    false,
    false,
  ]);
  assert.deepEqual([0, 7, -1, 1.5, 2 ** 53, "1"].map((value) => isCount(value)), [
    true,
    true,
    false,
    false,
    false,
    false,
  ]);
  const print = `${"a".repeat(64)}:12`;
  assert.deepEqual([print, print.toUpperCase(), "a:1"].map((value) => isFingerprint(value)), [
    true,
    false,
    false,
  ]);
});

Deno.test("readList() reads all of a list within its bound, or nothing", () => {
  fc.assert(fc.property(fc.array(fc.jsonValue()), fc.nat(10), (values, max) => {
    const read = readList(JSON.parse(JSON.stringify(values)), max, readName);
    const isGood = values.length <= max && values.every((value) => isName(value as string));
    assert.deepEqual(read, isGood ? values : undefined);
  }));
});
