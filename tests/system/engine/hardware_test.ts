import assert from "node:assert/strict";
import { readHardware } from "~/engine/io/hardware.ts";
import { MIB } from "~/base/units.ts";

Deno.test("readHardware() tells plausible facts of this machine, without privileges", async () => {
  const { totalMemoryBytes, availableMemoryBytes, cpuCount, devices } = await readHardware();
  assert.ok(totalMemoryBytes !== undefined && availableMemoryBytes !== undefined);
  assert.ok(totalMemoryBytes > 256 * MIB && availableMemoryBytes > 0);
  assert.ok(availableMemoryBytes <= totalMemoryBytes);
  assert.ok(totalMemoryBytes <= Deno.systemMemoryInfo().total);
  assert.equal(cpuCount, navigator.hardwareConcurrency);
  assert.deepEqual(devices, []);
});

Deno.test("readHardware() takes accelerators from what the engine told", async () => {
  const device = { name: "CUDA0", description: "card", totalBytes: 2 * MIB, freeBytes: MIB };
  assert.deepEqual((await readHardware({ devices: [device] })).devices, [device]);
});
