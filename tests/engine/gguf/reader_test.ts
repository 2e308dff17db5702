import assert from "node:assert/strict";
import fc from "fast-check";
import { GgufFormatError } from "~/engine/gguf/errors.ts";
import type { GgufHeader } from "~/engine/gguf/header.ts";
import { ARRAY_ELEMENTS_MAX, TENSORS_MAX } from "~/engine/gguf/limits.ts";
import { ggufSteps, parseGgufHeader } from "~/engine/gguf/reader.ts";
import { encodeHeader, type WriteHeader, type WriteValue } from "#support/gguf_writer.ts";
import { tinyModel } from "#support/tiny_gguf.ts";

const F32 = 0;
const EMPTY: WriteHeader = { metadata: [], tensors: [] };

function withPairs(...metadata: (readonly [string, WriteValue])[]): Uint8Array {
  return encodeHeader({ ...EMPTY, metadata });
}

/** A header with tensors of ten f32 each at the given offsets, and the file's claimed size. */
function parseTensors(offsets: readonly (number | bigint)[], fileBytes: number): GgufHeader {
  const tensors = offsets.map((offset, i) => ({ name: `t${i}`, dims: [10], typeId: F32, offset }));
  return parseGgufHeader(encodeHeader({ ...EMPTY, tensors }), fileBytes);
}

function messageWhile(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof GgufFormatError, `threw ${error}`);
    return error.message;
  }
  throw new assert.AssertionError({ message: "Nothing was thrown" });
}

Deno.test("parseGgufHeader() reads every kind of value", () => {
  const { metadata } = parseGgufHeader(withPairs(
    ["u8", ["u8", 255]],
    ["i8", ["i8", -5]],
    ["u16", ["u16", 65_535]],
    ["i16", ["i16", -300]],
    ["u32", ["u32", 4_294_967_295]],
    ["i32", ["i32", -7]],
    ["f32", ["f32", 0.5]],
    ["f64", ["f64", 0.1]],
    ["yes", ["bool", true]],
    ["text", ["str", "Grüße"]],
    ["small u64", ["u64", 12n]],
    ["large u64", ["u64", 2n ** 64n - 1n]],
    ["i64", ["i64", -(2n ** 63n)]],
    ["list", ["list", "u16", [1, 2, 3]]],
    ["flags", ["list", "bool", [true, false]]],
    ["words", ["list", "str", ["a", "", "ccc"]]],
  ));
  const values = [...metadata.values()].map((value) =>
    value.kind === "scalar" ? value.value : value
  );
  assert.deepEqual(values, [
    255,
    -5,
    65_535,
    -300,
    4_294_967_295,
    -7,
    0.5,
    0.1,
    true,
    "Grüße",
    12,
    2n ** 64n - 1n,
    -(2n ** 63n),
    { kind: "list", values: [1, 2, 3] },
    { kind: "list", values: [true, false] },
    { kind: "large", length: 3 },
  ]);
});

Deno.test("parseGgufHeader() measures long texts and large lists instead of keeping them", () => {
  const { metadata } = parseGgufHeader(withPairs(
    ["template", ["str", "x".repeat(10_000)]],
    ["scores", ["list", "f32", new Array(5_000).fill(0)]],
  ));
  assert.deepEqual(metadata.get("template"), { kind: "text", sizeBytes: 10_000 });
  assert.deepEqual(metadata.get("scores"), { kind: "large", length: 5_000 });
});

Deno.test("parseGgufHeader() stops keeping lists when many add up", () => {
  const pairs = Array.from({ length: 40 }, (_, i): [string, WriteValue] => [
    `list${i}`,
    ["list", "u8", new Array(4_000).fill(i)],
  ]);
  const kinds = [...parseGgufHeader(withPairs(...pairs)).metadata.values()].map(({ kind }) => kind);
  assert.deepEqual(kinds, [...new Array(32).fill("list"), ...new Array(8).fill("large")]);
});

Deno.test("parseGgufHeader() reads version 2 as it reads version 3", () => {
  const header = parseGgufHeader(encodeHeader({ ...EMPTY, version: 2 }));
  assert.deepEqual([header.version, header.headerBytes, header.dataOffset], [2, 24, 32]);
});

Deno.test("parseGgufHeader() places tensors behind the padded header", () => {
  const header = parseTensors([64, 0], 10_000);
  assert.deepEqual(header.tensors.map(({ offsetBytes, sizeBytes }) => [offsetBytes, sizeBytes]), [
    [header.dataOffset + 64, 40],
    [header.dataOffset, 40],
  ]);
  assert.equal(header.dataOffset % 32, 0);
  assert.ok(header.dataOffset >= header.headerBytes);
});

