import assert from "node:assert/strict";
import fc from "fast-check";
import { VirtualTime } from "#support/virtual_time.ts";
import { CoarseTimers } from "~/base/coarse_timers.ts";

function setup(): { readonly time: VirtualTime; readonly timers: CoarseTimers } {
  const time = new VirtualTime();
  return { time, timers: new CoarseTimers({ clock: time, timers: time }) };
}

Deno.test("CoarseTimers runs every timer that is not cancelled once, never early, at most a second late", () => {
  const plan = fc.record({
    delayMs: fc.integer({ min: 0, max: 120_000 }),
    cancelAfterMs: fc.option(fc.integer({ min: 0, max: 120_000 })),
  });
  fc.assert(fc.property(fc.array(plan, { maxLength: 12 }), (plans) => {
    const { time, timers } = setup();
    const ranMs = plans.map(() => [] as number[]);
    for (const [index, { delayMs, cancelAfterMs }] of plans.entries()) {
      const cancel = timers.after(delayMs, () => ranMs[index]?.push(time.nowMs()));
      if (cancelAfterMs !== null) time.after(cancelAfterMs, cancel);
    }
    time.advance(122_000);
    for (const [index, { delayMs, cancelAfterMs }] of plans.entries()) {
      const [atMs, ...more] = ranMs[index] ?? [];
      assert.equal(more.length, 0);
      if (atMs === undefined) {
        assert.ok(cancelAfterMs !== null && cancelAfterMs <= delayMs + 1_000);
        continue;
      }
      assert.ok(atMs >= delayMs && atMs <= delayMs + 1_000, `${atMs} for ${delayMs}`);
      if (cancelAfterMs !== null) assert.ok(cancelAfterMs >= atMs, "a cancelled timer never runs");
    }
    assert.equal(time.pendingCount, 0);
  }));
});

Deno.test("CoarseTimers keeps one timer for all long ones, and none when all are cancelled", () => {
  const { time, timers } = setup();
  const cancels = Array.from({ length: 1_000 }, () => timers.after(3_600_000, () => {}));
  assert.equal(time.pendingCount, 1);
  for (const cancel of cancels) cancel();
  assert.equal(time.pendingCount, 0);
});

Deno.test("CoarseTimers does not run a timer that another one cancels in the same sweep", () => {
  const { time, timers } = setup();
  const ran: string[] = [];
  timers.after(40_000, () => {
    ran.push("first");
    cancelSecond();
  });
  const cancelSecond = timers.after(40_000, () => ran.push("second"));
  time.advance(60_000);
  assert.deepEqual(ran, ["first"]);
});
