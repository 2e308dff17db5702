import assert from "node:assert/strict";
import fc from "fast-check";
import type { ControlMessage } from "~/mesh/control.ts";
import { CONTROL_BYTES_MAX, controlFrames, readControl } from "~/mesh/control_codec.ts";
import { serialOf } from "~/mesh/ids.ts";
import { JWS_CHARS_MAX } from "~/mesh/signing.ts";
import { jsonFrame, LENGTH_BYTES, ProtocolError } from "~/mesh/wire.ts";
import { standInId } from "#support/stand_in_signer.ts";

const node = fc.nat(1_000).map(standInId);
const nodes = fc.array(node, { maxLength: 20 });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const paper = fc.nat(300).map((length) => `e30.${"x".repeat(length + 1)}.sig_-`);
const serial = node.map((issuer) => serialOf(issuer, "AAAAAAAAAAA"));
const address = fc.record({
  ip: fc.oneof(
    fc.ipV4().filter((ip) => Number(ip.split(".")[0]) % 224 > 0 && Number(ip.split(".")[0]) < 224),
    fc.constantFrom("2001:db8::7", "fe80::1"),
  ),
  port: fc.integer({ min: 1, max: 65_535 }),
});

const message: fc.Arbitrary<ControlMessage> = fc.oneof(
  fc.record({ t: fc.constant("records"), records: fc.array(paper, { minLength: 1 }) }),
  fc.record({
    t: fc.constant("digest"),
    have: fc.array(fc.record({ node, incarnation: fc.maxSafeNat() })),
    revoked: fc.array(serial),
    answer: fc.boolean(),
  }),
  fc.record({ t: fc.constant("want"), nodes }),
  fc.record({ t: fc.constant("paths"), reset: fc.boolean(), up: nodes, down: nodes }),
  fc.record({ t: fc.constant("revocations"), papers: fc.array(paper, { minLength: 1 }) }),
  fc.record({
    t: fc.constant("dial_me"),
    target: node,
    from: node,
    leafHash: node,
    addresses: fc.array(address, { maxLength: 8 }),
  }),
  fc.record({ t: fc.constant("renew") }),
  fc.record({ t: fc.constant("release") }),
  fc.record({ t: fc.constant("renewed"), certificate: paper }),
  fc.record({ t: fc.constant("certificate"), certificate: paper }),
  fc.record({ t: fc.constant("grant"), grant: paper }),
  fc.record({
    t: fc.constant("demand"),
    asked: fc.array(
      fc.record({
        id: fc.constantFrom("tiny", "Qwen3-8B"),
        requests: fc.integer({ min: 1, max: 64 }),
      }),
      { maxLength: 8 },
    ),
  }),
  fc.record({ t: fc.constant("cancel"), stream: u32, byOpener: fc.boolean() }),
  fc.record({ t: fc.constant("ping"), n: u32 }),
  fc.record({ t: fc.constant("pong"), n: u32 }),
  fc.record({ t: fc.constant("bye"), reason: fc.constantFrom("leaving", "no, thank you") }),
) as fc.Arbitrary<ControlMessage>;

function read(json: unknown): ControlMessage | undefined {
  return readControl(jsonFrame(json).subarray(LENGTH_BYTES));
}

function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

Deno.test("every message is read as it was written", () => {
  fc.assert(fc.property(message, (sent) => {
    const frames = controlFrames(sent);
    assert.equal(frames.length, 1);
    const [frame = new Uint8Array()] = frames;
    assert.deepEqual(plain(readControl(frame.subarray(LENGTH_BYTES))), plain(sent));
  }));
});

Deno.test("members and kinds that are not known are passed over", () => {
  fc.assert(fc.property(message, (sent) => {
    assert.deepEqual(plain(read({ ...sent, later: { version: 2 } })), plain(sent));
  }));
  assert.equal(read({ t: "dance", with: "me" }), undefined);
  assert.equal(read({ t: "toString" }), undefined);
  assert.equal(read({ t: "__proto__" }), undefined);
});

Deno.test("papers are cut into messages that fit, none lost, in order", () => {
  const papers = fc.array(
    fc.integer({ min: 1, max: JWS_CHARS_MAX - 100 }).map((size) => `e30.${"y".repeat(size)}.s`),
    { maxLength: 8 },
  );
  fc.assert(
    fc.property(papers, (sent) => {
      for (const t of ["records", "revocations"] as const) {
        const frames = controlFrames(
          t === "records" ? { t, records: sent } : { t, papers: sent },
        );
        const got = frames.flatMap((frame) => {
          assert.ok(frame.length <= CONTROL_BYTES_MAX);
          const back = readControl(frame.subarray(LENGTH_BYTES));
          return back?.t === "records"
            ? back.records
            : back?.t === "revocations"
            ? back.papers
            : [];
        });
        assert.deepEqual(got, sent);
      }
    }),
    { numRuns: 30 },
  );
});

