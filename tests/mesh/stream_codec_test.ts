import assert from "node:assert/strict";
import fc from "fast-check";
import { joined } from "~/base/bytes.ts";
import type { JsonObject } from "~/base/json.ts";
import {
  DATA_BYTES_MAX,
  dataHeader,
  endFrame,
  HEAD_BYTES_MAX,
  headFrame,
  readStreamPrefix,
  StreamParser,
  type StreamPiece,
  streamPrefix,
} from "~/mesh/stream_codec.ts";
import { ProtocolError } from "~/mesh/wire.ts";

type Item = { readonly head: JsonObject } | { readonly data: Uint8Array };

const head: fc.Arbitrary<Item> = fc.dictionary(fc.string(), fc.jsonValue()).map((value) => ({
  head: JSON.parse(JSON.stringify(value)),
}));
const data: fc.Arbitrary<Item> = fc.uint8Array({ minLength: 1, maxLength: 300 })
  .map((bytes) => ({ data: bytes }));
/** Where the bytes are cut on their way. */
const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 });

function bytesOf(item: Item): Uint8Array {
  return "head" in item ? headFrame(item.head) : joined([dataHeader(item.data.length), item.data]);
}

/** Feeds `bytes` in pieces of the given sizes, over and over. */
function parse(bytes: Uint8Array, sizes: readonly number[]): StreamPiece[] {
  const parser = new StreamParser();
  const pieces: StreamPiece[] = [];
  let turn = 0;
  for (let at = 0; at < bytes.length;) {
    const size = sizes[turn++ % sizes.length] ?? 1;
    parser.push(Uint8Array.from(bytes.subarray(at, at + size)));
    at += size;
    for (let piece = parser.next(); piece !== undefined; piece = parser.next()) pieces.push(piece);
  }
  return pieces;
}

/** Heads one by one, and the data between them as one. */
function whole(pieces: readonly StreamPiece[]): unknown[] {
  const items: unknown[] = [];
  for (const piece of pieces) {
    const last = items.at(-1);
    if (piece.kind !== "data") items.push(piece.kind === "head" ? piece.head : "end");
    else if (last instanceof Uint8Array) items[items.length - 1] = joined([last, piece.bytes]);
    else items.push(Uint8Array.from(piece.bytes));
  }
  return items;
}

Deno.test("frames come out as they went in, however the bytes are cut", () => {
  fc.assert(fc.property(fc.array(fc.oneof(head, data)), cuts, (items, sizes) => {
    const bytes = joined([...items.map(bytesOf), endFrame()]);
    const expected = whole(
      items.map((item): StreamPiece =>
        "head" in item
          ? { kind: "head", head: item.head }
          : { kind: "data", bytes: Uint8Array.from(item.data) }
      ),
    );
    assert.deepEqual(whole(parse(bytes, sizes)), [...expected, "end"]);
  }));
});

Deno.test("data is handed on without a copy", () => {
  const chunk = joined([dataHeader(1000), new Uint8Array(1000)]);
  const parser = new StreamParser();
  parser.push(chunk);
  const piece = parser.next();
  assert.ok(piece?.kind === "data");
  assert.equal(piece.bytes.buffer, chunk.buffer);
});

Deno.test("random bytes lead to pieces or to an error of the protocol, never to anything else", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), cuts, (bytes, sizes) => {
      try {
        parse(bytes, sizes);
      } catch (error) {
        assert.ok(error instanceof ProtocolError, `threw ${error}`);
      }
    }),
    { numRuns: 5_000 },
  );
});

Deno.test("nothing is believed that is too long, empty, of no kind, or after the end", () => {
  const header = (kind: number, length: number) => {
    const bytes = dataHeader(length);
    bytes[0] = kind;
    return bytes;
  };
  const wrong = [
    header(1, HEAD_BYTES_MAX + 1),
    header(1, 0),
    header(2, DATA_BYTES_MAX + 1),
    header(2, 0),
    header(2, 0xffff_ffff),
    header(3, 1),
    header(0, 1),
    header(4, 1),
    joined([endFrame(), Uint8Array.of(1)]),
    joined([header(1, 2), new TextEncoder().encode("[]")]),
    joined([header(1, 2), Uint8Array.of(0xff, 0xfe)]),
  ];
  for (const bytes of wrong) assert.throws(() => parse(bytes, [1]), ProtocolError);
  assert.throws(() => headFrame({ long: "x".repeat(HEAD_BYTES_MAX) }), RangeError);
});

Deno.test("a stream's first bytes say its kind and number", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0 }), (kind, id) => {
    const bytes = joined([Uint8Array.of(9), streamPrefix({ kind, id }), Uint8Array.of(9)]);
    assert.deepEqual(readStreamPrefix(bytes.subarray(1)), { kind, id });
  }));
});
