import assert from "node:assert/strict";
import { Cursor, NUMBER_TYPES, type Step } from "~/engine/gguf/cursor.ts";
import { GgufFormatError } from "~/engine/gguf/errors.ts";
import { HEADER_BYTES_MAX } from "~/engine/gguf/limits.ts";

/** Runs a step over bytes in memory; returns its result and what it passed over or read. */
function run<T>(
  step: Step<T>,
  bytes: Uint8Array,
): { readonly result: T; readonly wants: string[] } {
  const wants: string[] = [];
  let at = 0;
  let next = step.next(new Uint8Array());
  while (next.done !== true) {
    const { kind, bytes: count } = next.value;
    wants.push(`${kind} ${count}`);
    const piece = bytes.subarray(at, at + count);
    at += count;
    next = step.next(piece);
  }
  return { result: next.value, wants };
}

const NUMBERS = Uint8Array.of(5, 0, 0, 0, 0, 0, 0, 0, 104, 101, 108, 108, 111);

Deno.test("Cursor reads a string in two pieces and stands behind it", () => {
  const cursor = new Cursor(13);
  const { result, wants } = run(cursor.string("a name", 5), NUMBERS);
  assert.deepEqual([result, wants, cursor.offset], ["hello", ["read 8", "read 5"], 13]);
});

Deno.test("Cursor refuses a count above its limit, and says where it stood", () => {
  const cursor = new Cursor(13);
  assert.throws(() => run(cursor.string("a name", 4), NUMBERS), (error) => {
    assert.ok(error instanceof GgufFormatError);
    assert.deepEqual([error.offset, cursor.offset], [0, 8]);
    assert.equal(error.message, "Claims 5 bytes of a name, more than the 4 allowed (at byte 0)");
    return true;
  });
});

Deno.test("Cursor passes over long texts and returns their length", () => {
  const long = new Uint8Array(8 + 5_000);
  new DataView(long.buffer).setBigUint64(0, 5_000n, true);
  const { result, wants } = run(new Cursor(long.length).text("a template"), long);
  assert.deepEqual([result, wants], [5_000, ["read 8", "skip 5000"]]);
});

Deno.test("Cursor asks for nothing when nothing is to be passed over", () => {
  assert.deepEqual(run(new Cursor(0).skip(0), new Uint8Array()).wants, []);
});

Deno.test("Cursor never goes beyond the end of the file or of any header", () => {
  assert.throws(() => run(new Cursor(3).u32(), NUMBERS), /needs at least 4 bytes, has 3/);
  const endless = new Cursor(Number.MAX_SAFE_INTEGER);
  assert.throws(() => run(endless.skip(HEADER_BYTES_MAX + 1), NUMBERS), /a header of more than/);
});

Deno.test("NUMBER_TYPES keeps 64-bit numbers exact", () => {
  const bytes = new DataView(new ArrayBuffer(8));
  bytes.setBigUint64(0, 2n ** 53n + 1n, true);
  assert.equal(NUMBER_TYPES.get(10)?.decode(bytes, 0), 2n ** 53n + 1n);
  bytes.setBigUint64(0, 2n ** 53n - 1n, true);
  assert.equal(NUMBER_TYPES.get(10)?.decode(bytes, 0), 2 ** 53 - 1);
});