Deno.test("many small papers fit as well", () => {
  const records = Array.from({ length: 3_000 }, (_, n) => `e30.${n}.s`);
  const frames = controlFrames({ t: "records", records });
  const got = frames.flatMap((frame) => {
    const back = readControl(frame.subarray(LENGTH_BYTES));
    return back?.t === "records" ? back.records : [];
  });
  assert.deepEqual(got, records);
});

Deno.test("one wrong member makes the whole message wrong", () => {
  const id = standInId(1);
  const paths = { t: "paths", reset: true, up: [id], down: [] };
  const digest = { t: "digest", have: [], revoked: [], answer: true };
  const dial = { t: "dial_me", target: id, from: id, leafHash: id, addresses: [] };
  const wrong: unknown[] = [
    [],
    "ping",
    null,
    {},
    { t: 1 },
    { t: "ping" },
    { t: "ping", n: -1 },
    { t: "ping", n: 0.5 },
    { t: "pong", n: 2 ** 32 },
    { t: "cancel", stream: 1 },
    { t: "cancel", stream: "1", byOpener: true },
    { t: "bye", reason: "" },
    { t: "bye", reason: "line\nend" },
    { t: "bye", reason: "\u202Eevil" },
    { t: "bye", reason: "x".repeat(201) },
    { t: "records", records: {} },
    { t: "records", records: ["no paper"] },
    { t: "records", records: [`a.${"b".repeat(JWS_CHARS_MAX)}.c`] },
    { t: "want", nodes: [id.slice(1)] },
    { t: "want", nodes: Array(1_025).fill(id) },
    { ...paths, reset: 1 },
    { ...paths, up: [null] },
    { ...paths, down: undefined },
    { ...digest, have: [{ node: id }] },
    { ...digest, have: [null] },
    { ...digest, have: [{ node: id, incarnation: -1 }] },
    { ...digest, have: [{ node: id, incarnation: 1e300 }] },
    { ...digest, revoked: ["serial"] },
    { ...digest, answer: "no" },
    { ...dial, addresses: [{ ip: "localhost", port: 1 }] },
    { ...dial, addresses: [{ ip: "192.0.2.1", port: 0 }] },
    { ...dial, addresses: [{ ip: "0.0.0.0", port: 1 }] },
    { ...dial, addresses: Array(9).fill({ ip: "192.0.2.1", port: 1 }) },
    { ...dial, leafHash: "" },
    { t: "renewed" },
    { t: "certificate" },
    { t: "certificate", certificate: "no paper" },
    { t: "grant", grant: 7 },
    { t: "demand" },
    { t: "demand", asked: [null] },
    { t: "demand", asked: [{ id: "m" }] },
    { t: "demand", asked: [{ id: "m", requests: 0 }] },
    { t: "demand", asked: [{ id: "m", requests: 65 }] },
    { t: "demand", asked: [{ id: "m", requests: 1.5 }] },
    { t: "demand", asked: [{ id: "line\nend", requests: 1 }] },
    { t: "demand", asked: [{ id: "m".repeat(257), requests: 1 }] },
    { t: "demand", asked: Array(9).fill({ id: "m", requests: 1 }) },
  ];
  for (const json of wrong) {
    assert.throws(() => read(json), ProtocolError, JSON.stringify(json)?.slice(0, 80));
  }
});

Deno.test("random bytes and random JSON are read or refused, nothing else", () => {
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 100 }),
    fc.json().map((text) => new TextEncoder().encode(text)),
    fc.tuple(message, fc.string(), fc.jsonValue()).map(([sent, name, value]) =>
      new TextEncoder().encode(JSON.stringify({ ...sent, [name]: value }))
    ),
    fc.tuple(message, fc.nat(10), fc.jsonValue()).map(([sent, index, value]) => {
      const names = Object.keys(sent);
      const name = names[index % names.length] ?? "t";
      return new TextEncoder().encode(JSON.stringify({ ...sent, [name]: value }));
    }),
  );
  fc.assert(
    fc.property(anything, (bytes) => {
      try {
        readControl(bytes);
      } catch (error) {
        assert.ok(error instanceof ProtocolError, `threw ${error}`);
      }
    }),
    { numRuns: 3_000 },
  );
});

Deno.test("a message that is larger than the protocol allows is not sent", () => {
  const id = standInId(1);
  const many = Array(10_000).fill(id);
  assert.throws(() => controlFrames({ t: "want", nodes: many }), RangeError);
});
