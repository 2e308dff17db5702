import assert from "node:assert/strict";
import fc from "fast-check";
import { MEMBERSHIP_LIMITS } from "~/mesh/membership_ports.ts";
import { RecordStore } from "~/mesh/record_store.ts";
import type { SignedRecord } from "~/mesh/record.ts";
import { id, recordOf } from "#support/membership.ts";

const HOUR_MS = 3_600_000;
const anybody = (): boolean => true;

const someRecord: fc.Arbitrary<SignedRecord> = fc.record({
  n: fc.nat(20),
  incarnation: fc.nat(30),
  // Every tenth record of a node is its farewell.
}).map(({ n, incarnation }) => recordOf(n, { incarnation, isLeaving: incarnation % 10 === 9 }));

function contentOf(store: RecordStore): string[] {
  return [...store.entries()].map(([, { signed }]) => signed.jws).sort();
}

Deno.test("RecordStore keeps the newest of each, in whatever order they come", () => {
  const shuffled = fc.array(someRecord, { maxLength: 60 }).chain((records) =>
    fc.tuple(
      fc.constant(records),
      fc.shuffledSubarray(records, { minLength: records.length, maxLength: records.length }),
    )
  );
  fc.assert(fc.property(shuffled, ([some, others]) => {
    const [one, other] = [some, others].map((records) => {
      const store = new RecordStore(MEMBERSHIP_LIMITS, anybody);
      for (const record of records) store.put(record, 0);
      return contentOf(store);
    });
    assert.deepEqual(one, other);
  }));
});

Deno.test("RecordStore stays within its bounds and never drops whoever may not go", () => {
  const limits = { ...MEMBERSHIP_LIMITS, records: 6, recordsBytes: 600 };
  const steps = fc.array(fc.tuple(someRecord, fc.boolean()), { maxLength: 80 });
  fc.assert(fc.property(steps, (records) => {
    const store = new RecordStore(limits, (node) => node !== id(0));
    store.put(recordOf(0, { incarnation: 0 }), 0);
    records.forEach(([record, isHere], nowMs) => {
      store.put(record, nowMs);
      const entry = store.get(record.record.node);
      if (entry !== undefined && isHere) entry.absentSinceMs = undefined;
      assert.ok(store.size <= limits.records);
      assert.ok(store.sizeBytes <= limits.recordsBytes);
      const bytes = [...store.entries()].reduce(
        (sum, [, { signed }]) => sum + signed.jws.length,
        0,
      );
      assert.equal(store.sizeBytes, bytes);
      assert.notEqual(store.get(id(0)), undefined);
    });
  }));
});

Deno.test("RecordStore makes room with the longest absent, then with the latest known by hearsay", () => {
  const store = new RecordStore({ ...MEMBERSHIP_LIMITS, records: 3 }, (node) => node !== id(0));
  for (const n of [0, 1, 2]) store.put(recordOf(n), n);
  for (const n of [0, 2]) {
    const entry = store.get(id(n));
    if (entry !== undefined) entry.absentSinceMs = undefined;
  }
  assert.equal(store.put(recordOf(3), 3), "new");
  assert.deepEqual(store.takeEvicted(), [id(1)]);
  const third = store.get(id(3));
  if (third !== undefined) third.absentSinceMs = undefined;
  assert.equal(store.put(recordOf(4), 4), "new");
  assert.deepEqual(store.takeEvicted(), [id(3)]);
  assert.deepEqual(store.takeEvicted(), []);
});

Deno.test("RecordStore keeps what it has when a newer record does not fit", () => {
  const old = recordOf(1);
  const large = { ...recordOf(1, { incarnation: 2000 }), jws: "x".repeat(900) };
  const store = new RecordStore({ ...MEMBERSHIP_LIMITS, recordsBytes: 500 }, anybody);
  store.put(old, 0);
  assert.equal(store.put(large, 1), "full");
  assert.equal(store.get(id(1))?.signed, old);
});

Deno.test("RecordStore forgets the absent after a day and a farewell after ten minutes", () => {
  const store = new RecordStore(MEMBERSHIP_LIMITS, anybody);
  store.put(recordOf(1), 0);
  store.put(recordOf(2, { isLeaving: true }), 0);
  assert.equal(store.present(id(2)), undefined);
  store.expire(HOUR_MS / 6 - 1);
  assert.equal(store.put(recordOf(2, { incarnation: 999 }), 0), "known", "an old record came back");
  store.expire(HOUR_MS / 6);
  assert.equal(store.get(id(2)), undefined);
  store.expire(24 * HOUR_MS - 1);
  assert.notEqual(store.get(id(1)), undefined);
  store.expire(24 * HOUR_MS);
  assert.equal(store.size, 0);
});

Deno.test("RecordStore tells two stores apart by what each lacks", () => {
  const sets = fc.tuple(fc.array(someRecord), fc.array(someRecord));
  fc.assert(fc.property(sets, ([some, others]) => {
    const [one, other] = [some, others].map((records) => {
      const store = new RecordStore(MEMBERSHIP_LIMITS, anybody);
      for (const record of records) store.put(record, 0);
      return store;
    });
    if (one === undefined || other === undefined) return;
    const marks = one.marks(100);
    assert.deepEqual(
      [...other.olderThan(marks)].sort(),
      [...one.newerThan(other.marks(100))].sort(),
    );
    for (const node of one.newerThan(other.marks(100))) {
      const signed = one.get(node)?.signed;
      if (signed !== undefined) other.put(signed, 0);
    }
    assert.deepEqual(one.newerThan(other.marks(100)), []);
  }));
});

Deno.test("RecordStore names those who are here first when not all can be named", () => {
  const store = new RecordStore(MEMBERSHIP_LIMITS, anybody);
  for (const n of [1, 2, 3]) store.put(recordOf(n), 0);
  const last = store.get(id(3));
  if (last !== undefined) last.absentSinceMs = undefined;
  assert.deepEqual(store.marks(1), [{ node: id(3), incarnation: 1000 }]);
  assert.equal(store.newerThan([])[0], id(3));
});
