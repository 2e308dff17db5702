/** Every decoder of what peers send, against 100,000 inputs each: it reads or refuses, and does nothing else. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseAddress } from "~/mesh/address.ts";
import { readControl } from "~/mesh/control_codec.ts";
import { FrameCutter } from "~/mesh/frame_cutter.ts";
import { readAccept, readHello, readProof, readWelcome } from "~/mesh/handshake_messages.ts";
import { decodeMemory, encodeMemory } from "~/mesh/mesh_memory.ts";
import { type PaperKind, readPaper } from "~/mesh/papers.ts";
import { decodeRecord, encodeRecord } from "~/mesh/record_codec.ts";
import { peekPayload } from "~/mesh/signing.ts";
import { StreamParser } from "~/mesh/stream_codec.ts";
import { ProtocolError, readJsonObject } from "~/mesh/wire.ts";
import { decodeAnswerHead, decodeRequestHead, PeerHeadError } from "~/proxy/peer_head.ts";
import type { JsonObject } from "~/base/json.ts";
import { signedRecordOf } from "#support/member_views.ts";
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
          const isRefusal = error instanceof ProtocolError || error instanceof PeerHeadError;
          assert.ok(isRefusal, `threw ${error}`);
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

/** A good one in which some members are replaced, taken out or added. */
function nearly(good: JsonObject): fc.Arbitrary<JsonObject> {
  const name = fc.constantFrom(...Object.keys(good), "__proto__", "later");
  return fc.array(fc.tuple(name, fc.option(value)), { maxLength: 3 }).map((changes) => {
    const entries = new Map<string, unknown>(Object.entries(good));
    for (const [member, change] of changes) {
      if (change === null) entries.delete(member);
      else entries.set(member, change);
    }
    return Object.fromEntries(entries) as JsonObject;
  });
}

testDecoder(
  "the reader of records",
  nearly(encodeRecord(signedRecordOf("a").record, "a.b.c")),
  (input) => {
    decodeRecord(input);
  },
);

const KEY = standInId(1);
const PAPER: JsonObject = {
  v: 1,
  mesh: KEY,
  iss: KEY,
  iat: 1_700_000_000,
  exp: 1_700_086_400,
  jti: `${KEY.slice(0, 16)}.aaaaaaaaaaa`,
  sub: standInId(2),
  rights: ["request"],
  peers: [{ id: KEY, hash: KEY, at: ["192.0.2.1:1"] }],
};
const PAPERS: readonly PaperKind[] = [
  "mesh-llm-grant",
  "mesh-llm-invite",
  "mesh-llm-certificate",
  "mesh-llm-revocation",
];
testDecoder(
  "the reader of papers",
  fc.tuple(fc.constantFrom(...PAPERS), nearly(PAPER)),
  ([kind, input]) => void readPaper(kind, input),
);

testDecoder("the look into a signed text", fc.string({ unit: "binary" }), (input) => {
  peekPayload(input, 1000);
  peekPayload(`a.${btoa(unescape(encodeURIComponent(input)))}.b`, 1000);
});

const MEMORY: JsonObject = JSON.parse(encodeMemory({
  meshId: KEY,
  papers: { certificate: "a.b.c", grant: "a.b.c", revocations: ["a.b.c"] },
  port: 4433,
  peers: [{ nodeId: KEY, leafHash: KEY, addresses: [{ ip: "192.0.2.1", port: 1 }] }],
}));
testDecoder("the reader of the mesh file", nearly(MEMORY), (input) => {
  decodeMemory(JSON.stringify(input));
});

const REQUEST: JsonObject = {
  t: "request",
  method: "POST",
  path: "/v1/completions",
  headers: [["accept", "*/*"]],
  bytes: 3,
  hops: 1,
  model: "m",
  to: KEY,
};
testDecoder("the reader of requests' heads", nearly(REQUEST), (input) => {
  decodeRequestHead(input);
});

const ANSWER: JsonObject = { t: "answer", status: 200, headers: [["content-type", "text/plain"]] };
testDecoder("the reader of answers' heads", nearly(ANSWER), (input) => {
  decodeAnswerHead(input);
});
