import assert from "node:assert/strict";
import fc from "fast-check";
import { TargetHealth } from "~/proxy/target_health.ts";

/** When a node that failed so often, one after the other, may be probed. */
function avoidedMs(health: TargetHealth, nowMs: number): number {
  let ms = 0;
  while (health.standing("a", nowMs + ms) === "avoided") ms += 100;
  return ms;
}

Deno.test("TargetHealth avoids a node for twice as long after each failed probe, a minute at most", () => {
  const health = new TargetHealth({ next: () => 0 });
  let nowMs = 0;
  const times: number[] = [];
  for (let i = 0; i < 9; i += 1) {
    health.failed("a", nowMs);
    times.push(avoidedMs(health, nowMs));
    nowMs += times.at(-1) ?? 0;
    health.sent("a", nowMs);
  }
  assert.deepEqual(times.slice(0, 4), [1_000, 2_000, 4_000, 8_000]);
  assert.deepEqual(times.slice(-2), [60_000, 60_000]);
});

Deno.test("TargetHealth takes what fails together for one failure", () => {
  const health = new TargetHealth({ next: () => 0 });
  for (let i = 0; i < 64; i += 1) health.failed("a", i);
  assert.equal(avoidedMs(health, 0), 1_000);
});

Deno.test("TargetHealth sends another probe when one is never answered", () => {
  const health = new TargetHealth({ next: () => 0 });
  health.failed("a", 0);
  health.sent("a", 1_000);
  assert.equal(health.standing("a", 10_999), "avoided");
  assert.equal(health.standing("a", 11_000), "to be probed");
});

Deno.test("TargetHealth forgets all once the node answered, whatever was before", () => {
  const step = fc.record({
    kind: fc.constantFrom("failed" as const, "sent" as const),
    afterMs: fc.nat(100_000),
  });
  fc.assert(fc.property(fc.array(step), (steps) => {
    const health = new TargetHealth({ next: () => 0.5 });
    let nowMs = 0;
    for (const { kind, afterMs } of steps) health[kind]("a", nowMs += afterMs);
    health.answered("a");
    assert.equal(health.standing("a", nowMs), "fine");
    assert.equal(health.standing("b", nowMs), "fine");
    health.failed("a", nowMs);
    assert.equal(avoidedMs(health, nowMs), 1_100);
  }));
});
