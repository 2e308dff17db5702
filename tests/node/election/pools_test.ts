import assert from "node:assert/strict";
import { GIB } from "~/base/units.ts";
import type { Memory, PlanPart } from "~/engine/memory_plan.ts";
import { Pools } from "~/node/election/pools.ts";

const RAM_ONLY: Memory = { devices: [], ramFreeBytes: 10 * GIB };
const HELD: readonly PlanPart[] = [
  { what: "weights", where: "ram", bytes: 3 * GIB },
  { what: "cache", where: "ram", bytes: GIB },
];
const IDLE = { held: [], isMoving: false, maxBytes: undefined };

Deno.test("pools: loading a model does not make the node look smaller, nor larger", () => {
  const pools = new Pools();
  assert.equal(pools.measure(RAM_ONLY, { ...IDLE, nowMs: 0 }), true);
  const before = pools.told;
  assert.deepEqual(before.map(({ name }) => name), ["ram"]);
  const moving = { devices: [], ramFreeBytes: 8 * GIB };
  assert.equal(pools.measure(moving, { ...IDLE, isMoving: true, nowMs: 60_000 }), false);
  // Weights that are mapped from a file count as free; or they do not.
  for (const [ramFreeBytes, nowMs] of [[6 * GIB, 120_000], [9 * GIB, 180_000]] as const) {
    const memory = { devices: [], ramFreeBytes };
    assert.equal(pools.measure(memory, { ...IDLE, held: HELD, nowMs }), false);
    assert.equal(pools.told, before);
  }
});

Deno.test("pools: what others take is noticed while a model runs", () => {
  const pools = new Pools();
  pools.measure(RAM_ONLY, { ...IDLE, nowMs: 0 });
  const [{ capacityBytes: before } = { capacityBytes: 0 }] = pools.told;
  const memory = { devices: [], ramFreeBytes: GIB };
  assert.equal(pools.measure(memory, { ...IDLE, held: HELD, nowMs: 60_000 }), true);
  assert.ok((pools.told[0]?.capacityBytes ?? 0) < before);
});

Deno.test("pools: accelerators with memory of their own are pools, others are main memory", () => {
  const card = { name: "CUDA0", freeBytes: 20 * GIB };
  const shared = { name: "Vulkan0", freeBytes: 8 * GIB, sharesRam: true };
  const cases = [
    [[], 0, ["ram"]],
    [[shared], 1, ["ram"]],
    [[card, shared], 2, ["CUDA0", "ram"]],
  ] as const;
  for (const [devices, speed, names] of cases) {
    const pools = new Pools();
    pools.measure({ ...RAM_ONLY, devices }, { ...IDLE, nowMs: 0 });
    assert.equal(pools.speed, speed);
    assert.deepEqual(pools.told.map(({ name }) => name), names);
  }
});

Deno.test("pools: no pool is larger than what somebody allowed", () => {
  const pools = new Pools();
  pools.measure(RAM_ONLY, { ...IDLE, maxBytes: 2 * GIB, nowMs: 0 });
  assert.ok((pools.told[0]?.capacityBytes ?? 0) <= 2 * GIB);
  assert.equal(pools.memory?.ramFreeBytes, RAM_ONLY.ramFreeBytes);
});
