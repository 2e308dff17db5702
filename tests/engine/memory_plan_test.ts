import assert from "node:assert/strict";
import fc from "fast-check";
import { GIB, MIB } from "~/base/units.ts";
import type { GgufFacts } from "~/engine/gguf/facts.ts";
import {
  type Memory,
  type MemoryPlan,
  type MemoryRefusal,
  planMemory,
  type PlanRequest,
} from "~/engine/memory_plan.ts";

/** A model like Llama 3 8B in Q4_K_M: 4.6 GiB of weights, 128 KiB of cache per token. */
const EIGHT_B: GgufFacts = {
  architecture: "llama",
  purpose: "text",
  layerCount: 32,
  embeddingLength: 4096,
  feedForwardLength: 14_336,
  contextLength: 131_072,
  vocabularySize: 128_256,
  headCounts: new Array(32).fill(32),
  kvHeadCounts: new Array(32).fill(8),
  keyLength: 128,
  valueLength: 128,
  recurrentElements: 0,
  expertCount: 0,
  expertUsedCount: 0,
  expertSharedCount: 0,
  expertFeedForwardLength: 0,
  quantisation: "Q4_K_M",
  dominantTensorType: "Q4_K",
  parameterCount: 8_030_261_248,
  weightsBytes: 4_912 * MIB,
  layerBytes: new Array(32).fill(130 * MIB),
  embeddingBytes: 281 * MIB,
  outputBytes: 410 * MIB,
  otherBytes: 61 * MIB,
  hasChatTemplate: true,
};

const ram = (gib: number): Memory => ({ devices: [], ramFreeBytes: gib * GIB });
const gpus = (ramGib: number, ...gib: number[]): Memory => ({
  devices: gib.map((size, index) => ({ name: `CUDA${index}`, freeBytes: size * GIB })),
  ramFreeBytes: ramGib * GIB,
});

function planned(memory: Memory, requested: PlanRequest = {}, facts = EIGHT_B): MemoryPlan {
  const plan = planMemory({ facts, memory, requested });
  assert.ok(plan.ok, plan.ok ? "" : plan.message);
  return plan;
}

function refused(memory: Memory, requested: PlanRequest = {}, facts = EIGHT_B): MemoryRefusal {
  const plan = planMemory({ facts, memory, requested });
  assert.ok(!plan.ok, plan.ok ? plan.explanation : "");
  return plan;
}

Deno.test("planMemory() gives four slots of a comfortable context where there is room", () => {
  const { slots, ctxPerSlot, ctxSizeTotal, gpuLayers } = planned(ram(64));
  assert.deepEqual([slots, ctxSizeTotal, gpuLayers], [4, 4 * ctxPerSlot, undefined]);
  assert.ok(ctxPerSlot >= 8_192 && ctxPerSlot <= 32_768);
});

Deno.test("planMemory() keeps the cache within the size of the weights unless asked", () => {
  assert.ok(planned(ram(512)).kvBytes <= EIGHT_B.weightsBytes);
  const asked = planned(ram(512), { ctxSize: 131_072, parallel: 4 });
  assert.equal(asked.kvBytes, 64 * GIB);
});

Deno.test("planMemory() gives fewer slots, then less context, as memory shrinks", () => {
  const shape = (gib: number) => {
    const { slots, ctxPerSlot } = planned(ram(gib));
    return `${slots} x ${ctxPerSlot}`;
  };
  assert.deepEqual([10.5, 8, 7, 6].map(shape), ["4 x 9728", "2 x 10240", "1 x 12800", "1 x 5120"]);
});

Deno.test("planMemory() never plans more than the model's own context", () => {
  const small = { ...EIGHT_B, contextLength: 1_024 };
  assert.equal(planned(ram(64), {}, small).ctxPerSlot, 1_024);
  const tiny = { ...EIGHT_B, contextLength: 100 };
  assert.equal(planned(ram(64), {}, tiny).ctxPerSlot, 256);
});

Deno.test("planMemory() keeps to what was asked for, rounded up as llama.cpp does", () => {
  const { slots, ctxPerSlot } = planned(ram(64), { ctxSize: 5_000, parallel: 3 });
  assert.deepEqual([slots, ctxPerSlot], [3, 5_120]);
  assert.equal(planned(ram(7), { ctxSize: 4_096 }).slots, 2);
  assert.equal(planned(ram(64), { parallel: 1 }).ctxPerSlot, 32_768);
});

