import assert from "node:assert/strict";
import fc from "fast-check";
import { UserError } from "~/base/errors.ts";
import { GIB, KIB, MIB } from "~/base/units.ts";
import {
  boundByGroups,
  type HardwareFacts,
  memoryGroups,
  offeredMemory,
  parseCpuinfo,
  parseGroupBytes,
  parseInactiveFileBytes,
  parseMeminfo,
} from "~/engine/hardware.ts";

Deno.test("parseMeminfo() reads total and available memory", () => {
  const text =
    "MemTotal:       24684096 kB\nMemFree:         100 kB\nMemAvailable:   24056768 kB\n";
  assert.deepEqual(parseMeminfo(text), {
    totalBytes: 24_684_096 * KIB,
    availableBytes: 24_056_768 * KIB,
  });
});

Deno.test("parseMeminfo() takes free memory where an old kernel does not tell what is available", () => {
  assert.equal(parseMeminfo("MemTotal: 10 kB\nMemFree: 4 kB\n").availableBytes, 4 * KIB);
});

Deno.test("parseMeminfo() invents nothing", () => {
  assert.deepEqual(parseMeminfo("no such file"), {});
});

Deno.test("parseGroupBytes() reads a limit, and no limit in both versions' words", () => {
  assert.equal(parseGroupBytes("4294967296\n"), 4 * GIB);
  for (const text of ["max\n", "9223372036854771712\n", "", "-1", "4 GiB"]) {
    assert.equal(parseGroupBytes(text), undefined);
  }
});

Deno.test("parseInactiveFileBytes() reads both versions' statistics", () => {
  assert.equal(parseInactiveFileBytes("anon 1\ninactive_file 4096\nactive_file 7\n"), 4096);
  assert.equal(parseInactiveFileBytes("cache 1\ntotal_inactive_file 8192\n"), 8192);
  assert.equal(parseInactiveFileBytes("anon 1\n"), undefined);
});

Deno.test("memoryGroups() names the group of a container and all above it", () => {
  const paths = memoryGroups("0::/system.slice/mesh.service\n").map((group) => group.limitPath);
  assert.deepEqual(paths, [
    "/sys/fs/cgroup/system.slice/mesh.service/memory.max",
    "/sys/fs/cgroup/system.slice/memory.max",
    "/sys/fs/cgroup/memory.max",
  ]);
});

Deno.test("memoryGroups() finds the memory controller among version 1's", () => {
  const text = "12:cpu,cpuacct:/a\n9:memory:/docker/x\n1:name=systemd:/a\n";
  const paths = memoryGroups(text).map((group) => group.usagePath);
  assert.deepEqual(paths, [
    "/sys/fs/cgroup/memory/docker/x/memory.usage_in_bytes",
    "/sys/fs/cgroup/memory/docker/memory.usage_in_bytes",
    "/sys/fs/cgroup/memory/memory.usage_in_bytes",
  ]);
});

Deno.test("memoryGroups() leaves the folder of groups by no path", () => {
  assert.deepEqual(memoryGroups("0::/../../../etc\n"), []);
});

Deno.test("boundByGroups() takes the tightest limit, and counts cached files as free", () => {
  const machine = { totalBytes: 64 * GIB, availableBytes: 60 * GIB };
  const groups = [
    { limitBytes: 8 * GIB, usageBytes: 3 * GIB, inactiveFileBytes: 2 * GIB },
    { limitBytes: 16 * GIB, usageBytes: 15 * GIB },
    {},
  ];
  assert.deepEqual(boundByGroups(machine, groups), { totalBytes: 8 * GIB, availableBytes: GIB });
});

Deno.test("boundByGroups() knows a limited machine of which nothing else is known", () => {
  assert.deepEqual(boundByGroups({}, [{ limitBytes: GIB }]), {
    totalBytes: GIB,
    availableBytes: GIB,
  });
  assert.deepEqual(boundByGroups({}, []), {});
});

Deno.test("parseCpuinfo() tells cores from threads", () => {
  const thread = (core: number) =>
    `processor : 0\nmodel name\t: AMD EPYC\nphysical id\t: 0\ncore id\t\t: ${core}\n`;
  assert.deepEqual(parseCpuinfo([0, 1, 0, 1].map(thread).join("\n")), {
    cpuName: "AMD EPYC",
    coreCount: 2,
  });
  assert.deepEqual(parseCpuinfo("processor: 0\nBogoMIPS: 50\n"), {});
});

