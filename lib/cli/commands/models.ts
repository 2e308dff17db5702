/** Commands about models: `models`, `download`, `plan`. */
import type { ModelExplanation } from "~/api/ports.ts";
import { UserError } from "~/base/errors.ts";
import { formatBytes } from "~/base/units.ts";
import { shortId } from "~/mesh/ids.ts";
import { CATALOGUE } from "~/models/catalogue.ts";
import type { LocalModelSource } from "~/node/io/model_source.ts";
import { localModels } from "../compose.ts";
import type { CommandContext } from "../context.ts";
import { jsonText } from "../json_text.ts";
import { type LocalPlan, planLocally, planWords } from "../local_plan.ts";
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
 * Tells which member serves a model and why, where a node runs, and whether and how it would run on this machine.
 * Starts nothing and fetches nothing.
 */
export async function plan(context: CommandContext, name: string): Promise<number> {
  const console = await consoleOfRunning(context);
  const asked = { name, source: sourceOf(context) };
  if (console === undefined) {
    const here = await planLocally(context, asked);
    context.print(context.isJson ? jsonText(here) : planWords(here));
    return here.ok ? 0 : 1;
  }
  const told = await clientOf(context, console).explainModel(name);
  // What this machine cannot plan is no fault: the model may well be on others only.
  const here = await planLocally(context, asked).catch((error) => {
    if (error instanceof UserError) return null;
    throw error;
  });
  context.print(
    context.isJson ? jsonText({ ...told, here }) : formatExplanation(told, here),
  );
  return told.members.some(({ is_host: isHost }) => isHost) ? 0 : 1;
}

/** An explanation for people: the sentence, one line for each member, advice, and the plan for this machine. */
function formatExplanation(
  { summary, members, advice }: ModelExplanation,
  here: LocalPlan | null,
): string {
  const lines = members.map(({ id, is_host: isHost, words }) =>
    `  ${shortId(id)}  ${isHost ? "host" : "    "}  ${words}`
  );
  const local = here === null ? [] : [`This machine, with what is free now: ${planWords(here)}`];
  return [summary, ...lines, ...(advice === null ? [] : [advice]), ...local].join("\n");
}

function sourceOf(context: CommandContext): LocalModelSource {
  return localModels({ modelsDir: context.modelsDir }, context.env);
}
