import assert from "node:assert/strict";
import fc from "fast-check";
import { UNUSED_MS, Usage } from "~/election/usage.ts";

Deno.test("a host that gets busy says so within half a minute, and that it is idle again", () => {
  const usage = new Usage(4, 0);
  usage.load({ running: 4, waiting: 2 }, 0);
  assert.equal(usage.told(1_000).busy, 0);
  assert.equal(usage.told(30_000).busy, 0.75);
  assert.equal(usage.told(90_000).busy, 1);
  usage.load({ running: 0, waiting: 0 }, 90_000);
  assert.equal(usage.told(150_000).busy, 0);
});

Deno.test("the time of answers is a mean in steps of two", () => {
  const usage = new Usage(1, 0);
  assert.equal(usage.told(0).serviceMs, undefined);
  usage.answered(3_000);
  assert.equal(usage.told(0).serviceMs, 2_048);
  for (let n = 0; n < 100; n += 1) usage.answered(20_000);
  assert.equal(usage.told(0).serviceMs, 16_384);
});

Deno.test("a model is unused from an hour on, told in doubling steps", () => {
  const usage = new Usage(1, 0);
  usage.load({ running: 1, waiting: 0 }, 0);
  assert.equal(usage.told(2 * UNUSED_MS).unusedMs, 0);
  usage.load({ running: 0, waiting: 0 }, 2 * UNUSED_MS);
  const after = (hours: number) => usage.told((2 + hours) * UNUSED_MS).unusedMs / UNUSED_MS;
  assert.deepEqual([0.99, 1, 1.9, 2.5, 7, 8].map(after), [0, 1, 1, 2, 4, 8]);
});

Deno.test("whatever happens, what is told stays in its bounds", () => {
  const event = fc.record({
    running: fc.nat(20),
    waiting: fc.nat(20),
    afterMs: fc.nat(10_000_000),
    serviceMs: fc.nat(1_000_000),
  });
  fc.assert(fc.property(fc.array(event, { maxLength: 30 }), fc.nat(8), (events, slots) => {
    const usage = new Usage(slots, 0);
    let nowMs = 0;
    for (const { running, waiting, afterMs, serviceMs } of events) {
      nowMs += afterMs;
      usage.load({ running, waiting }, nowMs);
      usage.answered(serviceMs);
      const told = usage.told(nowMs);
      assert.ok([0, 0.25, 0.5, 0.75, 1].includes(told.busy));
      assert.ok((told.serviceMs ?? 0) >= 0 && (told.serviceMs ?? 0) <= 1_000_000);
      if (running + waiting > 0) assert.equal(told.unusedMs, 0);
    }
  }));
});
