import assert from "node:assert/strict";
import fc from "fast-check";
import {
  CapacityMeter,
  type DeviceReading,
  estimateNeeds,
  leftOver,
  needsOfPlan,
  RAM,
  shortageOf,
  totalOf,
} from "~/election/capacity.ts";
import { GIB } from "~/base/units.ts";

function reading(changes: Partial<DeviceReading> = {}): DeviceReading {
  return { name: RAM, freeBytes: 10 * GIB, heldBytes: 0, limitBytes: undefined, ...changes };
}

const still = (nowMs: number) => ({ isMoving: false, nowMs });

Deno.test("loading a model does not move the capacity of the member away", () => {
  const meter = new CapacityMeter();
  const before = meter.read([reading()], still(0));
  // While it loads the memory is neither free nor known to be held.
  assert.deepEqual(
    meter.read([reading({ freeBytes: 4 * GIB })], { isMoving: true, nowMs: 60_000 }),
    before,
  );
  const after = meter.read([reading({ freeBytes: 4 * GIB, heldBytes: 6 * GIB })], still(120_000));
  assert.deepEqual(after, before);
});

Deno.test("capacity changes twice a minute at most, and follows in the end", () => {
  const meter = new CapacityMeter();
  const before = meter.read([reading()], still(0));
  assert.deepEqual(meter.read([reading({ freeBytes: GIB })], still(29_999)), before);
  const [after] = meter.read([reading({ freeBytes: GIB })], still(30_000));
  assert.ok(after !== undefined && after.capacityBytes <= GIB && after.capacityBytes > 0.8 * GIB);
});

Deno.test("a device that comes or goes is told at once", () => {
  const meter = new CapacityMeter();
  meter.read([reading()], still(0));
  const both = meter.read([reading({ name: "CUDA0" }), reading()], still(1));
  assert.deepEqual(both.map(({ name }) => name), ["CUDA0", RAM]);
});

Deno.test("a limit bounds what is told exactly, whatever is free", () => {
  const free = fc.integer({ min: 0, max: 100 * GIB });
  fc.assert(
    fc.property(fc.array(fc.tuple(free, free, free), { maxLength: 10 }), (readings) => {
      const meter = new CapacityMeter();
      for (const [index, [freeBytes, heldBytes, limitBytes]] of readings.entries()) {
        const [told] = meter.read(
          [reading({ freeBytes, heldBytes, limitBytes })],
          still(index * 30_000),
        );
        const whole = Math.min(freeBytes + heldBytes, limitBytes);
        assert.ok(told !== undefined && told.capacityBytes <= limitBytes);
        // The engine's own planner keeps a twentieth in reserve: so much may be told too much.
        assert.ok(told.capacityBytes <= whole / 0.95, `${told.capacityBytes} of ${whole}`);
        assert.ok(told.capacityBytes >= Math.floor(whole / 1.25));
      }
    }),
  );
});

const CARDS = [
  { name: "CUDA0", capacityBytes: 6 * GIB },
  { name: "CUDA1", capacityBytes: 2 * GIB },
  { name: RAM, capacityBytes: 8 * GIB },
];

Deno.test("accelerators share a plan in proportion to their size", () => {
  const needs = needsOfPlan([
    { what: "weights", where: "devices", bytes: 4 * GIB },
    { what: "cache", where: "ram", bytes: 100 },
    { what: "program", where: "ram", bytes: 50 },
  ], CARDS);
  assert.deepEqual(needs, [
    { device: "CUDA0", bytes: 3 * GIB },
    { device: "CUDA1", bytes: GIB },
    { device: RAM, bytes: 150 },
  ]);
});

Deno.test("memory that an accelerator shares is counted once", () => {
  const needs = needsOfPlan([
    { what: "weights", where: "devices", bytes: 4 * GIB },
    { what: "program", where: "ram", bytes: 50 },
  ], [{ name: RAM, capacityBytes: 8 * GIB }]);
  assert.deepEqual(needs, [{ device: RAM, bytes: 4 * GIB + 50 }]);
});

Deno.test("needs add up to what is needed, and what fits the sum fits each device", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 8 * GIB }), (bytes) => {
      const needs = needsOfPlan([{ what: "weights", where: "devices", bytes }], CARDS);
      assert.equal(totalOf(needs), bytes);
      assert.ok(
        needs.every((need) =>
          need.bytes <= (CARDS.find(({ name }) => name === need.device)?.capacityBytes ?? 0) + 1
        ),
      );
      const guess = estimateNeeds(bytes, CARDS);
      assert.ok(totalOf(guess) > bytes);
    }),
  );
});

Deno.test("a shortage names the device, what it would take and what is left there", () => {
  const taken = [[{ device: "CUDA0", bytes: 5 * GIB }]];
  assert.equal(shortageOf([{ device: "CUDA0", bytes: GIB }], CARDS, taken), undefined);
  assert.deepEqual(shortageOf([{ device: "CUDA0", bytes: 2 * GIB }], CARDS, taken), {
    device: "CUDA0",
    neededBytes: 2 * GIB,
    freeBytes: GIB,
  });
  // Two claims on one device are one, and a device that is not there has nothing.
  const twice = [{ device: RAM, bytes: 5 * GIB }, { device: RAM, bytes: 5 * GIB }];
  assert.equal(shortageOf(twice, CARDS, [])?.neededBytes, 10 * GIB);
  assert.equal(shortageOf([{ device: "CUDA9", bytes: 1 }], CARDS, [])?.freeBytes, 0);
  assert.equal(leftOver(CARDS, taken), 11 * GIB);
});
