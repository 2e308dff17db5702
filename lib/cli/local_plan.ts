/** Whether and how a model would run on this machine; starts nothing and fetches nothing. */
import { UserError } from "~/base/errors.ts";
import { statIfAny } from "~/base/io/files.ts";
import { formatBytes, GIB } from "~/base/units.ts";
import { estimateNeeds, totalOf } from "~/election/capacity.ts";
import { offeredMemory } from "~/engine/hardware.ts";
import { readGgufFacts } from "~/engine/io/gguf_file.ts";
import { readHardware } from "~/engine/io/hardware.ts";
import {
  type Memory,
  type MemoryPlan,
  type MemoryRefusal,
  planMemory,
  type PlanRequest,
} from "~/engine/memory_plan.ts";
import { usableTotal } from "~/engine/memory_placement.ts";
import { modelDestination } from "~/models/io/fetch_model.ts";
import type { ResolvedModel } from "~/models/resolve.ts";
import { LocalPlanner } from "~/node/io/launch_planner.ts";
import type { LocalModelSource } from "~/node/io/model_source.ts";
import { prepareEngine } from "./commands/engine.ts";
import { planRequestOf } from "./compose.ts";
import type { CommandContext } from "./context.ts";

/** What can be said of a model of which nothing but the size is known. */
export interface SizeEstimate {
  readonly ok: boolean;
  readonly isEstimate: true;
  readonly sizeBytes: number;
  readonly neededBytes: number;
  readonly availableBytes: number;
  readonly message: string;
}

/** A plan for this machine, or why there is none. */
export type LocalPlan = MemoryPlan | MemoryRefusal | SizeEstimate;

/**
 * Plans a model as `serve` would with the same configuration file. Of one that is not here yet the size is known
 * where the catalogue says it: then there is an estimate.
 *
 * @throws {UserError} when the name means nothing, or nothing can be said of it
 */
export async function planLocally(
  context: CommandContext,
  { name, source }: { readonly name: string; readonly source: LocalModelSource },
): Promise<LocalPlan> {
  const model = await source.resolve(name);
  const path = model.kind === "path" ? model.path : modelDestination(model, context.modelsDir);
  const { device, maxVramGb, ...asked } = context.config;
  const maxMemoryBytes = maxVramGb === undefined ? {} : { maxMemoryBytes: maxVramGb * GIB };
  const requested = planRequestOf({ ...asked, ...maxMemoryBytes });
  const planner = new LocalPlanner({ requested, ...(device === undefined ? {} : { device }) });
  if (await statIfAny(path) === undefined) {
    const sizeBytes = sizeOf(model, name);
    const { memory, isWhole } = await memoryNow(context, planner);
    return estimate({ name, sizeBytes, memory, requested, isWhole });
  }
  const memory = await planner.memory(await prepareEngine(context));
  return planMemory({ facts: await readGgufFacts(path), memory, requested });
}

/** One sentence for people. */
export function planWords(plan: LocalPlan): string {
  return "explanation" in plan ? plan.explanation : plan.message;
}

function sizeOf(model: ResolvedModel, name: string): number {
  if (model.kind === "catalogue") return model.entry.aboutBytes;
  throw new UserError(
    `Cannot plan "${name}": its file is not here yet, and nothing is known of its size. ` +
      `Run: mesh-llm download ${name}`,
  );
}

/** Without an engine nobody knows of accelerators. */
async function memoryNow(
  context: CommandContext,
  planner: LocalPlanner,
): Promise<{ readonly memory: Memory; readonly isWhole: boolean }> {
  try {
    return { memory: await planner.memory(await prepareEngine(context)), isWhole: true };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { memory: offeredMemory(await readHardware()).memory, isWhole: false };
  }
}

/** Judges by the size of the file alone. */
export function estimate({ name, sizeBytes, memory, requested, isWhole }: {
  readonly name: string;
  readonly sizeBytes: number;
  readonly memory: Memory;
  readonly requested: PlanRequest;
  /** False when accelerators are not known. */
  readonly isWhole: boolean;
}): SizeEstimate {
  const neededBytes = totalOf(estimateNeeds(sizeBytes, []));
  const availableBytes = Math.min(usableTotal(memory), requested.maxBytes ?? Infinity);
  const ok = neededBytes <= availableBytes;
  const verdict = ok ? "it should fit" : "it does not seem to fit";
  const accelerators = isWhole
    ? ""
    : ", accelerators not counted, as there is no llama.cpp here yet";
  const message =
    `"${name}" is not here yet; by the size of its file, ${
      formatBytes(sizeBytes)
    }, it needs about ` +
    `${formatBytes(neededBytes)}, and ${formatBytes(availableBytes)} are free${accelerators}: ` +
    `${verdict}. For the exact plan: mesh-llm download ${name}`;
  return { ok, isEstimate: true, sizeBytes, neededBytes, availableBytes, message };
}