Deno.test("parseGgufHeader() honours the alignment that the file names", () => {
  const tensors = [{ name: "t", dims: [4], typeId: F32, offset: 0 }];
  const metadata = [["general.alignment", ["u32", 1024] as const] as const];
  assert.equal(parseGgufHeader(encodeHeader({ metadata, tensors }), 5_000).dataOffset, 1024);
});

Deno.test("parseGgufHeader() takes the room up to the next tensor as the size of an unknown type", () => {
  const tensors = [
    { name: "new", dims: [512], typeId: 77, offset: 0 },
    { name: "old", dims: [8], typeId: F32, offset: 320 },
  ];
  const [first] = parseGgufHeader(encodeHeader({ ...EMPTY, tensors }), 10_000).tensors;
  assert.deepEqual([first?.sizeBytes, first?.typeName, first?.elements], [320, "type 77", 512]);
});

const REFUSED: readonly (readonly [name: string, bytes: () => Uint8Array, message: RegExp])[] = [
  ["no GGUF", () => new TextEncoder().encode("<!DOCTYPE html><html>"), /not a GGUF file.*byte 0/],
  ["nothing", () => new Uint8Array(), /truncated.*at least 4 bytes, has 0/],
  ["version 1", () => encodeHeader({ ...EMPTY, version: 1 }), /version 1: versions 2 and 3/],
  ["big endian", () => encodeHeader({ ...EMPTY, version: 0x03000000 }), /big-endian/],
  [
    "2^60 tensors",
    () => encodeHeader({ ...EMPTY, claimedTensors: 2n ** 60n }),
    /1152921504606846976 tensors/,
  ],
  [
    "one tensor too many",
    () => encodeHeader({ ...EMPTY, claimedTensors: BigInt(TENSORS_MAX + 1) }),
    /tensors, more/,
  ],
  [
    "2^63 pairs",
    () => encodeHeader({ ...EMPTY, claimedPairs: 2n ** 63n }),
    /key\/value pairs, more/,
  ],
  ["pairs that are not there", () => encodeHeader({ ...EMPTY, claimedPairs: 1n }), /truncated/],
  ["a key of 2^63 bytes", () => claim([2n ** 63n]), /bytes of a key, more/],
  ["a text of 2^63 bytes", () => claim([1n, "k", 8, 2n ** 63n]), /bytes of "k", more/],
  ["a text beyond the end", () => claim([1n, "k", 8, 1000n]), /truncated/],
  ["a list of 2^60", () => claim([1n, "k", 9, 4, 2n ** 60n]), /elements of "k", more/],
  ["a list beyond the end", () => claim([1n, "k", 9, 4, BigInt(ARRAY_ELEMENTS_MAX)]), /truncated/],
  ["a list of lists", () => claim([1n, "k", 9, 9, 1n]), /list of unknown or nested type 9/],
  ["an unknown type", () => claim([1n, "k", 13]), /"k" of unknown type 13/],
  ["a nameless key", () => withPairs(["", ["u8", 1]]), /key without a name/],
  ["a key twice", () => withPairs(["k", ["u8", 1]], ["k", ["u8", 2]]), /the key "k" twice/],
  ["an odd alignment", () => withPairs(["general.alignment", ["u32", 48]]), /alignment 48/],
  ["no alignment", () => withPairs(["general.alignment", ["u32", 0]]), /alignment 0/],
  ["a text as alignment", () => withPairs(["general.alignment", ["str", "32"]]), /alignment 32/],
  ["a key that is not UTF-8", () => claim([1n, "\udcff"], 0xff), /not UTF-8/],
];

/** One pair, written value by value: bigints as u64, numbers as u32, text as its bytes. */
function claim(values: readonly (bigint | number | string)[], filler?: number): Uint8Array {
  const head = encodeHeader({ ...EMPTY, claimedPairs: 1n });
  const parts = values.map((value) => {
    if (typeof value === "string") {
      return filler === undefined ? new TextEncoder().encode(value) : Uint8Array.of(filler);
    }
    const bytes = new Uint8Array(typeof value === "bigint" ? 8 : 4);
    const view = new DataView(bytes.buffer);
    if (typeof value === "bigint") view.setBigUint64(0, value, true);
    else view.setUint32(0, value, true);
    return bytes;
  });
  return new Uint8Array([head, ...parts].flatMap((part) => [...part]));
}

Deno.test("parseGgufHeader() refuses what is not a sound header, saying what it found", async (t) => {
  for (const [name, bytes, message] of REFUSED) {
    await t.step(name, () => assert.match(messageWhile(() => parseGgufHeader(bytes())), message));
  }
});

Deno.test("parseGgufHeader() says how much of a truncated file is missing", () => {
  const model = tinyModel();
  const message = messageWhile(() => parseGgufHeader(model, model.length - 1));
  assert.match(
    message,
    new RegExp(`truncated: needs ${model.length} bytes, has ${model.length - 1}`),
  );
});

