import assert from "node:assert/strict";
import fc from "fast-check";
import type { JsonObject } from "~/base/json.ts";
import {
  decodeRecord,
  encodeRecord,
  isFarAhead,
  RECORD_JWS_CHARS_MAX,
} from "~/mesh/record_codec.ts";
import type { NodeRecord } from "~/mesh/record.ts";
import { id, recordOf } from "#support/membership.ts";
import { standInJws } from "#support/stand_in_signer.ts";

const name = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 40 });
const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const node = fc.nat(63).map(id);

/** Records within all bounds. */
const record: fc.Arbitrary<NodeRecord> = fc.record({
  node,
  incarnation: count,
  session: fc.stringMatching(/^[A-Za-z0-9_-]{8,64}$/),
  version: name,
  protocol: count,
  leafHash: node,
  addresses: fc.array(
    fc.record({
      ip: fc.oneof(
        fc.ipV4().filter((ip) => /^(?:[1-9]|1\d\d)\./.test(ip)),
        fc.constant("2001:db8::7"),
      ),
      port: fc.integer({ min: 1, max: 65_535 }),
    }),
    { maxLength: 8 },
  ),
  dialable: fc.constantFrom("yes", "no", "unknown"),
  devices: fc.array(fc.record({ name, totalBytes: count }), { maxLength: 16 }),
  offeredBytes: count,
  engine: fc.option(fc.record({ version: name, rpcVersion: name }), { nil: undefined }),
  models: fc.array(name, { maxLength: 64 }),
  serving: fc.array(
    fc.record({
      id: name,
      createdUnixS: count,
      slots: fc.nat(4096),
      sizeBytes: count,
      meta: fc.dictionary(name, fc.oneof(name, count), { maxKeys: 5 }).map((meta): JsonObject => ({
        ...meta,
      })),
      fingerprint: fc.stringMatching(/^[0-9a-f]{64}:[0-9]{1,12}$/),
    }, { requiredKeys: ["id", "createdUnixS", "slots", "sizeBytes", "meta"] }),
    { maxLength: 4 },
  ),
  loading: fc.array(fc.record({ id: name, phase: name }), { maxLength: 4 }),
  isLeaving: fc.boolean(),
}).map((drawn) => structuredClone(drawn)); // fast-check draws objects without a prototype

/** What arrives after the trip over the wire. */
function overTheWire(payload: JsonObject): JsonObject {
  return JSON.parse(JSON.stringify(payload));
}

Deno.test("decodeRecord() reads every record within the bounds as it was written", () => {
  fc.assert(fc.property(record, (written) => {
    const read = decodeRecord(overTheWire(encodeRecord(written, "a.b.c")));
    assert.deepEqual(read, { record: written, certificateJws: "a.b.c" });
  }));
});

Deno.test("encodeRecord() makes of any record one that can be read and fits", () => {
  const huge = fc.string({ unit: "binary", maxLength: 3_000 });
  const wild = fc.record({
    base: record,
    models: fc.array(huge, { maxLength: 200 }),
    devices: fc.array(fc.record({ name: huge, totalBytes: count }), { maxLength: 40 }),
    ids: fc.array(huge, { maxLength: 40 }),
    text: huge,
  });
  fc.assert(fc.property(wild, ({ base, models, devices, ids, text }) => {
    const written: NodeRecord = {
      ...base,
      models: [...models, ...Array.from({ length: 64 }, (_, n) => `${n}`.padEnd(250, "m"))],
      devices,
      version: text,
      serving: ids.map((served) => ({
        id: served,
        createdUnixS: 1,
        slots: 9_999,
        sizeBytes: 1,
        meta: { text },
      })),
      loading: ids.map((loading) => ({ id: loading, phase: text })),
    };
    const payload = encodeRecord(written, `a.${"c".repeat(4_000)}.b`);
    const jws = standInJws(written.node, "mesh-llm-record", payload);
    assert.ok(jws.length <= RECORD_JWS_CHARS_MAX, `${jws.length} characters`);
    assert.equal(decodeRecord(overTheWire(payload))?.record.node, written.node);
  }));
});

