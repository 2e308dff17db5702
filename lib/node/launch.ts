/** From a memory plan to what the engine is told and what clients are told. Pure. */
import type { MemoryPlan } from "~/engine/memory_plan.ts";
import type { LaunchPlan, PreparedEngine, PreparedModel } from "./ports.ts";

/** What a launch is made of. */
export interface LaunchParts {
  readonly engine: PreparedEngine;
  readonly model: PreparedModel;
  readonly plan: MemoryPlan;
  /** Accelerators that the plan counted on. */
  readonly deviceNames: readonly string[];
}

/** The launch of a planned model. */
export function launchOf({ engine, model, plan, deviceNames }: LaunchParts): LaunchPlan {
  const { facts } = model;
  return {
    launch: {
      install: engine.install,
      facts: engine.facts,
      plan: {
        modelPath: model.path,
        modelAlias: model.id,
        contextTokens: plan.ctxSizeTotal,
        slots: plan.slots,
        promptCacheBytes: plan.promptCacheBytes,
        ...(plan.ctxCheckpoints === undefined ? {} : { contextCheckpoints: plan.ctxCheckpoints }),
        // None on purpose differs from none there: the engine would otherwise take all that it has.
        ...(engine.facts.devices.length === 0 ? {} : { devices: deviceNames }),
        ...(plan.gpuLayers === undefined ? {} : { gpuLayers: plan.gpuLayers }),
      },
    },
    model: {
      id: model.id,
      path: model.path,
      sizeBytes: model.sizeBytes,
      ...(model.fingerprint === undefined ? {} : { fingerprint: model.fingerprint }),
      contextTokens: plan.ctxPerSlot,
      slots: plan.slots,
      meta: {
        architecture: facts.architecture,
        quantisation: facts.quantisation,
        n_params: facts.parameterCount,
        ...(facts.contextLength === undefined ? {} : { n_ctx_train: facts.contextLength }),
      },
    },
    explanation: plan.explanation,
  };
}
