/** Every decoder of what peers send, against 100,000 inputs each: it reads or refuses, and does nothing else. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseAddress } from "~/mesh/address.ts";
import { readControl } from "~/mesh/control_codec.ts";
import { FrameCutter } from "~/mesh/frame_cutter.ts";
import { readAccept, readHello, readProof, readWelcome } from "~/mesh/handshake_messages.ts";
import { StreamParser } from "~/mesh/stream_codec.ts";
import { ProtocolError, readJsonObject } from "~/mesh/wire.ts";
import { standInId } from "#support/stand_in_signer.ts";

const CASES = 100_000;

const bytes = fc.uint8Array({ maxLength: 48 });
/** Bytes that get past the first look: a kind, a length that may fit, something. */
const nearlyFrame = fc.tuple(fc.nat(4), fc.nat(40), bytes).map(([kind, length, rest]) =>
  Uint8Array.of(kind, 0, 0, 0, length, ...rest)
);
const value = fc.oneof(
  fc.constantFrom<unknown>(null, true, -1, 0.5, 2 ** 53, "", "a.b.c", "x", [], {}, [[]], [null]),
  fc.nat(100).map(standInId),
  fc.string({ maxLength: 8 }),
  fc.nat(),
);
const kinds = "hello welcome proof accept refuse records digest want paths revocations dial_me " +
  "renew renewed grant cancel ping pong bye";
const names =
  "v min mesh node session nonce version role proof certificate invite issued sees code message " +
  "records have revoked answer nodes reset up down papers target from leafHash addresses stream byOpener n reason";
const nearlyMessage = fc.tuple(
  fc.constantFrom(...kinds.split(" ")),
  fc.array(fc.tuple(fc.constantFrom(...names.split(" ")), value), { maxLength: 6 }),
).map(([t, members]) =>
  new TextEncoder().encode(JSON.stringify({ t, ...Object.fromEntries(members) }))
);

function testDecoder<T>(name: string, input: fc.Arbitrary<T>, decode: (input: T) => void): void {
  Deno.test(`${name} reads or refuses whatever comes`, () => {
    fc.assert(
      fc.property(input, (each) => {
        try {
          decode(each);
        } catch (error) {
          assert.ok(error instanceof ProtocolError, `threw ${error}`);
        }
      }),
      { numRuns: CASES },
    );
  });
}

testDecoder("the cutter of frames", fc.oneof(bytes, nearlyFrame), (input) => {
  const cutter = new FrameCutter();
  cutter.push(input);
  let got = 0;
  for (let frame = cutter.next(40); frame !== undefined; frame = cutter.next(40)) {
    got += frame.length;
  }
  assert.ok(got <= input.length);
});

testDecoder("the parser of streams", fc.oneof(bytes, nearlyFrame), (input) => {
  const parser = new StreamParser();
  parser.push(Uint8Array.from(input));
  let got = 0;
  for (let piece = parser.next(); piece !== undefined; piece = parser.next()) {
    if (piece.kind === "data") got += piece.bytes.length;
  }
  assert.ok(got <= input.length);
});

testDecoder("the reader of control messages", fc.oneof(bytes, nearlyMessage), (input) => {
  readControl(input);
});

testDecoder(
  "the reader of the handshake",
  fc.tuple(
    fc.constantFrom(readHello, readWelcome, readProof, readAccept),
    fc.oneof(bytes, nearlyMessage),
  ),
  ([read, input]) => {
    read(readJsonObject(input));
  },
);

testDecoder("the reader of addresses", fc.oneof(fc.string(), fc.ipV4(), fc.ipV6()), (input) => {
  for (const text of [input, `${input}:1`, `[${input}]:65535`]) parseAddress(text);
});
