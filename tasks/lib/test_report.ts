/**
 * Turns what the rings of tests did into the lines that a person and a machine read at the end.
 *
 * @module
 */
import type { TestCase } from "./junit.ts";

/** What one run of `deno test` did. */
export interface RunResult {
  /** What ran: a ring, or one file of it. */
  readonly name: string;
  /** Exit status of `deno test`. */
  readonly exitCode: number;
  readonly cases: readonly TestCase[];
  /** Test files that it should have run. */
  readonly expectedFiles: readonly string[];
  /** Test files that it ran to their end. */
  readonly ranFiles: readonly string[];
  /** Fewer tests than this cannot be right. */
  readonly floor: number;
  /** Why it was ended from outside, if it was. */
  readonly stoppedBecause?: string;
}

/** The end of a run of tests. */
export interface TestSummary {
  readonly passed: number;
  readonly failed: number;
  /** What failed or was skipped, a line each, without the closing line. */
  readonly lines: readonly string[];
}

/** Adds the runs up. With `strict` (continuous integration) a skipped test is a failed one. */
export function summarise(runs: readonly RunResult[], options: { strict: boolean }): TestSummary {
  const lines: string[] = [];
  let passed = 0;
  let failed = 0;
  for (const run of runs) {
    const counts = countCases(run.cases);
    passed += counts.passed;
    failed += counts.failed;
    lines.push(...run.cases.filter((each) => each.outcome === "failed").map(failedLine));
    const skipped = run.cases.filter((each) => each.outcome === "skipped");
    lines.push(...skipped.map((each) => skippedLine(each, options.strict)));
    if (options.strict) failed += skipped.length;
    const faults = faultsOf(run, counts);
    failed += faults.length;
    lines.push(...faults);
  }
  return { passed, failed, lines };
}

/** The line that closes a run, alone on its line. */
export function closingLine(summary: { passed: number; failed: number }): string {
  return `${summary.passed} passed, ${summary.failed} failed`;
}

interface Counts {
  readonly passed: number;
  readonly failed: number;
}

function countCases(cases: readonly TestCase[]): Counts {
  const count = (outcome: TestCase["outcome"]) =>
    cases.filter((each) => each.outcome === outcome).length;
  return { passed: count("passed"), failed: count("failed") };
}

function failedLine(test: TestCase): string {
  return `FAILED ${test.file}: ${test.name}`;
}

function skippedLine(test: TestCase, strict: boolean): string {
  const why = strict ? " (nothing may be skipped when CI is set)" : "";
  return `SKIPPED ${test.file}: ${test.name}${why}`;
}

/** What is wrong with a run beyond its tests; each counts as one failure. */
function faultsOf(run: RunResult, counts: Counts): string[] {
  const faults: string[] = [];
  if (run.stoppedBecause !== undefined) {
    faults.push(`FAILED ${run.name}: ended before its end, ${run.stoppedBecause}`);
    return faults;
  }
  if (run.exitCode !== 0 && run.ranFiles.length === 0) {
    faults.push(`FAILED ${run.name}: exit status ${run.exitCode} before any test ended`);
    return faults;
  }
  const ran = new Set(run.ranFiles);
  for (const file of run.expectedFiles.filter((each) => !ran.has(each))) {
    faults.push(`FAILED ${file}: no test of it ran (it does not load, or declares none)`);
  }
  const total = run.cases.length;
  if (total < run.floor) {
    faults.push(`FAILED ${run.name}: ${total} tests ran, at least ${run.floor} must`);
  }
  if (run.exitCode !== 0 && counts.failed === 0 && faults.length === 0) {
    faults.push(`FAILED ${run.name}: exit status ${run.exitCode}, though no test failed`);
  }
  return faults;
}