Deno.test("planMemory() puts all layers on the accelerators where they fit", () => {
  const plan = planned(gpus(16, 24));
  assert.equal(plan.gpuLayers, 33);
  assert.ok(plan.parts.some(({ where, what }) => where === "ram" && what === "weights"));
});

Deno.test("planMemory() prefers a shorter context to layers in main memory", () => {
  const plan = planned(gpus(64, 5.8));
  assert.deepEqual([plan.gpuLayers, plan.slots], [33, 1]);
  assert.ok(plan.ctxPerSlot >= 4_096 && plan.ctxPerSlot < 8_192);
});

Deno.test("planMemory() leaves layers in main memory where they do not fit on accelerators", () => {
  const plan = planned(gpus(16, 4));
  assert.deepEqual([plan.slots, plan.ctxPerSlot], [1, 4_096]);
  assert.ok(plan.gpuLayers !== undefined && plan.gpuLayers > 5 && plan.gpuLayers < 30);
  assert.equal(planned(gpus(16, 0.5)).gpuLayers, 0);
});

Deno.test("planMemory() uses several accelerators together, with room for whole layers", () => {
  assert.equal(planned(gpus(16, 4, 4)).gpuLayers, 33);
  const alone = planned(gpus(16, 4)).gpuLayers ?? 0;
  const paired = planned(gpus(16, 4, 1.5)).gpuLayers ?? 0;
  assert.ok(paired > alone, `${paired} layers on two, ${alone} on one`);
});

Deno.test("planMemory() counts memory once that an accelerator shares", () => {
  const shared: Memory = {
    devices: [{ name: "Metal", freeBytes: 6 * GIB, sharesRam: true }],
    ramFreeBytes: 5 * GIB,
  };
  const { availableBytes } = refused(shared);
  assert.ok(availableBytes < 5 * GIB);
  assert.equal(planned({ ...shared, ramFreeBytes: 12 * GIB }).gpuLayers, 33);
});

Deno.test("planMemory() stays below the memory that may be used at most", () => {
  const plan = planned(ram(64), { maxBytes: 7 * GIB });
  assert.ok(plan.totalBytes + plan.promptCacheBytes <= 7 * GIB);
  assert.match(refused(ram(64), { maxBytes: 3 * GIB }).message, /3.0 GiB are allowed/);
});

Deno.test("planMemory() refuses a model that is too large, with both numbers", () => {
  const { message, neededBytes, availableBytes } = refused(ram(4));
  assert.match(message, /^The model does not fit\. It needs 5\.3 GiB for 1 x 2048 tokens/);
  assert.match(
    message,
    /3\.8 GiB are free for it\. Close other programs or choose a smaller model$/,
  );
  assert.ok(neededBytes > availableBytes);
});

Deno.test("planMemory() says what would fit instead of what was asked for", () => {
  const { message } = refused(ram(8), { ctxSize: 65_536, parallel: 8 });
  assert.match(message, /needs 69\.1 GiB for 8 x 65536 tokens/);
  const match = /It would fit with --ctx-size (\d+) --parallel (\d+)$/.exec(message);
  assert.ok(match, message);
  planned(ram(8), { ctxSize: Number(match[1]), parallel: Number(match[2]) });
});

Deno.test("planMemory() refuses requests that make no sense", () => {
  assert.match(
    refused(ram(64), { ctxSize: 200_000 }).message,
    /200000 tokens is more than the 131072/,
  );
  assert.match(refused(ram(64), { ctxSize: 0 }).message, /must be 1 or more/);
  assert.match(refused(ram(64), { parallel: 1.5 }).message, /between 1 and 256/);
  assert.match(refused(ram(64), { parallel: 1_000 }).message, /between 1 and 256/);
});

Deno.test("planMemory() limits checkpoints of recurrent models, and counts them", () => {
  const recurrent = { ...EIGHT_B, recurrentElements: 10_000_000 };
  const plan = planned(ram(64), { ctxSize: 4_096, parallel: 1 }, recurrent);
  const plain = planned(ram(64), { ctxSize: 4_096, parallel: 1 });
  assert.deepEqual([plan.ctxCheckpoints, plain.ctxCheckpoints], [4, undefined]);
  assert.equal(plan.kvBytes - plain.kvBytes, 5 * 40_000_000);
});

