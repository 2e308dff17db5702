/**
 * `deno task compile`: makes one file that runs by itself. The program is bundled, stamped with its commit and
 * laid into an empty folder; engine and model, where asked for, are laid beside it; then `deno compile` packs
 * that folder. At run time the code finds them beside itself, below `import.meta.dirname`.
 *
 * @module
 */
import { dirname, join, resolve } from "node:path";
import { EMBEDDED_ENGINE_FOLDER, EMBEDDED_MODEL_FOLDER } from "~/base/io/program_files.ts";
import { packEngine } from "~/engine/io/embedded.ts";
import { engineDirOf, listInstalled } from "~/engine/io/install_dir.ts";
import { chooseInstalled } from "~/engine/installed.ts";
import { NATIVE_DEBIAN, NATIVE_RELEASES } from "~/engine/native.ts";
import type { Accelerator } from "~/engine/platform.ts";
import { platformOf } from "~/engine/platform.ts";
import { outputOf, runChild } from "./lib/child.ts";
import {
  commitOf,
  COMPILE_USAGE,
  compileCommand,
  enginePlatformOf,
  parseCompileArgs,
  stampBundle,
} from "./lib/compile_plan.ts";
import type { CompileOptions } from "./lib/compile_plan.ts";

const ROOT = resolve(import.meta.dirname ?? ".", "..");
/** A runtime of 100 MB may have to be downloaded first. */
const STEP_LIMIT_MS = 20 * 60_000;

/** What runs on every machine of a platform comes first. */
const PACKED_ACCELERATORS: readonly Accelerator[] = ["metal", "cpu", "vulkan", "cuda", "rocm"];

async function main(args: readonly string[]): Promise<void> {
  const options = parseCompileArgs(args);
  const stage = await Deno.makeTempDir({ prefix: "mesh-llm-compile-" });
  try {
    const include = [...await stageEngine(options, stage), ...await stageModel(options, stage)];
    const commit = await bundleInto(stage);
    const out = resolve(ROOT, options.out);
    await Deno.mkdir(dirname(out), { recursive: true });
    const { target } = options;
    await runDeno(compilerCommand(), {
      args: compileCommand({ include, out, ...(target === undefined ? {} : { target }) }),
      cwd: stage,
    });
    const megabytes = Math.round((await Deno.stat(out)).size / 1e6);
    print(
      `${out} (${megabytes} MB, commit ${commit ?? "unknown"}, inside: ${
        include.join(", ") || "no engine, no model"
      })`,
    );
  } finally {
    await Deno.remove(stage, { recursive: true });
  }
}

/** Bundles main.ts to `stage`/main.js and stamps it; returns the commit. */
async function bundleInto(stage: string): Promise<string | undefined> {
  const bundle = join(stage, "main.js");
  await runDeno([Deno.execPath()], {
    args: ["bundle", "--quiet", "--platform=deno", "main.ts", "--output", bundle],
    cwd: ROOT,
  });
  const commit = commitOf(
    await outputOf("git", ["rev-parse", "HEAD"], ROOT),
    await outputOf("git", ["status", "--porcelain"], ROOT),
  );
  await Deno.writeTextFile(bundle, stampBundle(await Deno.readTextFile(bundle), commit));
  return commit;
}

/** Lays the engine into `stage`; returns the names to include. */
async function stageEngine(options: CompileOptions, stage: string): Promise<string[]> {
  const { engine, target } = options;
  if (engine.kind === "none") return [];
  const installDir = engine.kind === "dir" ? resolve(engine.dir) : await findEngineDir();
  if (installDir === undefined) {
    print("No engine is installed on this machine: the program will fetch one on its first start");
    return [];
  }
  const packed = await packEngine({
    installDir,
    outDir: join(stage, EMBEDDED_ENGINE_FOLDER),
    signal: AbortSignal.timeout(STEP_LIMIT_MS),
  });
  const platform = target === undefined ? platformOf(Deno.build) : enginePlatformOf(target);
  if (packed.manifest.platform !== platform) {
    throw new Error(
      `Cannot put the engine in ${installDir} inside: it is for ${packed.manifest.platform}, the ` +
        `program for ${platform}`,
    );
  }
  const bytes = packed.files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  print(
    `Engine: ${packed.manifest.source} (${packed.files.length} files, ${
      Math.round(bytes / 1e6)
    } MB)`,
  );
  return [EMBEDDED_ENGINE_FOLDER];
}

/** An engine that mesh-llm, or a test of it, has installed on this machine. */
async function findEngineDir(): Promise<string | undefined> {
  const platform = platformOf(Deno.build);
  const userDir = Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE") ?? ROOT;
  const homes = [
    Deno.env.get("MESH_LLM_HOME") ?? join(userDir, ".mesh-llm"),
    join(ROOT, ".cache", "test-home"),
  ];
  if (platform === undefined) return undefined;
  const wanted = {
    platform,
    accelerators: PACKED_ACCELERATORS,
    releases: NATIVE_RELEASES,
    debian: NATIVE_DEBIAN,
  };
  for (const home of homes) {
    const chosen = chooseInstalled(await listInstalled(engineDirOf(home)), wanted);
    if (chosen !== undefined) return chosen.dir;
  }
  return undefined;
}

/** Lays the model into `stage`; returns the names to include. */
async function stageModel(options: CompileOptions, stage: string): Promise<string[]> {
  if (options.model === undefined) return [];
  const source = resolve(options.model);
  const folder = join(stage, EMBEDDED_MODEL_FOLDER);
  await Deno.mkdir(folder);
  await Deno.copyFile(source, join(folder, source.slice(dirname(source).length + 1)));
  return [EMBEDDED_MODEL_FOLDER];
}

/** The deno that compiles: this one, or the one named in the environment. */
function compilerCommand(): readonly string[] {
  const words = (Deno.env.get("MESH_LLM_COMPILE_DENO") ?? "").split(/\s+/).filter((each) => each);
  return words.length > 0 ? words : [Deno.execPath()];
}

async function runDeno(
  [command = "deno", ...leading]: readonly string[],
  { args, cwd }: { args: readonly string[]; cwd: string },
): Promise<void> {
  const end = await runChild(command, {
    args: [...leading, ...args],
    cwd,
    env: { DENO_NO_UPDATE_CHECK: "1" },
    limitMs: STEP_LIMIT_MS,
  });
  if (end.exitCode === 0 && end.stoppedBecause === undefined) return;
  const why = end.stoppedBecause ?? `exit status ${end.exitCode}`;
  throw new Error(
    `Cannot compile: deno ${
      args[0]
    } ended with ${why}. Where the site of Deno cannot be reached, ` +
      "let DENORT_BIN name a runtime file",
  );
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

if (import.meta.main) {
  if (Deno.args.includes("--help") || Deno.args.includes("-h")) {
    print(COMPILE_USAGE);
    Deno.exit(0);
  }
  try {
    await main(Deno.args);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    Deno.stderr.writeSync(new TextEncoder().encode(`${message}\n`));
    Deno.exit(error instanceof SyntaxError ? 2 : 1);
  }
}
