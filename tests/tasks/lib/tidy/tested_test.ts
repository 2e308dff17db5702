import assert from "node:assert/strict";
import {
  findUntested,
  measureVolume,
  TESTED_ELSEWHERE,
} from "../../../../tasks/lib/tidy/tested.ts";

const DEED = "export function f() { return 1; }";

function untested(files: Record<string, string>, elsewhere: Record<string, string> = {}): string[] {
  return findUntested(new Map(Object.entries(files)), elsewhere);
}

Deno.test("findUntested() accepts a test that imports the file or mirrors its path", () => {
  for (
    const test of [
      { "tests/any_test.ts": 'import { f } from "~/api/io/x.ts";' },
      { "tests/support/suite.ts": 'import { f } from "~/api/io/x.ts";' },
      { "tests/api/io/x_test.ts": "" },
      { "tests/system/api/io/x_test.ts": "" },
      { "tests/system/api/x_test.ts": "" },
    ]
  ) {
    assert.deepEqual(untested({ "lib/api/io/x.ts": DEED, ...test }), []);
  }
});

Deno.test("findUntested() names a file that no test is about", () => {
  assert.deepEqual(untested({ "lib/api/x.ts": DEED, "tests/proxy/x_test.ts": "" }), [
    "lib/api/x.ts: no test is about it: write tests/api/x_test.ts",
  ]);
});

Deno.test("findUntested() asks for no test of types and constants", () => {
  const words = "export interface P { f(): void }\nexport const LIMIT = 5;\n";
  assert.deepEqual(untested({ "lib/api/x.ts": words }), []);
});

Deno.test("findUntested() holds the list of exceptions to what is needed", () => {
  const why = { "lib/api/x.ts": "the reason" };
  assert.deepEqual(untested({ "lib/api/x.ts": DEED }, why), []);
  assert.match(untested({}, why)[0] ?? "", /is gone: take it off/);
  const tested = { "lib/api/x.ts": DEED, "tests/api/x_test.ts": "" };
  assert.match(untested(tested, why)[0] ?? "", /has a test now: take it off/);
});

Deno.test("TESTED_ELSEWHERE gives a reason for each entry", () => {
  for (const [path, reason] of Object.entries(TESTED_ELSEWHERE)) {
    assert.ok(reason.length > 20, path);
  }
});

Deno.test("measureVolume() counts filled lines on both sides", () => {
  const files = new Map([
    ["main.ts", "a\n\nb\n"],
    ["tasks/x.ts", "a\n"],
    ["tests/x_test.ts", "a\n  \n"],
    ["docs/A.md", "a\na\n"],
  ]);
  assert.deepEqual(measureVolume(files), { programLines: 3, testLines: 1 });
});
