import assert from "node:assert/strict";
import fc from "fast-check";
import type { JsonObject } from "~/base/json.ts";
import { electionPayload, readElection } from "~/mesh/election_codec.ts";
import type { ElectionRecord } from "~/mesh/election_record.ts";
import { decodeRecord, encodeRecord, RECORD_JWS_CHARS_MAX } from "~/mesh/record_codec.ts";
import { recordOf } from "#support/membership.ts";
import { standInJws } from "#support/stand_in_signer.ts";

const name = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 40 });
const count = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const print = fc.stringMatching(/^[0-9a-f]{64}:[0-9]{1,12}$/);
const amount = fc.double({ min: 0, max: 1_000_000, noNaN: true }).map((value) => value + 0);

const offerParts = {
  id: name,
  fingerprint: fc.option(print, { nil: undefined }),
  sizeBytes: count,
  needs: fc.array(fc.record({ device: name, bytes: count }), { maxLength: 4 }),
};
const offer = fc.record(offerParts);

/** What is within all bounds. */
const election: fc.Arbitrary<ElectionRecord> = fc.record({
  mayServe: fc.boolean(),
  speed: fc.constantFrom<0 | 1 | 2>(0, 1, 2),
  modelsMax: fc.integer({ min: 1, max: 16 }),
  devices: fc.array(fc.record({ name, capacityBytes: count }), { maxLength: 17 }),
  onDisk: fc.array(offer, { maxLength: 10 }),
  fetchable: fc.array(offer, { maxLength: 4 }),
  hosted: fc.array(
    fc.record({
      ...offerParts,
      state: fc.constantFrom<ElectionRecord["hosted"][number]["state"]>(
        "fetching",
        "loading",
        "serving",
        "draining",
      ),
      sinceUnixS: count,
      slots: fc.nat(4096),
      busy: fc.constantFrom(0, 0.25, 0.5, 0.75, 1),
      serviceMs: fc.option(amount, { nil: undefined }),
      unusedMs: count,
      why: fc.option(name, { nil: undefined }),
    }).map(({ why, ...said }) => why === undefined ? said : { ...said, why }),
    { maxLength: 3 },
  ),
  asksHere: fc.array(name, { maxLength: 8 }),
  wants: fc.array(name, { maxLength: 8 }),
  demand: fc.array(fc.record({ id: name, perMinute: amount }), { maxLength: 16 }),
  avoids: fc.array(
    fc.record({ id: name, cause: fc.constantFrom<"failed" | "dropped">("failed", "dropped") }),
    { maxLength: 16 },
  ),
}).map((drawn) => structuredClone(drawn)); // fast-check draws objects without a prototype

function overTheWire(payload: JsonObject): JsonObject {
  return JSON.parse(JSON.stringify(payload));
}

Deno.test("readElection() reads everything within the bounds as it was written", () => {
  fc.assert(fc.property(election, (written) => {
    assert.deepEqual(readElection(overTheWire(electionPayload(written))), written);
  }));
});

Deno.test("a record of an older program, which says nothing for the election, is read", () => {
  const payload = encodeRecord(recordOf(1).record, "a.b.c");
  assert.equal("election" in payload, false);
  assert.deepEqual(decodeRecord(overTheWire(payload))?.record, recordOf(1).record);
});

Deno.test("what cannot be read of the election counts as none, and the record is good otherwise", () => {
  const whole = fc.sample(election, 20).map((one) => overTheWire(electionPayload(one)));
  const wrongs = [null, -1, 1.5, "", "\u001b[31m", { a: 1 }, [null], [[]], [1], "x".repeat(9_000)];
  for (const payload of whole) {
    for (const member of Object.keys(payload)) {
      for (const wrong of wrongs) {
        assert.equal(readElection({ ...payload, [member]: wrong }), undefined, member);
      }
    }
  }
  const record = { ...encodeRecord(recordOf(1).record, "a.b.c"), election: { serve: "yes" } };
  assert.deepEqual(decodeRecord(record)?.record, recordOf(1).record);
});

Deno.test("readElection() refuses lists that are too long, and numbers that lie", () => {
  const whole = overTheWire(electionPayload(fc.sample(election, 1)[0]!));
  const model = { id: "m", size: 1, needs: [] };
  const hosted = { ...model, state: "serving", since: 1, slots: 1, busy: 0, unused: 0 };
  const bad: readonly JsonObject[] = [
    { pools: Array.from({ length: 18 }, (_, n) => ({ name: `d${n}`, bytes: 1 })) },
    { disk: Array.from({ length: 65 }, () => model) },
    { fetch: Array.from({ length: 17 }, () => model) },
    { hosted: Array.from({ length: 17 }, () => hosted) },
    { hosted: [{ ...hosted, state: "resting" }] },
    { hosted: [{ ...hosted, busy: 1.5 }] },
    { hosted: [{ ...hosted, slots: 5_000 }] },
    { hosted: [{ ...hosted, print: "abc" }] },
    { wants: Array.from({ length: 9 }, () => "m") },
    { demand: [{ id: "m", rate: 2_000_000 }] },
    { demand: Array.from({ length: 17 }, () => ({ id: "m", rate: 1 })) },
    { avoids: [{ id: "m", cause: "mood" }] },
    { max: 17 },
    { speed: 3 },
  ];
  assert.notEqual(readElection({ ...whole, hosted: [hosted] }), undefined);
  for (const changes of bad) assert.equal(readElection({ ...whole, ...changes }), undefined);
});

Deno.test("a record with the election stays within its size, and keeps what is hosted and wanted", () => {
  const huge = fc.string({ unit: "grapheme-ascii", minLength: 200, maxLength: 256 });
  const many = fc.tuple(election, fc.array(huge, { minLength: 64, maxLength: 100 }));
  fc.assert(
    fc.property(many, ([base, ids]) => {
      const onDisk = ids.map((id) => ({ id, fingerprint: undefined, sizeBytes: 1, needs: [] }));
      const { record } = recordOf(1);
      const written = { ...record, models: ids, election: { ...base, onDisk } };
      const payload = encodeRecord(written, `a.${"c".repeat(2_000)}.b`);
      const jws = standInJws(record.node, "mesh-llm-record", payload);
      assert.ok(jws.length <= RECORD_JWS_CHARS_MAX, `${jws.length} characters`);
      const read = decodeRecord(overTheWire(payload))?.record.election;
      assert.deepEqual(read?.hosted, base.hosted);
      assert.deepEqual(read?.wants, base.wants);
      assert.deepEqual(read?.onDisk, onDisk.slice(0, read?.onDisk.length));
    }),
    { numRuns: 30 },
  );
});

Deno.test("words for people that cannot be shown are left out, and spoil nothing", () => {
  const hosts = election.filter(({ hosted }) => hosted.length > 0);
  const wrong = fc.constantFrom("", "two\nlines", "\u202Eevil", "x".repeat(257), 7, null, {});
  fc.assert(fc.property(hosts, wrong, (written, why) => {
    const payload = overTheWire(electionPayload(written));
    const hosted = (payload["hosted"] as JsonObject[]).map((one) => ({ ...one, why }));
    const read = readElection({ ...payload, hosted });
    assert.ok(read !== undefined);
    assert.ok(read.hosted.every((one) => one.why === undefined));
    const said = { ...written, hosted: written.hosted.map((one) => ({ ...one, why: `${why}` })) };
    assert.ok(readElection(overTheWire(electionPayload(said))) !== undefined);
  }));
});
