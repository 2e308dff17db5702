/**
 * Decides how the program is compiled into one file: what the command line asks for, and the command that
 * does it. `tasks/compile.ts` acts on it.
 *
 * @module
 */
import { parseArgs } from "node:util";
import { COMMIT_PLACEHOLDER, stampedCommit } from "~/base/version.ts";
import type { EnginePlatform } from "~/engine/platform.ts";

/** Platforms that a program can be compiled for, by Deno's names, with the engines' names for them. */
const PLATFORMS = {
  "x86_64-unknown-linux-gnu": "linux-x64",
  "aarch64-unknown-linux-gnu": "linux-arm64",
  "x86_64-apple-darwin": "macos-x64",
  "aarch64-apple-darwin": "macos-arm64",
  "x86_64-pc-windows-msvc": "windows-x64",
} as const satisfies Readonly<Record<string, EnginePlatform>>;

/** A platform that a program can be compiled for. */
export type Target = keyof typeof PLATFORMS;

/** All of them. */
export const TARGETS = Object.keys(PLATFORMS) as readonly Target[];

/** What llama.cpp's builds call the platform. */
export function enginePlatformOf(target: Target): EnginePlatform {
  return PLATFORMS[target];
}

/** Where the engine inside the program comes from. */
export type EngineChoice =
  | { readonly kind: "auto" }
  | { readonly kind: "none" }
  | { readonly kind: "dir"; readonly dir: string };

/** What was asked for. */
export interface CompileOptions {
  /** Absent: this machine's own. */
  readonly target?: Target;
  readonly engine: EngineChoice;
  /** A GGUF file to put inside. */
  readonly model?: string;
  /** Path of the program to write. */
  readonly out: string;
}

/** How `deno task compile` is used. */
export const COMPILE_USAGE = `Usage: deno task compile [options]

  --target PLATFORM   one of ${TARGETS.join(", ")}
                      (default: this machine's)
  --engine DIR        put the engine installed in DIR inside; "auto" takes one that mesh-llm has
                      installed on this machine, if any; "none" takes none (default: auto; none
                      for another platform)
  --model FILE        put a GGUF file inside
  --out FILE          the program to write (default: dist/mesh-llm, with the platform's name when
                      one is given)

Environment: DENORT_BIN, the runtime to put inside instead of a downloaded one;
MESH_LLM_COMPILE_DENO, another deno to compile with, such as "npx -y deno@2.4.2".`;

/**
 * Reads the command line.
 *
 * @throws {SyntaxError} when it cannot be understood; the message says why
 */
export function parseCompileArgs(args: readonly string[]): CompileOptions {
  const { values } = parseStrictly(args);
  const target = values.target === undefined ? undefined : parseTarget(values.target);
  const engine = parseEngine(values.engine ?? (target === undefined ? "auto" : "none"));
  if (values.model !== undefined && !values.model.toLowerCase().endsWith(".gguf")) {
    throw new SyntaxError(`Cannot put "${values.model}" inside: a model is a .gguf file`);
  }
  return {
    ...(target === undefined ? {} : { target }),
    ...(values.model === undefined ? {} : { model: values.model }),
    engine,
    out: values.out ?? defaultOut(target),
  };
}

function parseStrictly(args: readonly string[]) {
  const text = { type: "string" } as const;
  try {
    return parseArgs({
      args: [...args],
      options: { target: text, engine: text, model: text, out: text },
      strict: true,
      allowPositionals: false,
    });
  } catch (error) {
    throw new SyntaxError(error instanceof Error ? error.message : String(error));
  }
}

function parseTarget(name: string): Target {
  const target = TARGETS.find((each) => each === name);
  if (target !== undefined) return target;
  throw new SyntaxError(`Cannot compile for "${name}": wanted one of ${TARGETS.join(", ")}`);
}

function parseEngine(choice: string): EngineChoice {
  if (choice === "auto" || choice === "none") return { kind: choice };
  if (choice === "") throw new SyntaxError("Cannot put an engine inside: --engine names no folder");
  return { kind: "dir", dir: choice };
}

function defaultOut(target: Target | undefined): string {
  if (target === undefined) return "dist/mesh-llm";
  return `dist/mesh-llm-${target}${target.includes("windows") ? ".exe" : ""}`;
}

/**
 * The commit as it is stamped, from what git says; undefined when git says nothing useful.
 *
 * @param head output of `git rev-parse HEAD`
 * @param status output of `git status --porcelain`
 */
export function commitOf(head: string | undefined, status: string | undefined): string | undefined {
  const commit = (head ?? "").trim().slice(0, 12);
  return stampedCommit(status === undefined || status.trim() === "" ? commit : `${commit}-dirty`);
}

/**
 * Writes `commit` into the bundled program.
 *
 * @throws {RangeError} when the bundle has no place for it: the version would lie by silence
 */
export function stampBundle(bundle: string, commit: string | undefined): string {
  if (!bundle.includes(COMMIT_PLACEHOLDER)) {
    throw new RangeError("Cannot stamp the commit: the bundle does not hold its placeholder");
  }
  return commit === undefined ? bundle : bundle.replaceAll(COMMIT_PLACEHOLDER, commit);
}

/** Folder and files that the program finds beside its own code at run time. */
export interface CompileInput {
  readonly target?: Target;
  /** Names in the working directory to put inside. */
  readonly include: readonly string[];
  readonly out: string;
}

/** Arguments for `deno` that compile `main.js` of the working directory. */
export function compileCommand({ target, include, out }: CompileInput): string[] {
  return [
    "compile",
    // Deno lets a program read /proc and /sys (memory, owners of processes) with every permission only.
    "--allow-all",
    "--no-check",
    "--no-config",
    "--unstable-net",
    // The cache would lie under a guessable name in the shared temporary folder.
    "--no-code-cache",
    ...include.flatMap((name) => ["--include", name]),
    ...(target === undefined ? [] : ["--target", target]),
    "--output",
    out,
    "main.js",
  ];
}
