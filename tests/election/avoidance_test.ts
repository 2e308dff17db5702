import assert from "node:assert/strict";
import { Avoidance } from "~/election/avoidance.ts";

const least = { next: () => 0 };

Deno.test("a failed load is avoided for half a minute at first, for half an hour at last", () => {
  const avoidance = new Avoidance(least);
  avoidance.failed("a", 0);
  assert.deepEqual(avoidance.list(29_999), [{ id: "a", cause: "failed" }]);
  assert.deepEqual(avoidance.list(30_000), []);
  for (let times = 0; times < 20; times += 1) avoidance.failed("a", 100_000);
  assert.equal(avoidance.wakeAtMs(100_000), 100_000 + 1_800_000);
});

Deno.test("a failure of long ago does not count", () => {
  const avoidance = new Avoidance(least);
  for (let times = 0; times < 20; times += 1) avoidance.failed("a", 0);
  avoidance.failed("a", 7_200_000);
  assert.equal(avoidance.wakeAtMs(7_200_000), 7_230_000);
});

Deno.test("what was dropped by hand is avoided for an hour, or until it is asked for", () => {
  const avoidance = new Avoidance(least);
  avoidance.dropped("b", 0);
  avoidance.failed("a", 0);
  assert.deepEqual(avoidance.list(0).map(({ id, cause }) => `${id} ${cause}`), [
    "a failed",
    "b dropped",
  ]);
  avoidance.forgive("a");
  assert.deepEqual(avoidance.list(0).map(({ id }) => id), ["b"]);
  assert.equal(avoidance.wakeAtMs(0), 3_600_000);
  assert.equal(avoidance.wakeAtMs(3_600_000), undefined);
});

Deno.test("only so many are remembered, the latest", () => {
  const avoidance = new Avoidance(least);
  for (let n = 0; n < 1_000; n += 1) avoidance.dropped(`model-${n}`, n);
  assert.equal(avoidance.list(1_000).length, 256);
  assert.ok(avoidance.list(1_000).some(({ id }) => id === "model-999"));
});
