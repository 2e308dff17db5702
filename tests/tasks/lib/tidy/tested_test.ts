import assert from "node:assert/strict";
import { findUntested, measureVolume } from "../../../../tasks/lib/tidy/tested.ts";

const DEED = "export function f() { return 1; }";

function untested(files: Record<string, string>, testedBy: Record<string, string> = {}): string[] {
  return findUntested(new Map(Object.entries(files)), testedBy);
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
  const [complaint, ...rest] = untested({ "lib/api/x.ts": DEED, "tests/proxy/x_test.ts": "" });
  assert.match(
    complaint ?? "",
    /^lib\/api\/x\.ts: no test is about it: write tests\/api\/x_test\.ts/,
  );
  assert.deepEqual(rest, []);
});

Deno.test("findUntested() asks for no test of types and constants", () => {
  const words = "export interface P { f(): void }\nexport const LIMIT = 5;\n";
  assert.deepEqual(untested({ "lib/api/x.ts": words }), []);
});

Deno.test("findUntested() accepts a part that a listed test leads to, and holds the list to the truth", () => {
  const part = {
    "lib/api/part.ts": DEED,
    "lib/api/whole.ts": 'import { f } from "./part.ts"; f();',
  };
  const test = { "tests/api/whole_test.ts": 'import "~/api/whole.ts";' };
  const list = { "lib/api/part.ts": "tests/api/whole_test.ts" };
  assert.deepEqual(untested({ ...part, ...test }, list), []);
  assert.match(
    untested({ ...part, "tests/api/whole_test.ts": "" }, list)[0] ?? "",
    /does not lead to it/,
  );
  assert.match(untested(part, list)[0] ?? "", /does not lead to it/);
  assert.match(untested({}, list)[0] ?? "", /is gone: take it off/);
  const own = { ...part, ...test, "tests/api/part_test.ts": "" };
  assert.match(untested(own, list)[0] ?? "", /has a test of its own now: take it off/);
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
