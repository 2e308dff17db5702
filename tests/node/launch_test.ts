import assert from "node:assert/strict";
import type { GgufFacts } from "~/engine/gguf/facts.ts";
import type { MemoryPlan } from "~/engine/memory_plan.ts";
import { launchOf, type LaunchParts } from "~/node/launch.ts";

const PLAN: MemoryPlan = {
  ok: true,
  ctxPerSlot: 4096,
  slots: 2,
  ctxSizeTotal: 8192,
  weightsBytes: 100,
  kvBytes: 20,
  computeBytes: 3,
  totalBytes: 123,
  parts: [],
  promptCacheBytes: 50,
  explanation: "2 x 4096 tokens",
};
const FACTS = {
  architecture: "llama",
  quantisation: "Q4_1",
  parameterCount: 134_515_008,
  contextLength: 8192,
} as GgufFacts;

const GPU = { name: "CUDA0", description: "a GPU", totalBytes: 2, freeBytes: 1 };

function partsOf(
  changes: { plan?: Partial<MemoryPlan>; deviceNames?: string[]; hasGpu?: boolean } = {},
): LaunchParts {
  return {
    engine: {
      install: {
        origin: "path",
        source: "PATH",
        dir: "/bin",
        server: { command: "/bin/llama-server", leadingArgs: [], env: {} },
      },
      facts: { flags: new Set(["--model"]), devices: changes.hasGpu === true ? [GPU] : [] },
    },
    model: { id: "tiny", path: "/models/tiny.gguf", sizeBytes: 99, facts: FACTS },
    plan: { ...PLAN, ...changes.plan },
    deviceNames: changes.deviceNames ?? [],
  };
}

Deno.test("launchOf() tells the engine the sum of all slots, and clients the context of one", () => {
  const { launch, model, explanation } = launchOf(partsOf());
  assert.deepEqual(launch.plan, {
    modelPath: "/models/tiny.gguf",
    modelAlias: "tiny",
    contextTokens: 8192,
    slots: 2,
    promptCacheBytes: 50,
  });
  assert.equal(model.contextTokens, 4096);
  assert.equal(model.slots, 2);
  assert.equal(explanation, "2 x 4096 tokens");
});

Deno.test("launchOf() names devices, layers and checkpoints only where the plan has them", () => {
  const plan31 = { gpuLayers: 31, ctxCheckpoints: 4 };
  const parts = partsOf({ plan: plan31, deviceNames: ["CUDA0"], hasGpu: true });
  const { plan } = launchOf(parts).launch;
  assert.deepEqual(plan.devices, ["CUDA0"]);
  assert.equal(plan.gpuLayers, 31);
  assert.equal(plan.contextCheckpoints, 4);
});

Deno.test("launchOf() keeps a model off accelerators that nobody wanted", () => {
  assert.deepEqual(launchOf(partsOf({ hasGpu: true })).launch.plan.devices, []);
  assert.equal(launchOf(partsOf()).launch.plan.devices, undefined);
});

Deno.test("launchOf() gives clients the facts of the file, and none that it does not state", () => {
  const parts = partsOf();
  assert.deepEqual(launchOf(parts).model.meta, {
    architecture: "llama",
    quantisation: "Q4_1",
    n_params: 134_515_008,
    n_ctx_train: 8192,
  });
  const { contextLength: _, ...unstated } = FACTS;
  const model = { ...parts.model, facts: unstated as GgufFacts };
  assert.ok(!("n_ctx_train" in launchOf({ ...parts, model }).model.meta));
});
