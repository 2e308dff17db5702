import assert from "node:assert/strict";
import {
  countFilledLines,
  countWord,
  decidesNothing,
  exportsOf,
  importsOf,
  stripComments,
} from "../../../tasks/lib/sources.ts";

Deno.test("stripComments() leaves strings that look like comments", () => {
  assert.equal(stripComments('const a = "// b"; // c').trim(), 'const a = "// b";');
  assert.equal(stripComments("const a = `/* b */`; /* c\n d */").trim(), "const a = `/* b */`;");
  assert.equal(
    stripComments("const u = 'https://x.test/'; /** e */").trim(),
    "const u = 'https://x.test/';",
  );
});

/** Ways to import, with the names taken. */
const IMPORTS: readonly [string, readonly string[]][] = [
  ['import { a, type B, c as d } from "~/base/x.ts";', ["a", "B", "c"]],
  ['import {\n  a,\n  b,\n} from "../base/x.ts";', ["a", "b"]],
  ['import type { A } from "~/base/x.ts";', ["A"]],
  ['import page from "~/base/x.ts" with { type: "text" };', ["default"]],
  ['import page, { a } from "~/base/x.ts";', ["a", "default"]],
  ['import * as x from "~/base/x.ts";', ["*"]],
  ['import "~/base/x.ts";', ["*"]],
  ['export { a as b } from "~/base/x.ts";', ["a"]],
  ['export * from "~/base/x.ts";', ["*"]],
  ['export type { A } from "~/base/x.ts";', ["A"]],
  ['const x = await import("~/base/x.ts");', ["*"]],
  ['type X = import("~/base/x.ts").X;', ["*"]],
  ['const path = new URL("../base/x.ts", import.meta.url);', ["*"]],
  ['const path = import.meta.resolve("../base/x.ts");', ["*"]],
];

for (const [source, names] of IMPORTS) {
  Deno.test(`importsOf() reads: ${source}`, () => {
    assert.deepEqual(importsOf("lib/mesh/y.ts", source), [{ path: "lib/base/x.ts", names }]);
  });
}

Deno.test("importsOf() sees no import in comments, packages and node modules", () => {
  const source = '// import "~/a.ts"\nimport { a } from "node:fs";\nimport { Hono } from "hono";';
  assert.deepEqual(importsOf("lib/mesh/y.ts", source), []);
});

Deno.test("importsOf() sees no import in strings that hold code", () => {
  const source = "const a = 'import { x } from \"~/base/x.ts\";';\n" +
    'const b = `\nimport "~/base/x.ts";\n`;\nlint(\'await import("./x.ts")\');';
  assert.deepEqual(importsOf("lib/mesh/y.ts", source), []);
});

Deno.test("importsOf() keeps neighbouring imports apart", () => {
  const source = 'import a from "./a.ts";\nimport { b } from "./b.ts";\nexport const c = 1;\n';
  assert.deepEqual(importsOf("lib/mesh/y.ts", source).map(({ path, names }) => [path, names]), [
    ["lib/mesh/a.ts", ["default"]],
    ["lib/mesh/b.ts", ["b"]],
  ]);
});

Deno.test("exportsOf() lists values and types", () => {
  const source = `
export const a = 1;
export function b(): void {}
export async function c() {}
export function* d() {}
export class E {}
export abstract class F {}
export interface G { export: 1 }
export type H = 1;
export { i, j as k, type L };
export type { M };
export default a;
const hidden = 1; // export const n = 1;
`;
  const found = exportsOf(source);
  assert.deepEqual(found.filter((each) => !each.isType).map(({ name }) => name), [
    ...["a", "b", "c", "d", "E", "F", "default", "i", "k"],
  ]);
  assert.deepEqual(found.filter((each) => each.isType).map(({ name }) => name), [
    "G",
    "H",
    "L",
    "M",
  ]);
});

Deno.test("decidesNothing() holds for types, constants and errors with facts", () => {
  const named = `
/** Words => words; they return nothing. */
export interface Port { get(x: number): Promise<void>; each: (x: number) => void }
export interface Wide {
  get: () => void;
}
export type Fn = (x: number) => void;
export const LIMIT_BYTES = 64 * 1024;
export class OddError extends Error {
  override readonly name = "OddError";
  constructor(readonly_: string) {
    super(readonly_);
  }
}
`;
  assert.equal(decidesNothing(named.replace(/^export interface Port.*$/m, "")), true);
  for (
    const deed of [
      "export function f() { return 1; }",
      "export const f = (x: number) => x;",
      "export class A { m() { throw new Error(); } }",
      "await start();",
    ]
  ) {
    assert.equal(decidesNothing(deed), false, deed);
  }
});

Deno.test("countWord() counts whole words outside comments", () => {
  assert.equal(countWord("Port; Ports; $Port; Port // Port", "Port"), 2);
  assert.equal(countWord("$a $a$ $a", "$a"), 2);
});

Deno.test("countFilledLines() leaves blank lines out", () => {
  assert.equal(countFilledLines("a\n\n  \nb\n"), 2);
});
