import assert from "node:assert/strict";
import fc from "fast-check";
import { DemandMeter, PER_MINUTE_MAX, REPORTED_MAX, sumDemand } from "~/election/demand.ts";
import { member } from "#support/election.ts";

const MINUTE_MS = 60_000;
const all = () => true;

Deno.test("one request is told at once and forgotten within minutes", () => {
  const meter = new DemandMeter();
  assert.equal(meter.count("a", 0), true);
  assert.equal(meter.report(0).length, 1);
  assert.equal(meter.report(2 * MINUTE_MS).length, 1);
  assert.deepEqual(meter.report(6 * MINUTE_MS), []);
});

Deno.test("a steady stream is told as its rate, nearly", () => {
  for (const perMinute of [2, 30, 600]) {
    const meter = new DemandMeter();
    const gapMs = MINUTE_MS / perMinute;
    let nowMs = 0;
    for (; nowMs < 20 * MINUTE_MS; nowMs += gapMs) meter.count("a", nowMs);
    const told = meter.report(nowMs)[0]?.perMinute ?? 0;
    assert.ok(told > perMinute / 1.6 && told < perMinute * 1.4, `${told} for ${perMinute}`);
  }
});

Deno.test("the report of a steady stream hardly ever changes", () => {
  const meter = new DemandMeter();
  let changes = 0;
  for (let nowMs = 0; nowMs < 60 * MINUTE_MS; nowMs += 2_000) {
    if (meter.count("a", nowMs) && nowMs > 20 * MINUTE_MS) changes += 1;
  }
  assert.ok(changes <= 1, `${changes} changes`);
});

Deno.test("a meter holds few models, those asked for most, in the order of names", () => {
  const meter = new DemandMeter();
  for (let n = 0; n < 500; n += 1) meter.count(`model-${n}`, n, n < 400 ? 1 : 100);
  const report = meter.report(500);
  assert.equal(report.length, REPORTED_MAX);
  assert.ok(report.every(({ id }) => Number(id.slice(6)) >= 400));
  assert.deepEqual(report, report.toSorted((a, b) => a.id < b.id ? -1 : 1));
});

Deno.test("demand is summed over members, each model of each member once", () => {
  const sums = sumDemand([
    member(1, { demand: [{ id: "a", perMinute: 3 }, { id: "b", perMinute: 1 }] }),
    member(2, { demand: [{ id: "a", perMinute: 4 }, { id: "a", perMinute: 4 }] }),
  ], all);
  assert.deepEqual([...sums], [["a", 7], ["b", 1]]);
});

Deno.test("no member is believed more than its share, whatever it claims", () => {
  const claim = fc.record({
    id: fc.string({ maxLength: 3 }),
    perMinute: fc.oneof(fc.double(), fc.integer()),
  });
  fc.assert(fc.property(fc.array(claim, { maxLength: 100 }), (demand) => {
    const sums = sumDemand([member(1, { demand })], all);
    assert.ok(sums.size <= REPORTED_MAX);
    for (const perMinute of sums.values()) {
      assert.ok(perMinute > 0 && perMinute <= PER_MINUTE_MAX);
    }
  }));
});

Deno.test("invented names count for nothing", () => {
  const demand = [{ id: "made up", perMinute: 100 }, { id: "a", perMinute: 1 }];
  assert.deepEqual([...sumDemand([member(1, { demand })], (id) => id === "a")], [["a", 1]]);
});
