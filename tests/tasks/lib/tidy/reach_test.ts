import assert from "node:assert/strict";
import { findDeadCode, nearestTest, readEdges } from "../../../../tasks/lib/tidy/reach.ts";

function dead(files: Record<string, string>, entries: readonly string[] = []): string[] {
  return findDeadCode(new Map(Object.entries(files)), entries);
}

const MAIN = { "main.ts": 'import { main } from "~/cli/main.ts";' };

Deno.test("findDeadCode() follows imports from main.ts, types and pages included", () => {
  assert.deepEqual(
    dead({
      ...MAIN,
      "lib/cli/main.ts": 'import type { P } from "~/api/ports.ts"; import "~/api/page.ts";\n' +
        "export const main = 1 as P;",
      "lib/api/ports.ts": "export interface P {}",
      "lib/api/page.ts": 'import page from "./page.html" with { type: "text" }; page;',
      "lib/api/page.html": "<html>",
    }),
    [],
  );
});

Deno.test("findDeadCode() names files that nothing or only a test needs", () => {
  const found = dead({
    ...MAIN,
    "lib/cli/main.ts": "export const main = 1;",
    "lib/api/alone.ts": "const a = 1;",
    "lib/api/tested.ts": "export const b = 1;",
    "lib/api/old.html": "<html>",
    "tests/api/tested_test.ts": 'import { b } from "~/api/tested.ts";',
  });
  assert.deepEqual(found, [
    "lib/api/alone.ts: nothing uses it: wire it in, or remove it",
    "lib/api/tested.ts: only tests use it: wire it in, or remove it",
    "lib/api/old.html: nothing uses it: wire it in, or remove it",
  ]);
});

Deno.test("findDeadCode() takes two files that only import each other for dead", () => {
  const found = dead({
    ...MAIN,
    "lib/cli/main.ts": "export const main = 1;",
    "lib/api/a.ts": 'import "./b.ts";',
    "lib/api/b.ts": 'import "./a.ts";',
  });
  assert.equal(found.length, 2);
});

Deno.test("findDeadCode() starts from the tasks of deno.json, too", () => {
  const files = {
    "main.ts": "",
    "tasks/tidy.ts": 'import "./lib/x.ts";',
    "tasks/lib/x.ts": "",
  };
  assert.deepEqual(dead(files, ["tasks/tidy.ts"]), []);
  assert.equal(dead(files).length, 2);
});

Deno.test("findDeadCode() wants test support to be imported or started by name", () => {
  const support = { "tests/support/fake.ts": "", "main.ts": "" };
  assert.deepEqual(dead(support), ["tests/support/fake.ts: no test uses it: remove it"]);
  const started = { ...support, "tests/a_test.ts": 'join(here, "support", "fake.ts");' };
  assert.deepEqual(dead(started), []);
});

Deno.test("findDeadCode() names exports that no other file takes", () => {
  const found = dead({
    ...MAIN,
    "lib/cli/main.ts": 'import { used } from "./x.ts";\nexport const main = used;',
    "lib/cli/x.ts": [
      "export const used = 1;",
      "export const unused = used;",
      "export interface Stated {}",
      "export function used2(stated: Stated): void {}",
      "export type Orphan = 1;",
      "export class OddError extends Error {}",
      "throw new OddError();",
    ].join("\n"),
    "tests/cli/x_test.ts": 'import { used2 } from "~/cli/x.ts";',
  });
  assert.deepEqual(found, [
    'lib/cli/x.ts: no other file takes "unused": do not export it',
    'lib/cli/x.ts: no other file takes "Orphan": do not export it',
  ]);
});

Deno.test("nearestTest() finds the test with the shortest way", () => {
  const edges = readEdges(
    new Map([
      ["lib/api/part.ts", ""],
      ["lib/api/whole.ts", 'import "./part.ts";'],
      ["lib/api/loop.ts", 'import "./loop.ts";'],
      ["main.ts", 'import "~/api/whole.ts";'],
      ["tests/system/far_test.ts", 'new URL("../../main.ts", import.meta.url);'],
      ["tests/api/whole_test.ts", 'import "~/api/whole.ts";'],
    ]),
  );
  assert.equal(nearestTest("lib/api/part.ts", edges), "tests/api/whole_test.ts");
  assert.equal(nearestTest("main.ts", edges), "tests/system/far_test.ts");
  assert.equal(nearestTest("lib/api/loop.ts", edges), undefined);
});
