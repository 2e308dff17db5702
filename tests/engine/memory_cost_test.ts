import assert from "node:assert/strict";
import { type GgufFacts, ggufFacts } from "~/engine/gguf/facts.ts";
import { parseGgufHeader } from "~/engine/gguf/reader.ts";
import {
  checkpointBytes,
  computeBytes,
  contextMaxOf,
  kvBudgetBytes,
  kvLayerBytes,
  needsCheckpoints,
  stateLayerBytes,
} from "~/engine/memory_cost.ts";
import { GIB, MIB } from "~/base/units.ts";
import { tinyModel, type TinyModelOptions } from "#support/tiny_gguf.ts";

const CPU = { isAccelerator: false, devices: 0 };

/** SmolLM2-135M-Instruct, as its header has it. */
const SMOLLM2: GgufFacts = {
  architecture: "llama",
  purpose: "text",
  layerCount: 30,
  embeddingLength: 576,
  feedForwardLength: 1536,
  contextLength: 8192,
  vocabularySize: 49_152,
  headCounts: new Array(30).fill(9),
  kvHeadCounts: new Array(30).fill(3),
  keyLength: 64,
  valueLength: 64,
  recurrentElements: 0,
  expertCount: 0,
  expertUsedCount: 0,
  expertSharedCount: 0,
  expertFeedForwardLength: 0,
  quantisation: "Q4_1",
  dominantTensorType: "Q4_1",
  parameterCount: 134_515_008,
  weightsBytes: 96_576_768,
  layerBytes: new Array(30).fill(2_216_448),
  embeddingBytes: 30_081_024,
  outputBytes: 0,
  otherBytes: 2304,
  hasChatTemplate: true,
};

function shape(options: TinyModelOptions): GgufFacts {
  return ggufFacts([parseGgufHeader(tinyModel({ layers: 1, kvHeads: 4, heads: 8, ...options }))]);
}

const BASE = { width: 256, vocabulary: 1024, feedForward: 512 } as const;

/** What llama-server 0.7.0 (build 11669) reported as "CPU compute buffer size", batch 512. */
const MEASURED: readonly (readonly [GgufFacts, slots: number, ctxPerSlot: number, mib: number])[] =
  [
    [SMOLLM2, 1, 2048, 16.64],
    [SMOLLM2, 2, 2048, 16.64],
    [SMOLLM2, 4, 2048, 16.64],
    [SMOLLM2, 16, 512, 15.14],
    [SMOLLM2, 1, 8192, 22.64],
    [SMOLLM2, 4, 8192, 22.64],
    [SMOLLM2, 8, 8192, 22.64],
    [shape(BASE), 1, 2048, 6.52],
    [shape(BASE), 1, 32_768, 36.52],
    [shape({ ...BASE, width: 512 }), 1, 512, 6.52],
    [shape({ ...BASE, feedForward: 2048 }), 1, 512, 15.02],
    [shape({ ...BASE, vocabulary: 65_536 }), 16, 512, 7.02],
    [shape({ ...BASE, experts: 8 }), 1, 512, 9.02],
    [shape({ ...BASE, experts: 32, expertsUsed: 8 }), 1, 512, 27.02],
    [shape({ width: 512, feedForward: 256, experts: 32, expertsUsed: 8 }), 1, 512, 17.52],
  ];

Deno.test("computeBytes() covers what was measured, and not much more", () => {
  for (const [facts, slots, ctxPerSlot, mib] of MEASURED) {
    const planned = computeBytes(facts, { slots, ctxPerSlot }, CPU) / MIB;
    const logits = (2 * slots * facts.vocabularySize * 4) / MIB;
    const where =
      `${facts.architecture} ${facts.embeddingLength} ${slots} x ${ctxPerSlot}: ${planned}`;
    assert.ok(planned >= mib, `${where} is less than the measured ${mib}`);
    assert.ok(planned <= mib * 1.65 + logits, `${where} is far more than the measured ${mib}`);
  }
});