Deno.test("decodeRecord() never throws, and refuses or bounds whatever comes", () => {
  fc.assert(fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (payload) => {
    assert.equal(decodeRecord(overTheWire(payload as JsonObject)), undefined);
  }));
});

Deno.test("decodeRecord() refuses a record in which any one member is of another kind", () => {
  const whole = encodeRecord(
    { ...recordOf(1).record, engine: { version: "1", rpcVersion: "2" } },
    "a.b.c",
  );
  for (const member of Object.keys(whole)) {
    for (
      const wrong of [null, -1, 1.5, "", "\u001b[31m", { a: 1 }, [null], [[]], "x".repeat(9_000)]
    ) {
      const payload = overTheWire({ ...whole, [member]: wrong });
      assert.equal(
        decodeRecord(payload),
        undefined,
        `${member}: ${JSON.stringify(wrong).slice(0, 40)}`,
      );
    }
  }
});

Deno.test("decodeRecord() refuses lists that are too long and meta that is too deep or too large", () => {
  const whole = encodeRecord(recordOf(1).record, "a.b.c");
  const served = { id: "m", created: 1, slots: 1, size: 1 };
  const bad: readonly JsonObject[] = [
    { models: Array.from({ length: 65 }, (_, n) => `m${n}`) },
    { addresses: Array.from({ length: 9 }, () => "192.0.2.1:1") },
    { addresses: ["localhost:80"] },
    { addresses: ["0.0.0.0:80"] },
    { devices: Array.from({ length: 17 }, () => ({ name: "d", total: 1 })) },
    { serving: [{ ...served, meta: { a: { b: { c: { d: { e: 1 } } } } } }] },
    { serving: [{ ...served, meta: { a: "x".repeat(5_000) } }] },
    { serving: [{ ...served, slots: 5_000, meta: {} }] },
    { loading: Array.from({ length: 17 }, () => ({ id: "m", phase: "p" })) },
  ];
  assert.notEqual(decodeRecord(whole), undefined);
  for (const changes of bad) assert.equal(decodeRecord({ ...whole, ...changes }), undefined);
});

Deno.test("decodeRecord() passes over members that it does not know", () => {
  const payload = { ...encodeRecord(recordOf(1).record, "a.b.c"), future: { a: [1] } };
  assert.deepEqual(decodeRecord(payload)?.record, recordOf(1).record);
});

Deno.test("isFarAhead() allows a clock that is hours wrong, not one that is days wrong", () => {
  const hourMs = 3_600_000;
  assert.equal(isFarAhead(10 * hourMs, 0), false);
  assert.equal(isFarAhead(25 * hourMs, 0), true);
  assert.equal(isFarAhead(Number.MAX_SAFE_INTEGER, Date.UTC(2026, 0)), true);
});

Deno.test("decodeRecord() does without a fingerprint, and without one that it cannot read", () => {
  const [written] = fc.sample(record, { numRuns: 1, seed: 1 });
  assert.ok(written !== undefined);
  const served = { id: "m", createdUnixS: 1, slots: 1, sizeBytes: 1, meta: {} };
  for (const print of [undefined, "later:1", 7, `${"a".repeat(64)}:5`]) {
    const payload = encodeRecord({ ...written, serving: [served] }, "a.b.c");
    const [first] = payload["serving"] as readonly JsonObject[];
    const changed = {
      ...payload,
      serving: [{ ...first, ...(print === undefined ? {} : { print }) }],
    };
    const read = decodeRecord(overTheWire(changed))?.record.serving[0];
    const isGood = typeof print === "string" && print.startsWith("aaa");
    assert.deepEqual(read, isGood ? { ...served, fingerprint: print } : served);
  }
});
