import assert from "node:assert/strict";
import fc from "fast-check";
import type { TestCase } from "../../../tasks/lib/junit.ts";
import { closingLine, summarise } from "../../../tasks/lib/test_report.ts";
import type { RunResult } from "../../../tasks/lib/test_report.ts";

function testCase(outcome: TestCase["outcome"], name = outcome as string): TestCase {
  return { file: "tests/a_test.ts", name, outcome };
}

function run(changes: Partial<RunResult> = {}): RunResult {
  return {
    name: "ring fast",
    exitCode: 0,
    cases: [testCase("passed")],
    expectedFiles: ["tests/a_test.ts"],
    ranFiles: ["tests/a_test.ts"],
    floor: 1,
    ...changes,
  };
}

Deno.test("summarise() adds the runs up and says nothing when all is well", () => {
  const summary = summarise([run(), run({ name: "ring system" })], { strict: true });
  assert.deepEqual(summary, { passed: 2, failed: 0, lines: [] });
  assert.equal(closingLine(summary), "2 passed, 0 failed");
});

Deno.test("summarise() names each failed test", () => {
  const cases = [testCase("passed"), testCase("failed", "x() does y")];
  assert.deepEqual(summarise([run({ exitCode: 1, cases })], { strict: false }), {
    passed: 1,
    failed: 1,
    lines: ["FAILED tests/a_test.ts: x() does y"],
  });
});

Deno.test("summarise() counts skipped tests as failed when it is strict, and names them always", () => {
  const cases = [testCase("passed"), testCase("skipped", "needs a GPU")];
  const loose = summarise([run({ cases })], { strict: false });
  assert.equal(closingLine(loose), "1 passed, 0 failed");
  assert.deepEqual(loose.lines, ["SKIPPED tests/a_test.ts: needs a GPU"]);
  const strict = summarise([run({ cases })], { strict: true });
  assert.equal(closingLine(strict), "1 passed, 1 failed");
  assert.match(strict.lines[0] ?? "", /^SKIPPED .*needs a GPU \(nothing may be skipped/);
});

/** Runs in which something beyond the tests is wrong, with what is said about it. */
const FAULTS: readonly [string, Partial<RunResult>, RegExp][] = [
  ["no test ran", { cases: [], ranFiles: [], expectedFiles: [] }, /0 tests ran, at least 1 must/],
  ["too few tests ran", { floor: 2 }, /ring fast: 1 tests ran, at least 2 must/],
  [
    "a file did not load",
    { exitCode: 1, expectedFiles: ["tests/a_test.ts", "tests/b_test.ts"] },
    /tests\/b_test.ts: no test of it ran/,
  ],
  [
    "a file declares no test",
    { expectedFiles: ["tests/a_test.ts", "tests/b_test.ts"] },
    /tests\/b_test.ts: no test of it ran/,
  ],
  ["Deno failed though no test did", { exitCode: 1 }, /exit status 1, though no test failed/],
  [
    "Deno failed before any test",
    { exitCode: 1, cases: [], ranFiles: [] },
    /exit status 1 before any test ended/,
  ],
  [
    "the run was stopped, whatever had passed",
    { stoppedBecause: "after 240 s" },
    /ended before its end, after 240 s/,
  ],
];

for (const [name, changes, says] of FAULTS) {
  Deno.test(`summarise() adds one failure when ${name}`, () => {
    const summary = summarise([run(changes)], { strict: false });
    assert.equal(summary.failed, 1);
    assert.equal(summary.lines.length, 1);
    assert.match(summary.lines[0] ?? "", says);
  });
}

Deno.test("summarise() never reports success after a bad exit or a stop", () => {
  const outcomes = fc.array(
    fc.constantFrom<TestCase["outcome"][]>("passed", "failed", "skipped"),
    { maxLength: 6 },
  );
  const stops = fc.constantFrom(undefined, "interrupted");
  fc.assert(fc.property(outcomes, fc.boolean(), stops, fc.boolean(), (list, bad, stop, strict) => {
    const result = run({
      exitCode: bad ? 1 : 0,
      cases: list.map((outcome) => testCase(outcome)),
      floor: 0,
      ...(stop === undefined ? {} : { stoppedBecause: stop }),
    });
    const { passed, failed } = summarise([result], { strict });
    assert.equal(passed, list.filter((each) => each === "passed").length);
    const mustFail = bad || stop !== undefined || list.includes("failed") ||
      (strict && list.includes("skipped"));
    assert.equal(failed > 0, mustFail);
  }));
});
