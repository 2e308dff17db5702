import assert from "node:assert/strict";
import fc from "fast-check";
import type { JsonObject } from "~/base/json.ts";
import {
  type Accept,
  type Hello,
  type Proof,
  proofPayload,
  readAccept,
  readHello,
  readProof,
  readWelcome,
  type Refuse,
  type Welcome,
  writeHandshake,
} from "~/mesh/handshake_messages.ts";
import { ProtocolError } from "~/mesh/wire.ts";
import { standInId } from "#support/stand_in_signer.ts";

const introduction = {
  node: standInId(1),
  session: "abcdefgh",
  nonce: standInId(2),
  version: "0.1.0",
  role: "member",
} as const;
const sees = { ip: "2001:db8::7", port: 4433 };
const hello: Hello = { t: "hello", v: 1, min: 1, mesh: standInId("m"), ...introduction };
const welcome: Welcome = { t: "welcome", v: 1, proof: "a.b.c", ...introduction };
const proof: Proof = { t: "proof", proof: "a.b.c", paper: { kind: "invite", jws: "d.e.f" }, sees };
const accept: Accept = { t: "accept", certificate: "a.b.c", issued: undefined, sees };
const refuse: Refuse = { t: "refuse", code: "mesh", message: "This is another mesh" };
const READERS = [readHello, readWelcome, readProof, readAccept];

Deno.test("messages are read as they were written", () => {
  assert.deepEqual(readHello(writeHandshake(hello)), hello);
  assert.deepEqual(readWelcome(writeHandshake(welcome)), welcome);
  assert.deepEqual(readProof(writeHandshake(proof)), proof);
  const certified: Proof = { ...proof, paper: { kind: "certificate", jws: "d.e.f" } };
  assert.deepEqual(readProof(writeHandshake(certified)), certified);
  assert.deepEqual(readAccept(writeHandshake(accept)), accept);
  const issuing: Accept = { ...accept, issued: "g.h.i" };
  assert.deepEqual(readAccept(writeHandshake(issuing)), issuing);
  for (const read of READERS) assert.deepEqual(read(writeHandshake(refuse)), refuse);
});

Deno.test("what a newer version adds is passed over", () => {
  assert.deepEqual(readHello({ ...writeHandshake(hello), later: [1] }), hello);
});

Deno.test("a long refusal is cut to what the reader takes", () => {
  const long = writeHandshake({ ...refuse, message: "x".repeat(2_000) });
  const read = readHello(long);
  assert.ok(read.t === "refuse" && read.message.length === 400);
});

Deno.test("each wrong member is refused", () => {
  const wrong: [(json: JsonObject) => unknown, object, JsonObject][] = [
    [readHello, hello, { t: "welcome" }],
    [readHello, hello, { v: -1 }],
    [readHello, hello, { min: "1" }],
    [readHello, hello, { mesh: "m" }],
    [readHello, hello, { node: introduction.node.slice(1) }],
    [readHello, hello, { session: "short" }],
    [readHello, hello, { session: "x".repeat(65) }],
    [readHello, hello, { session: "a b c d e" }],
    [readHello, hello, { nonce: "" }],
    [readHello, hello, { version: "" }],
    [readHello, hello, { version: "1\u001b[31m" }],
    [readHello, hello, { version: "x".repeat(65) }],
    [readHello, hello, { role: "originator" }],
    [readWelcome, welcome, { proof: "a.b" }],
    [readWelcome, welcome, { proof: `a.${"b".repeat(9_000)}.c` }],
    [readProof, writeHandshake(proof), { invite: 1 }],
    [readProof, writeHandshake(proof), { sees: "localhost:1" }],
    [readAccept, accept, { sees: null }],
    [readAccept, writeHandshake(accept), { issued: "no" }],
    [readAccept, writeHandshake(accept), { certificate: [] }],
    [readHello, refuse, { code: "No such code" }],
    [readHello, refuse, { message: "two\nlines" }],
    [readHello, refuse, { message: "x".repeat(401) }],
  ];
  for (const [read, good, change] of wrong) {
    assert.throws(
      () => read({ ...good as JsonObject, ...change }),
      ProtocolError,
      JSON.stringify(change),
    );
  }
});

Deno.test("random JSON is read or refused, nothing else", () => {
  const goods = [hello, welcome, proof, accept, refuse].map(writeHandshake);
  const json = fc.oneof(
    fc.dictionary(fc.string(), fc.jsonValue()),
    fc.tuple(fc.constantFrom(...goods), fc.nat(20), fc.jsonValue()).map(([good, index, value]) => {
      const names = Object.keys(good);
      return { ...good, [names[index % names.length] ?? ""]: value };
    }),
  ) as fc.Arbitrary<JsonObject>;
  fc.assert(
    fc.property(json, fc.constantFrom(...READERS), (value, read) => {
      try {
        read(value);
      } catch (error) {
        assert.ok(error instanceof ProtocolError, `threw ${error}`);
      }
    }),
    { numRuns: 3_000 },
  );
});

Deno.test("a proof changes with everything that was said, and with the side", () => {
  const dialer = { ...introduction, node: standInId("d") };
  const facts = { v: 1, mesh: standInId("m"), dialer, listener: introduction, leafHash: "l" };
  const payloads = [
    proofPayload(facts, "dialer"),
    proofPayload(facts, "listener"),
    proofPayload({ ...facts, v: 2 }, "dialer"),
    proofPayload({ ...facts, mesh: standInId("n") }, "dialer"),
    proofPayload({ ...facts, leafHash: "k" }, "dialer"),
    ...["node", "session", "nonce", "version", "role"].flatMap((name) => [
      proofPayload({ ...facts, dialer: { ...dialer, [name]: "x" } }, "dialer"),
      proofPayload({ ...facts, listener: { ...introduction, [name]: "x" } }, "dialer"),
    ]),
  ].map((payload) => JSON.stringify(payload));
  assert.equal(new Set(payloads).size, payloads.length);
});
