/**
 * Turns what the rings of tests did into the lines that a person and a machine read at the end.
 *
 * @module
 */
import type { TestCase } from "./junit.ts";

/** What one ring did. */
export interface RingResult {
  readonly ring: string;
  /** Exit status of `deno test`. */
  readonly exitCode: number;
  readonly cases: readonly TestCase[];
  /** Test files that the ring should have run. */
  readonly expectedFiles: readonly string[];
  /** Test files that it ran to their end. */
  readonly ranFiles: readonly string[];
  /** Fewer tests than this cannot be right. */
  readonly floor: number;
  /** Why the ring was ended from outside, if it was. */
  readonly stoppedBecause?: string;
}

/** The end of a run of tests. */
export interface TestSummary {
  readonly passed: number;
  readonly failed: number;
  /** What failed or was skipped, a line each, without the closing line. */
  readonly lines: readonly string[];
}

/** Adds the rings up. With `strict` (continuous integration) a skipped test is a failed one. */
export function summarise(rings: readonly RingResult[], options: { strict: boolean }): TestSummary {
  const lines: string[] = [];
  let passed = 0;
  let failed = 0;
  for (const ring of rings) {
    const counts = countCases(ring.cases);
    passed += counts.passed;
    failed += counts.failed;
    lines.push(...ring.cases.filter((each) => each.outcome === "failed").map(failedLine));
    const skipped = ring.cases.filter((each) => each.outcome === "skipped");
    lines.push(...skipped.map((each) => skippedLine(each, options.strict)));
    if (options.strict) failed += skipped.length;
    const faults = ringFaults(ring, counts);
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

/** What is wrong with a ring beyond its tests; each counts as one failure. */
function ringFaults(ring: RingResult, counts: Counts): string[] {
  const faults: string[] = [];
  if (ring.stoppedBecause !== undefined) {
    faults.push(`FAILED ring ${ring.ring}: ended before its end, ${ring.stoppedBecause}`);
    return faults;
  }
  if (ring.exitCode !== 0 && ring.ranFiles.length === 0) {
    faults.push(`FAILED ring ${ring.ring}: exit status ${ring.exitCode} before any test ended`);
    return faults;
  }
  const ran = new Set(ring.ranFiles);
  for (const file of ring.expectedFiles.filter((each) => !ran.has(each))) {
    faults.push(`FAILED ${file}: no test of it ran (it does not load, or declares none)`);
  }
  const total = ring.cases.length;
  if (total < ring.floor) {
    faults.push(`FAILED ring ${ring.ring}: ${total} tests ran, at least ${ring.floor} must`);
  }
  if (ring.exitCode !== 0 && counts.failed === 0 && faults.length === 0) {
    faults.push(`FAILED ring ${ring.ring}: exit status ${ring.exitCode}, though no test failed`);
  }
  return faults;
}
