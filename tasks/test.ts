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
import { inLanes } from "./lib/lanes.ts";
import { chooseRings, filesOf, filesThatRan, runsOf } from "./lib/rings.ts";
import type { Ring, TestRun } from "./lib/rings.ts";
import { closingLine, summarise } from "./lib/test_report.ts";
import type { RunResult } from "./lib/test_report.ts";
import { walk } from "./lib/walk.ts";

const ROOT = resolve(import.meta.dirname ?? ".", "..");
/** Runs at a time, of those that may go side by side: they wait much of their time, on two cores too. */
const LANES = 3;

async function main(args: readonly string[]): Promise<number> {
  const rings = chooseRings(args);
  const files = await walk(ROOT);
  const scratch = await Deno.makeTempDir({ prefix: "mesh-llm-test-" });
  const results: RunResult[] = [];
  const hasStopped = () => results.some(({ stoppedBecause }) => stoppedBecause !== undefined);
  try {
    for (const ring of rings) {
      if (hasStopped()) break;
      results.push(...await runRing(ring, { files: filesOf(ring, files), scratch }));
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
): Promise<RunResult[]> {
  const startedMs = performance.now();
  const { first, sideBySide } = runsOf(ring, files);
  const results = [await runTests(first, join(scratch, `${ring.name}.xml`))];
  await inLanes(sideBySide.entries(), LANES, async ([index, run]) => {
    if (results.some(({ stoppedBecause }) => stoppedBecause !== undefined)) return;
    const path = join(scratch, `${ring.name}-${index}`);
    // What it says is shown when it has ended: in between it would mix with what others say.
    using log = await Deno.open(`${path}.log`, { read: true, write: true, createNew: true });
    const onOutput = (bytes: Uint8Array): void => writeAll(log, bytes);
    results.push(await runTests(run, `${path}.xml`, onOutput));
    writeAll(Deno.stdout, await Deno.readFile(`${path}.log`));
  });
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  print(["", `Ring ${ring.name}: ${seconds} s`, ""]);
  return results;
}

async function runTests(
  run: TestRun,
  junitPath: string,
  onOutput?: (bytes: Uint8Array) => void,
): Promise<RunResult> {
  const { name, files, floor, limitMs } = run;
  const common = { name, expectedFiles: files, floor };
  // Deno calls a folder without tests an error; here the floor says what is missing.
  if (files.length === 0) return { ...common, exitCode: 0, cases: [], ranFiles: [] };
  const end = await runChild(Deno.execPath(), {
    args: [...run.args, `--junit-path=${junitPath}`],
    cwd: ROOT,
    limitMs,
    ...(onOutput === undefined ? {} : { onOutput }),
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

function writeAll(to: { writeSync(bytes: Uint8Array): number }, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += to.writeSync(bytes.subarray(at));
}

if (import.meta.main) await runMain(main);
