import assert from "node:assert/strict";
import fc from "fast-check";
import { TokenBucket } from "~/base/token_bucket.ts";

Deno.test("a burst is allowed, then so much a second", () => {
  const limit = new TokenBucket({ burst: 3, perSecond: 2 });
  assert.deepEqual([1, 2, 3, 4].map(() => limit.take(1, 0)), [true, true, true, false]);
  assert.equal(limit.take(1, 499), false);
  assert.equal(limit.take(1, 500), true);
  assert.equal(limit.take(4, 1e9), false);
  assert.equal(limit.take(3, 1e9), true);
});

Deno.test("takeUpTo() takes what is left, in whole units", () => {
  const limit = new TokenBucket({ burst: 3, perSecond: 2 });
  assert.deepEqual([2, 2, 2].map((amount) => limit.takeUpTo(amount, 0)), [2, 1, 0]);
  assert.equal(limit.takeUpTo(5, 750), 1, "half a unit stays");
  assert.equal(limit.takeUpTo(5, 1_000), 1);
  assert.equal(limit.take(1, 1_000), false);
});

Deno.test("what is given beyond what time brings counts too, up to a burst", () => {
  const limit = new TokenBucket({ burst: 3, perSecond: 2 });
  assert.equal(limit.take(3, 0), true);
  limit.give(1);
  assert.deepEqual([limit.take(1, 0), limit.take(1, 0)], [true, false]);
  limit.give(100);
  assert.deepEqual([limit.take(4, 0), limit.take(3, 0)], [false, true]);
});

Deno.test("never more than burst and rate together, whatever the clock does", () => {
  const step = fc.record({
    passMs: fc.integer({ min: -50, max: 400 }),
    amount: fc.nat(5),
    isAllOrNothing: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(step), (steps) => {
    const limit = new TokenBucket({ burst: 10, perSecond: 5 });
    let nowMs = 0;
    let firstMs: number | undefined;
    let latestMs = -Infinity;
    let taken = 0;
    for (const { passMs, amount, isAllOrNothing } of steps) {
      nowMs += passMs;
      firstMs ??= nowMs;
      latestMs = Math.max(latestMs, nowMs);
      if (!isAllOrNothing) taken += limit.takeUpTo(amount, nowMs);
      else if (limit.take(amount, nowMs)) taken += amount;
      assert.ok(taken <= 10 + ((latestMs - firstMs) / 1000) * 5 + 1e-6);
    }
  }));
});
