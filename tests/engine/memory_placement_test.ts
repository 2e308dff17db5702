import assert from "node:assert/strict";
import { GIB, MIB } from "~/base/units.ts";
import { ggufFacts } from "~/engine/gguf/facts.ts";
import { parseGgufHeader } from "~/engine/gguf/reader.ts";
import {
  type Memory,
  partsOf,
  place,
  sumOf,
  usableRam,
  usableTotal,
} from "~/engine/memory_placement.ts";
import { tinyModel } from "#support/tiny_gguf.ts";

/** Large enough that its layers count: 4 layers of 4 MiB, 2 MiB of embeddings, 2 MiB of output. */
const FACTS = {
  ...ggufFacts([parseGgufHeader(tinyModel({ layers: 4 }))]),
  layerBytes: [4, 4, 4, 4].map((mib) => mib * MIB),
  embeddingBytes: 2 * MIB,
  outputBytes: 2 * MIB,
  otherBytes: 0,
};
const SLOTS = { slots: 1, ctxPerSlot: 256 };
const NO_LIMIT = Number.MAX_SAFE_INTEGER;

const device = (freeBytes: number, sharesRam = false) => ({ name: "GPU", freeBytes, sharesRam });
const weightsOn = (memory: Memory, where: "devices" | "ram", gpuLayers: number) =>
  sumOf(partsOf({ facts: FACTS, memory, slots: SLOTS }, gpuLayers), { what: "weights", where }) /
  MIB;

Deno.test("usableRam() and usableTotal() keep a reserve, at least a part of each memory", () => {
  assert.equal(usableRam({ devices: [], ramFreeBytes: 1 * GIB }), 768 * MIB);
  assert.equal(usableRam({ devices: [], ramFreeBytes: 100 * GIB }), 95 * GIB);
  assert.equal(usableRam({ devices: [], ramFreeBytes: 100 * MIB }), 0);
  const memory = { devices: [device(4 * GIB), device(8 * GIB, true)], ramFreeBytes: 1 * GIB };
  assert.equal(usableTotal(memory), 768 * MIB + 3.5 * GIB);
});

Deno.test("partsOf() puts the output layer on an accelerator first, then layers from the end", () => {
  const memory = { devices: [device(GIB)], ramFreeBytes: GIB };
  assert.deepEqual([0, 1, 2, 5].map((layers) => weightsOn(memory, "devices", layers)), [
    0,
    2,
    6,
    18,
  ]);
  assert.deepEqual([0, 1, 2, 5].map((layers) => weightsOn(memory, "ram", layers)), [20, 18, 14, 2]);
});

Deno.test("partsOf() counts an embedding table twice that serves as the output layer too", () => {
  const facts = { ...FACTS, outputBytes: 0 };
  const memory = { devices: [device(GIB)], ramFreeBytes: GIB };
  const parts = partsOf({ facts, memory, slots: SLOTS }, 1);
  assert.equal(sumOf(parts, { what: "weights", where: "devices" }), 2 * MIB);
  assert.equal(sumOf(parts, { what: "weights", where: "ram" }), 18 * MIB);
});

Deno.test("place() puts as many layers on accelerators as fit, and says so", () => {
  const at = (freeBytes: number, isWholeOnDevices = false) => {
    const memory = { devices: [device(512 * MIB + freeBytes)], ramFreeBytes: 2 * GIB };
    return place({ facts: FACTS, memory, slots: SLOTS, maxBytes: NO_LIMIT, isWholeOnDevices })
      ?.gpuLayers;
  };
  assert.deepEqual([at(0), at(11 * MIB), at(100 * MIB)], [0, 2, 5]);
  assert.deepEqual([at(11 * MIB, true), at(100 * MIB, true)], [undefined, 5]);
});

Deno.test("place() leaves room for the layer that does not divide between two accelerators", () => {
  const onTwo = (freeBytes: number) => {
    const half = 512 * MIB + freeBytes / 2;
    const memory = { devices: [device(half), device(half)], ramFreeBytes: 2 * GIB };
    return place({
      facts: FACTS,
      memory,
      slots: SLOTS,
      maxBytes: NO_LIMIT,
      isWholeOnDevices: false,
    });
  };
  // 18 MiB of weights and two compute buffers of 5 MiB would fit into 30 MiB in one piece.
  assert.ok((onTwo(30 * MIB)?.gpuLayers ?? 0) < 5);
  assert.equal(onTwo(36 * MIB)?.gpuLayers, 5);
});

Deno.test("place() never puts more into shared memory than there is", () => {
  const memory = { devices: [device(8 * GIB, true)], ramFreeBytes: 300 * MIB };
  const request = {
    facts: FACTS,
    memory,
    slots: SLOTS,
    maxBytes: NO_LIMIT,
    isWholeOnDevices: false,
  };
  assert.equal(place(request), undefined);
  assert.equal(place({ ...request, memory: { ...memory, ramFreeBytes: 1 * GIB } })?.gpuLayers, 5);
});

Deno.test("place() stays below a limit on everything together", () => {
  const memory = { devices: [], ramFreeBytes: 8 * GIB };
  const request = { facts: FACTS, memory, slots: SLOTS, isWholeOnDevices: false };
  const { parts } = place({ ...request, maxBytes: NO_LIMIT }) ?? { parts: [] };
  assert.ok(place({ ...request, maxBytes: sumOf(parts) }));
  assert.equal(place({ ...request, maxBytes: sumOf(parts) - 1 }), undefined);
});