const CARD = {
  name: "CUDA0",
  description: "NVIDIA RTX",
  totalBytes: 24 * GIB,
  freeBytes: 20 * GIB,
};
const SMALL = {
  name: "CUDA1",
  description: "NVIDIA T4",
  totalBytes: 16 * GIB,
  freeBytes: 15 * GIB,
};
const MACHINE: HardwareFacts = {
  totalMemoryBytes: 64 * GIB,
  availableMemoryBytes: 50 * GIB,
  devices: [CARD, SMALL],
  isUnified: false,
};

Deno.test("offeredMemory() offers all accelerators and main memory", () => {
  const { memory, offeredBytes, deviceNames } = offeredMemory(MACHINE);
  assert.deepEqual(deviceNames, ["CUDA0", "CUDA1"]);
  assert.equal(memory.ramFreeBytes, 50 * GIB);
  assert.equal(offeredBytes, 85 * GIB);
});

Deno.test("offeredMemory() offers no more than was allowed", () => {
  assert.equal(offeredMemory(MACHINE, { maxBytes: 8 * GIB }).offeredBytes, 8 * GIB);
});

Deno.test("offeredMemory() offers the chosen accelerator only, whatever its letters' case", () => {
  assert.deepEqual(offeredMemory(MACHINE, { device: "cuda1" }).deviceNames, ["CUDA1"]);
});

Deno.test("offeredMemory() offers no accelerator when the processor is chosen", () => {
  const { memory, offeredBytes } = offeredMemory(MACHINE, { device: "none" });
  assert.deepEqual(memory.devices, []);
  assert.equal(offeredBytes, 50 * GIB);
});

Deno.test("offeredMemory() names what is there when the chosen accelerator is not", () => {
  assert.throws(
    () => offeredMemory(MACHINE, { device: "Vulkan0" }),
    (error) => error instanceof UserError && /CUDA0, CUDA1/.test(error.message),
  );
});

Deno.test("offeredMemory() counts memory that an accelerator shares with the processor once", () => {
  const metal = {
    name: "MTL0",
    description: "Apple M3",
    totalBytes: 48 * GIB,
    freeBytes: 40 * GIB,
  };
  const mac = { ...MACHINE, devices: [metal], isUnified: true };
  assert.equal(offeredMemory(mac).offeredBytes, 50 * GIB);
  const integrated = { ...metal, description: "Intel(R) UHD Graphics 770 (ADL-S GT1)" };
  const laptop = { ...MACHINE, devices: [integrated] };
  assert.equal(offeredMemory(laptop).memory.devices[0]?.sharesRam, true);
});

Deno.test("offeredMemory() offers nothing of main memory that is not known", () => {
  assert.equal(offeredMemory({ devices: [], isUnified: false }).offeredBytes, 0);
});

Deno.test("no parser fails on any text, and no size is negative", () => {
  fc.assert(fc.property(fc.string(), fc.nat(), (text, number) => {
    for (const one of [text, `MemTotal: ${number} kB`, `0::/${text}`, `core id : ${text}`]) {
      const { totalBytes = 0, availableBytes = 0 } = parseMeminfo(one);
      assert.ok(totalBytes >= 0 && availableBytes >= 0);
      for (const group of memoryGroups(one)) assert.ok(!group.limitPath.includes("/../"));
      parseCpuinfo(one);
      parseGroupBytes(one);
    }
  }));
});

Deno.test("boundByGroups() never gives more than the machine or any group has", () => {
  const bytes = fc.integer({ min: 0, max: 1024 * MIB });
  const group = fc.record({ limitBytes: bytes, usageBytes: bytes, inactiveFileBytes: bytes });
  fc.assert(fc.property(bytes, fc.array(group), (availableBytes, groups) => {
    const bound = boundByGroups({ totalBytes: 1024 * MIB, availableBytes }, groups);
    const limits = [1024 * MIB, ...groups.map(({ limitBytes }) => limitBytes)];
    assert.equal(bound.totalBytes, Math.min(...limits));
    assert.ok((bound.availableBytes ?? -1) >= 0 && (bound.availableBytes ?? 0) <= availableBytes);
  }));
});
