import assert from "node:assert/strict";
import { FILE_LINES_MAX, measureSizes } from "../../../../tasks/lib/tidy/size.ts";

function lines(count: number): string {
  return "x\n".repeat(count);
}

Deno.test("measureSizes() accepts files up to the limit and names those beyond", () => {
  const report = measureSizes(
    new Map([["b.ts", lines(FILE_LINES_MAX + 1)], ["a.ts", lines(FILE_LINES_MAX)], ["c.ts", "x"]]),
  );
  assert.deepEqual(report, {
    files: 3,
    medianLines: 500,
    largestLines: 501,
    complaints: ["b.ts: 501 lines, the limit is 500: cut it along its subjects"],
  });
});

Deno.test("measureSizes() of nothing is zero", () => {
  assert.deepEqual(measureSizes(new Map()), {
    files: 0,
    medianLines: 0,
    largestLines: 0,
    complaints: [],
  });
});
