import assert from "node:assert/strict";
import plugin, { countLines, FUNCTION_LINES_MAX } from "../../tasks/lint_size.ts";

function lint(source: string): string[] {
  return Deno.lint.runPlugin(plugin, "lib/mesh/x.ts", source).map(({ message }) => message);
}

/** A body that makes a function of `lines` lines in all. */
function body(lines: number): string {
  return "\n" + "  x();\n".repeat(lines - 2);
}

const SHAPES: readonly [string, (lines: number) => string][] = [
  ["a declaration", (lines) => `function f() {${body(lines)}}`],
  ["an expression", (lines) => `const f = function () {${body(lines)}};`],
  ["an arrow", (lines) => `const f = () => {${body(lines)}};`],
  ["an async generator", (lines) => `async function* f() {${body(lines)}}`],
  ["a method", (lines) => `class A { m() {${body(lines)}} }`],
  ["a private method", (lines) => `class A { #m() {${body(lines)}} }`],
  ["a constructor", (lines) => `class A { constructor() {${body(lines)}} }`],
  ["a getter", (lines) => `const o = { get a() {${body(lines)}} };`],
];

for (const [name, build] of SHAPES) {
  Deno.test(`size/function-lines counts ${name} up to the limit and not beyond`, () => {
    assert.deepEqual(lint(build(FUNCTION_LINES_MAX)), []);
    const [message, ...rest] = lint(build(FUNCTION_LINES_MAX + 1));
    assert.match(message ?? "", /takes 71 lines, the limit is 70/);
    assert.deepEqual(rest, []);
  });
}

Deno.test("size/function-lines does not add up functions that stand side by side", () => {
  assert.deepEqual(lint(`class A {\n${`m() {${body(40)}}\n`.repeat(3)}}`), []);
});

Deno.test("countLines() counts the last line without a break", () => {
  assert.equal(countLines("a"), 1);
  assert.equal(countLines("a\nb"), 2);
  assert.equal(countLines("a\n"), 2);
});
