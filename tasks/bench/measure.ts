/**
 * The bench itself: runs its parts one after another and prints what they found. Started by `main.ts`, which
 * ends it and all its children when it is time.
 *
 * @module
 */
import { cpus } from "node:os";
import { join, resolve } from "node:path";
import { outputOf } from "../lib/child.ts";
import { measureDecode } from "./decode_section.ts";
import { type Figure, jsonLineOf, missed, tableOf } from "./figures.ts";
import { measureLatencies } from "./latency_section.ts";
import { measureMemory } from "./memory_section.ts";
import { measureMesh } from "./mesh_section.ts";
import { type BenchOptions, parseOptions, type Section } from "./options.ts";
import type { RunSection } from "./section.ts";
import { measureStarts } from "./start_section.ts";
import { measureThroughputs } from "./throughput_section.ts";

const ROOT = resolve(import.meta.dirname ?? ".", "..", "..");
const RESULTS_DIR = join(ROOT, ".cache", "bench");

const RUN: Readonly<Record<Section, RunSection>> = {
  start: measureStarts,
  memory: measureMemory,
  latency: measureLatencies,
  throughput: measureThroughputs,
  mesh: measureMesh,
  decode: measureDecode,
};

async function measure(options: BenchOptions, dir: string): Promise<number> {
  const lines = [await machineLine()];
  if (options.isJson) print(lines);
  const figures: Figure[] = [];
  const failures: string[] = [];
  for (const section of options.sections) {
    const sectionDir = join(dir, section);
    await Deno.mkdir(sectionDir);
    try {
      const measured = await RUN[section]({ sizes: options.sizes, dir: sectionDir, tell });
      figures.push(...measured);
      lines.push(...measured.map(jsonLineOf));
      if (options.isJson) print(measured.map(jsonLineOf));
    } catch (error) {
      // What the other parts find is still worth having.
      failures.push(`${section}: ${error instanceof Error ? error.stack : error}`);
    }
  }
  const path = await keep(lines);
  if (!options.isJson) print(tableOf(figures));
  const misses = missed(figures);
  for (const failure of failures) tell(`Not measured: ${failure}`);
  tell(misses.length === 0 ? "No bar is missed" : `Missed: ${misses.join("; ")}`);
  tell(`Figures are in ${path}`);
  return failures.length > 0 || (options.isCheck && misses.length > 0) ? 1 : 0;
}

/** What has to be known about a run before its figures mean anything. */
async function machineLine(): Promise<string> {
  const commit = await outputOf("git", ["describe", "--always", "--dirty"], ROOT);
  return JSON.stringify({
    kind: "run",
    date: new Date().toISOString(),
    commit: commit?.trim() ?? null,
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    cpu: cpus()[0]?.model ?? null,
    cores: cpus().length,
    memoryMib: Math.round(Deno.systemMemoryInfo().total / (1024 * 1024)),
    loadAverage: Deno.loadavg(),
  });
}

async function keep(lines: readonly string[]): Promise<string> {
  await Deno.mkdir(RESULTS_DIR, { recursive: true });
  const name = new Date().toISOString().replaceAll(":", "-").replace(/\..*$/, "");
  const path = join(RESULTS_DIR, `${name}.jsonl`);
  await Deno.writeTextFile(path, lines.join("\n") + "\n");
  return path;
}

function print(lines: readonly string[]): void {
  write(Deno.stdout, lines);
}

function tell(line: string): void {
  write(Deno.stderr, [line]);
}

function write(stream: typeof Deno.stdout, lines: readonly string[]): void {
  let bytes = new TextEncoder().encode(lines.join("\n") + "\n");
  while (bytes.length > 0) bytes = bytes.subarray(stream.writeSync(bytes));
}

if (import.meta.main) {
  const [dir, ...args] = Deno.args;
  if (dir === undefined) throw new SyntaxError("Cannot measure: wanted a folder, then the flags");
  Deno.exit(await measure(parseOptions(args), dir));
}
