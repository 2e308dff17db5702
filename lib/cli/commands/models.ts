/** Commands about models: `models`, `download`, `plan`. */
import type { ModelExplanation } from "~/api/ports.ts";
import { UserError } from "~/base/errors.ts";
import { statIfAny } from "~/base/io/files.ts";
import { formatBytes, GIB } from "~/base/units.ts";
import { readGgufFacts } from "~/engine/io/gguf_file.ts";
import { planMemory } from "~/engine/memory_plan.ts";
import { shortId } from "~/mesh/ids.ts";
import { CATALOGUE } from "~/models/catalogue.ts";
import { modelDestination } from "~/models/io/fetch_model.ts";
import { LocalPlanner } from "~/node/io/launch_planner.ts";
import type { LocalModelSource } from "~/node/io/model_source.ts";
import { localModels, planRequestOf } from "../compose.ts";
import type { CommandContext } from "../context.ts";
import { jsonText } from "../json_text.ts";
import { prepareEngine } from "./engine.ts";
import { clientOf, consoleOfRunning } from "./running.ts";

/** Lists the models on disk, what is served, and what can be fetched by name. */
export async function models(context: CommandContext): Promise<number> {
  const inventory = await sourceOf(context).inventory();
  const onDisk = new Set(inventory.map(({ id }) => id));
  const served = await servedModel(context);
  const catalogue = CATALOGUE.filter(({ name }) => !onDisk.has(name));
  if (context.isJson) {
    const names = catalogue.map(({ name, description }) => ({ name, description }));
    context.print(jsonText({ onDisk: inventory, served, catalogue: names }));
    return 0;
  }
  context.print("On disk:");
  for (const { id, sizeBytes, owner, path } of inventory) {
    const mark = id === served ? " (served now)" : "";
    context.print(`  ${id}  ${formatBytes(sizeBytes)}  ${owner}: ${path}${mark}`);
  }
  if (inventory.length === 0) context.print("  none");
  context.print("In the catalogue (mesh-llm download NAME):");
  for (const { name, description } of catalogue) context.print(`  ${name}  ${description}`);
  return 0;
}

/** @throws {UserError} when --console names a node that does not answer */
async function servedModel(context: CommandContext): Promise<string | null> {
  const console = await consoleOfRunning(context);
  if (console === undefined) return null;
  try {
    const status = await clientOf(context, console).status();
    return status.llama_ready ? status.model_name : null;
  } catch (error) {
    // Of a node that nobody asked for the lists are worth printing without it.
    if (error instanceof UserError && !context.isConsoleGiven) return null;
    throw error;
  }
}

/** Fetches a model without serving it. */
export async function download(context: CommandContext, name: string): Promise<number> {
  const source = sourceOf(context);
  const { id, path, sizeBytes } = await source.prepare(await source.resolve(name), {
    report: context.report,
    onSourceFailure: context.onSourceFailure,
    signal: new AbortController().signal,
  });
  context.print(
    context.isJson
      ? jsonText({ model: id, path, sizeBytes })
      : `${id}: ${formatBytes(sizeBytes)} at ${path}`,
  );
  return 0;
}

/**
 * Tells which member serves a model and why, where a node runs; else whether and how it would run here. Starts nothing
 * and fetches nothing.
 */
export async function plan(context: CommandContext, name: string): Promise<number> {
  const console = await consoleOfRunning(context);
  if (console === undefined) return await planHere(context, name);
  const told = await clientOf(context, console).explainModel(name);
  context.print(context.isJson ? jsonText(told) : formatExplanation(told));
  return told.members.some(({ is_host: isHost }) => isHost) ? 0 : 1;
}

/** An explanation for people: the sentence, one line for each member, and advice. */
function formatExplanation({ summary, members, advice }: ModelExplanation): string {
  const lines = members.map(({ id, is_host: isHost, words }) =>
    `  ${shortId(id)}  ${isHost ? "host" : "    "}  ${words}`
  );
  return [summary, ...lines, ...(advice === null ? [] : [advice])].join("\n");
}

async function planHere(context: CommandContext, name: string): Promise<number> {
  const source = sourceOf(context);
  const model = await source.resolve(name);
  const path = model.kind === "path" ? model.path : modelDestination(model, context.modelsDir);
  if (await statIfAny(path) === undefined) {
    throw new UserError(
      `Cannot plan "${name}": its file is not here yet. Run: mesh-llm download ${name}`,
    );
  }
  const engine = await prepareEngine(context);
  // As `serve` would plan with the same configuration file.
  const { device, maxVramGb, ...asked } = context.config;
  const maxMemoryBytes = maxVramGb === undefined ? {} : { maxMemoryBytes: maxVramGb * GIB };
  const requested = planRequestOf({ ...asked, ...maxMemoryBytes });
  const planner = new LocalPlanner({ requested, ...(device === undefined ? {} : { device }) });
  const memory = await planner.memory(engine);
  const result = planMemory({ facts: await readGgufFacts(path), memory, requested });
  if (context.isJson) context.print(jsonText(result));
  else context.print(result.ok ? result.explanation : result.message);
  return result.ok ? 0 : 1;
}

function sourceOf(context: CommandContext): LocalModelSource {
  return localModels({ modelsDir: context.modelsDir }, context.env);
}