const anyMemory: fc.Arbitrary<Memory> = fc.record({
  devices: fc.array(
    fc.nat(48 * 1024).map((mib) => ({ name: "GPU", freeBytes: mib * MIB })),
    { maxLength: 3 },
  ),
  ramFreeBytes: fc.nat(128 * 1024).map((mib) => mib * MIB),
});
const anyRequest: fc.Arbitrary<PlanRequest> = fc.record({
  ctxSize: fc.integer({ min: 1, max: 131_072 }),
  parallel: fc.integer({ min: 1, max: 64 }),
  maxBytes: fc.nat(64 * 1024).map((mib) => mib * MIB),
}, { requiredKeys: [] });
const anyFacts: fc.Arbitrary<GgufFacts> = fc.record({
  layerCount: fc.integer({ min: 1, max: 80 }),
  layerMib: fc.nat(600),
  kvHeads: fc.nat(32),
  contextLength: fc.integer({ min: 1, max: 262_144 }),
  recurrentElements: fc.constantFrom(0, 1_000_000),
  outputBytes: fc.constantFrom(0, 400 * MIB),
}).map(({ layerCount, layerMib, kvHeads, ...more }) => ({
  ...EIGHT_B,
  ...more,
  layerCount,
  headCounts: new Array(layerCount).fill(32),
  kvHeadCounts: new Array(layerCount).fill(kvHeads),
  layerBytes: new Array(layerCount).fill(layerMib * MIB),
  weightsBytes: layerCount * layerMib * MIB + 281 * MIB + more.outputBytes + 61 * MIB,
}));

Deno.test("planMemory() never plans over the memory, and its numbers add up", () => {
  fc.assert(
    fc.property(anyFacts, anyMemory, anyRequest, (facts, memory, requested) => {
      const plan = planMemory({ facts, memory, requested });
      if (!plan.ok) return assert.ok(plan.message.length > 10);
      const inPlace = (where: string) =>
        plan.parts.filter((part) => part.where === where).reduce(
          (sum, { bytes }) => sum + bytes,
          0,
        );
      const room = memory.devices.reduce((sum, { freeBytes }) => sum + freeBytes, 0);
      assert.ok(inPlace("devices") <= room);
      assert.ok(inPlace("ram") + plan.promptCacheBytes <= memory.ramFreeBytes);
      assert.ok(plan.totalBytes <= (requested.maxBytes ?? Infinity));
      assert.equal(inPlace("devices") + inPlace("ram"), plan.totalBytes);
      const program = plan.parts.find(({ what }) => what === "program")?.bytes ?? 0;
      const { weightsBytes, kvBytes, computeBytes } = plan;
      assert.equal(weightsBytes + kvBytes + computeBytes + program, plan.totalBytes);
      assert.equal(plan.ctxSizeTotal, plan.slots * plan.ctxPerSlot);
      assert.ok(requested.parallel === undefined || plan.slots === requested.parallel);
      assert.ok(plan.ctxPerSlot >= Math.min(requested.ctxSize ?? 0, plan.ctxPerSlot + 255));
    }),
    { numRuns: 500 },
  );
});

Deno.test("planMemory() never gives less for more memory", () => {
  const more = fc.record({ ram: fc.nat(8 * 1024), device: fc.nat(8 * 1024) });
  fc.assert(
    fc.property(anyFacts, anyMemory, more, (facts, memory, extra) => {
      const before = planMemory({ facts, memory });
      const devices = memory.devices.map((device) => ({
        ...device,
        freeBytes: device.freeBytes + extra.device * MIB,
      }));
      const ramFreeBytes = memory.ramFreeBytes + extra.ram * MIB;
      const after = planMemory({ facts, memory: { devices, ramFreeBytes } });
      if (!before.ok) return;
      assert.ok(after.ok, after.ok ? "" : after.message);
      assert.ok(after.ctxSizeTotal >= before.ctxSizeTotal - 255 * after.slots);
      assert.ok((after.gpuLayers ?? 0) >= (before.gpuLayers ?? 0) || after.slots >= before.slots);
    }),
    { numRuns: 300 },
  );
});
