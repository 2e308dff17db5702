import assert from "node:assert/strict";
import fc from "fast-check";
import { COMMIT_PLACEHOLDER } from "~/base/version.ts";
import { ENGINE_PLATFORMS } from "~/engine/platform.ts";
import {
  commitOf,
  COMPILE_USAGE,
  compileCommand,
  enginePlatformOf,
  parseCompileArgs,
  stampBundle,
  TARGETS,
} from "../../../tasks/lib/compile_plan.ts";

Deno.test("parseCompileArgs() compiles for this machine with an engine at hand by default", () => {
  assert.deepEqual(parseCompileArgs([]), { engine: { kind: "auto" }, out: "dist/mesh-llm" });
});

Deno.test("parseCompileArgs() puts no engine of this machine into a program for another", () => {
  assert.deepEqual(parseCompileArgs(["--target", "x86_64-pc-windows-msvc"]), {
    target: "x86_64-pc-windows-msvc",
    engine: { kind: "none" },
    out: "dist/mesh-llm-x86_64-pc-windows-msvc.exe",
  });
  const chosen = parseCompileArgs(["--target=aarch64-apple-darwin", "--engine=/opt/mac"]);
  assert.deepEqual(chosen.engine, { kind: "dir", dir: "/opt/mac" });
});

Deno.test("parseCompileArgs() takes engine, model and output", () => {
  const args = ["--engine", "none", "--model", "m/Tiny.GGUF", "--out", "x"];
  assert.deepEqual(parseCompileArgs(args), {
    engine: { kind: "none" },
    model: "m/Tiny.GGUF",
    out: "x",
  });
});

/** Command lines that are wrong, with what is said. */
const WRONG: readonly [readonly string[], RegExp][] = [
  [["--target", "amiga"], /Cannot compile for "amiga": wanted one of x86_64-unknown-linux-gnu/],
  [["--model", "weights.bin"], /a model is a \.gguf file/],
  [["--engine", ""], /names no folder/],
  [["--engine"], /--engine/],
  [["--fast"], /--fast/],
  [["main.ts"], /main\.ts/],
];

for (const [args, says] of WRONG) {
  Deno.test(`parseCompileArgs() refuses: ${args.join(" ")}`, () => {
    assert.throws(() => parseCompileArgs(args), (error: unknown) => {
      assert.ok(error instanceof SyntaxError);
      assert.match(error.message, says);
      return true;
    });
  });
}

Deno.test("COMPILE_USAGE names every platform", () => {
  for (const target of TARGETS) assert.ok(COMPILE_USAGE.includes(target));
});

Deno.test("enginePlatformOf() gives every platform an engine of its own", () => {
  const platforms = TARGETS.map(enginePlatformOf);
  assert.deepEqual(platforms.toSorted(), ENGINE_PLATFORMS.toSorted());
});

Deno.test("commitOf() shortens the commit and marks a changed tree", () => {
  const head = "0123456789abcdef0123456789abcdef01234567\n";
  assert.equal(commitOf(head, ""), "0123456789ab");
  assert.equal(commitOf(head, " M lib/a.ts\n"), "0123456789ab-dirty");
  assert.equal(commitOf(undefined, undefined), undefined);
  assert.equal(commitOf("fatal: not a repository", ""), undefined);
});

Deno.test("stampBundle() fills every place and fails when there is none", () => {
  const bundle = `a("${COMMIT_PLACEHOLDER}"); b("${COMMIT_PLACEHOLDER}");`;
  assert.equal(stampBundle(bundle, "0123456789ab"), 'a("0123456789ab"); b("0123456789ab");');
  assert.equal(stampBundle(bundle, undefined), bundle);
  assert.throws(() => stampBundle("a();", "0123456789ab"), RangeError);
});

Deno.test("compileCommand() ends with output and program, includes in between", () => {
  const names = fc.array(fc.constantFrom("embedded-engine", "embedded-model"), { maxLength: 2 });
  const targets = fc.option(fc.constantFrom(...TARGETS), { nil: undefined });
  fc.assert(fc.property(names, targets, (include, target) => {
    const args = compileCommand({
      include,
      out: "/x/mesh-llm",
      ...(target === undefined ? {} : { target }),
    });
    assert.equal(args[0], "compile");
    assert.deepEqual(args.slice(-3), ["--output", "/x/mesh-llm", "main.js"]);
    assert.deepEqual(args.filter((_, index) => args[index - 1] === "--include"), include);
    assert.equal(args.includes("--target"), target !== undefined);
  }));
});