Deno.test("computeBytes() counts attention scores where there may be no flash attention", () => {
  const slots = { slots: 1, ctxPerSlot: 8192 };
  const oddHeads = { ...SMOLLM2, keyLength: 72, valueLength: 72 };
  const device = { isAccelerator: true, devices: 1 };
  const more = computeBytes(oddHeads, slots, device) - computeBytes(SMOLLM2, slots, device);
  // Measured with `-fa off`: 167.51 instead of 22.64 MiB.
  assert.ok(more / MIB >= 167.51 - 22.64, `${more / MIB} MiB`);
  assert.equal(
    computeBytes(SMOLLM2, slots, device),
    computeBytes(SMOLLM2, slots, CPU),
  );
});

Deno.test("computeBytes() doubts architectures that were not measured", () => {
  const slots = { slots: 1, ctxPerSlot: 2048 };
  const other = computeBytes({ ...SMOLLM2, architecture: "brand-new" }, slots, CPU);
  assert.ok(other > 1.3 * computeBytes(SMOLLM2, slots, CPU));
});

Deno.test("kvLayerBytes() is what llama-server allocates", () => {
  // Reported: 90 MiB for 2 slots of 2,048 tokens; 67.5 MiB for 2 of 1,500, rounded up to 1,536.
  assert.equal(30 * kvLayerBytes(SMOLLM2, 0, { slots: 2, ctxPerSlot: 2048 }), 90 * MIB);
  assert.equal(30 * kvLayerBytes(SMOLLM2, 0, { slots: 2, ctxPerSlot: 1500 }), 67.5 * MIB);
});

Deno.test("kvLayerBytes() follows the heads of each layer", () => {
  const facts = { ...SMOLLM2, kvHeadCounts: [3, 0, 6, ...new Array(27).fill(1)] };
  const slots = { slots: 1, ctxPerSlot: 256 };
  const bytes = [0, 1, 2].map((layer) => kvLayerBytes(facts, layer, slots));
  assert.deepEqual(bytes, [3 * 128 * 2 * 256, 0, 6 * 128 * 2 * 256]);
});

Deno.test("kvLayerBytes() is bounded by a window that the file states for the layer", () => {
  const slidingLayers = SMOLLM2.layerBytes.map((_, layer) => layer % 2 === 0);
  const facts = { ...SMOLLM2, slidingWindow: 512, slidingLayers };
  const slots = { slots: 1, ctxPerSlot: 8192 };
  assert.equal(kvLayerBytes(facts, 0, slots) * 8, kvLayerBytes(facts, 1, slots));
  const unsure: GgufFacts = { ...SMOLLM2, slidingWindow: 512 };
  assert.equal(kvLayerBytes(unsure, 0, slots), kvLayerBytes(SMOLLM2, 0, slots));
});

Deno.test("checkpointBytes() counts whole states for models that cannot forget single tokens", () => {
  const slots = { slots: 2, ctxPerSlot: 2048 };
  const recurrent = { ...SMOLLM2, recurrentElements: 3_000 };
  assert.equal(checkpointBytes(SMOLLM2, slots), 0);
  assert.equal(needsCheckpoints(SMOLLM2), false);
  assert.equal(checkpointBytes(recurrent, slots), 4 * 2 * 3_000 * 4);
  assert.equal(stateLayerBytes(recurrent, slots), 2 * 400);
  assert.equal(needsCheckpoints(recurrent), true);
});

Deno.test("contextMaxOf() is a multiple of what llama.cpp rounds to", () => {
  const { contextLength: _, ...unstated } = SMOLLM2;
  assert.deepEqual(
    [{ ...SMOLLM2, contextLength: 3_000 }, { ...SMOLLM2, contextLength: 100 }, unstated]
      .map(contextMaxOf),
    [2_816, 256, 4_096],
  );
});

Deno.test("kvBudgetBytes() grows with the model", () => {
  assert.equal(kvBudgetBytes(SMOLLM2), 1 * GIB);
  assert.equal(kvBudgetBytes({ ...SMOLLM2, weightsBytes: 40 * GIB }), 40 * GIB);
});