Deno.test("parseGgufHeader() refuses tensors that overlap, are misaligned or lie nowhere", () => {
  assert.match(messageWhile(() => parseTensors([0, 32], 10_000)), /"t1" overlapping "t0"/);
  assert.match(messageWhile(() => parseTensors([8], 10_000)), /no multiple of 32/);
  assert.match(messageWhile(() => parseTensors([2n ** 52n], 10_000)), /truncated/);
  assert.match(messageWhile(() => parseTensors([2n ** 63n], 10_000)), /bytes before tensor/);
});

Deno.test("parseGgufHeader() refuses shapes that no file can hold", () => {
  const parseShape = (dims: readonly bigint[], typeId = F32) =>
    parseGgufHeader(
      encodeHeader({ ...EMPTY, tensors: [{ name: "t", dims, typeId, offset: 0 }] }),
      9e15,
    );
  assert.match(messageWhile(() => parseShape([2n ** 60n])), /elements of tensor "t", more/);
  assert.match(
    messageWhile(() => parseShape([2n ** 40n, 2n ** 40n])),
    /more elements than any file/,
  );
  assert.match(messageWhile(() => parseShape([2n ** 52n])), /beyond any file/);
  assert.match(messageWhile(() => parseShape([1n, 1n, 1n, 1n, 1n])), /5 dimensions/);
  assert.match(messageWhile(() => parseShape([4n, 0n])), /empty dimension/);
  assert.match(messageWhile(() => parseShape([33n], 8)), /rows of 33, no multiple of 32/);
});

Deno.test("parseGgufHeader() refuses two tensors of one name", () => {
  const tensor = { name: "t", dims: [1], typeId: F32, offset: 0 };
  const bytes = encodeHeader({ ...EMPTY, tensors: [tensor, { ...tensor, offset: 32 }] });
  assert.match(messageWhile(() => parseGgufHeader(bytes, 1_000)), /the tensor "t" twice/);
});

Deno.test("parseGgufHeader() refuses a valid header that is cut at any byte", () => {
  const header = encodeHeader({
    metadata: [
      ["general.architecture", ["str", "llama"]],
      ["words", ["list", "str", ["one", "two"]]],
      ["numbers", ["list", "f32", [1, 2, 3]]],
      ["flag", ["bool", true]],
    ],
    tensors: [{ name: "t", dims: [4, 4], typeId: F32, offset: 0 }],
  });
  assert.equal(parseGgufHeader(header, 1_000).headerBytes, header.length);
  for (let length = 0; length < header.length; length += 1) {
    const cut = header.subarray(0, length);
    assert.match(messageWhile(() => parseGgufHeader(cut)), /truncated: the header needs/);
    assert.match(messageWhile(() => parseGgufHeader(cut, 1_000)), /ends before it is complete/);
  }
});

/** Either a header or a format error: nothing else may come out, whatever goes in. */
function mustNotCrash(bytes: Uint8Array, fileBytes = bytes.length): void {
  try {
    parseGgufHeader(bytes, fileBytes);
  } catch (error) {
    assert.ok(error instanceof GgufFormatError, `threw ${error}`);
  }
}

Deno.test("parseGgufHeader() survives any bytes after the magic", () => {
  const start = encodeHeader({ ...EMPTY, claimedPairs: 3n, claimedTensors: 2n });
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), (tail) => {
      mustNotCrash(new Uint8Array([...start, ...tail]));
      mustNotCrash(tail);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("parseGgufHeader() survives flipped bytes in a valid header", () => {
  const model = tinyModel({ layers: 1 });
  const { headerBytes } = parseGgufHeader(model);
  const flip = fc.record({ at: fc.nat(headerBytes - 1), to: fc.nat(255) });
  fc.assert(
    fc.property(fc.array(flip, { minLength: 1, maxLength: 8 }), (flips) => {
      const bytes = model.slice();
      for (const { at, to } of flips) bytes[at] = to;
      mustNotCrash(bytes);
    }),
    { numRuns: 500 },
  );
});

Deno.test("ggufSteps() never asks for more than a small piece at once", () => {
  const model = tinyModel();
  const steps = ggufSteps(model.length);
  let at = 0;
  let piece: Uint8Array = new Uint8Array();
  for (let next = steps.next(piece); next.done !== true; next = steps.next(piece)) {
    const { kind, bytes } = next.value;
    assert.ok(kind === "skip" || bytes <= 4096, `${bytes} bytes at ${at}`);
    piece = kind === "read" ? model.subarray(at, at + bytes) : new Uint8Array();
    at += bytes;
  }
});
