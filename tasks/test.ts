/**
 * `deno task test`: runs the rings of tests one after another, says what failed, and ends with the line
 * `N passed, N failed`. With arguments: only those rings.
 *
 * @module
 */
import { join, resolve } from "node:path";
import { runChild } from "./lib/child.ts";
import { print, runMain } from "./lib/entry.ts";
import { parseJunit } from "./lib/junit.ts";
import type { JunitReport } from "./lib/junit.ts";
import { chooseRings, filesOf, filesThatRan, ringArgs } from "./lib/rings.ts";
import type { Ring } from "./lib/rings.ts";
import { closingLine, summarise } from "./lib/test_report.ts";
import type { RingResult } from "./lib/test_report.ts";
import { walk } from "./lib/walk.ts";

const ROOT = resolve(import.meta.dirname ?? ".", "..");

async function main(args: readonly string[]): Promise<number> {
  const rings = chooseRings(args);
  const files = await walk(ROOT);
  const scratch = await Deno.makeTempDir({ prefix: "mesh-llm-test-" });
  const results: RingResult[] = [];
  try {
    for (const ring of rings) {
      const result = await runRing(ring, { files: filesOf(ring, files), scratch });
      results.push(result);
      if (result.stoppedBecause !== undefined) break;
    }
  } finally {
    await Deno.remove(scratch, { recursive: true });
  }
  const summary = summarise(results, { strict: Deno.env.get("CI") !== undefined });
  print(["", ...summary.lines, closingLine(summary)]);
  return summary.failed === 0 ? 0 : 1;
}

async function runRing(
  ring: Ring,
  { files, scratch }: { files: readonly string[]; scratch: string },
): Promise<RingResult> {
  const common = { ring: ring.name, expectedFiles: files, floor: ring.floor };
  // Deno calls a folder without tests an error; here the floor says what is missing.
  if (files.length === 0) return { ...common, exitCode: 0, cases: [], ranFiles: [] };
  const junitPath = join(scratch, `${ring.name}.xml`);
  const end = await runChild(Deno.execPath(), {
    args: ringArgs(ring, junitPath),
    cwd: ROOT,
    limitMs: ring.limitMs,
  });
  const report = await readReport(junitPath);
  const sources = new Map<string, string>();
  for (const file of files) sources.set(file, await Deno.readTextFile(join(ROOT, file)));
  const ranFiles = filesThatRan(sources, new Set(report.files));
  return { ...common, ...end, cases: report.cases, ranFiles };
}

/** The report; empty when the run ended before writing it, which then shows in its exit status. */
async function readReport(path: string): Promise<JunitReport> {
  try {
    return parseJunit(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) {
      return { files: [], cases: [] };
    }
    throw error;
  }
}

if (import.meta.main) await runMain(main);
