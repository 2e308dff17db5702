/** Starts the program as a user would, once with an engine that costs nothing and once with the real one. */
import { join } from "node:path";
import { ensureTestEngine } from "#support/engine.ts";
import { ensureTestModel } from "#support/model.ts";
import { NodeProcess, type NodeProcessOptions } from "#support/node_process.ts";
import { shellWord } from "#support/shell_word.ts";
import { writeTinyModel } from "#support/tiny_gguf.ts";
import { findEngine } from "./proc.ts";
import type { Target } from "./requests.ts";

const UPSTREAM = new URL("./upstream.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** A running program with everything that the bench has to know of it. */
export class Program implements AsyncDisposable {
  readonly pid: number;
  /** Its OpenAI door. */
  readonly api: Target;
  /** Its management door. */
  readonly console: Target;
  /** Its engine, without the program in between. */
  readonly engine: Target;
  readonly #node: NodeProcess;

  private constructor(node: NodeProcess, doors: Pick<Program, "api" | "console" | "engine">) {
    this.#node = node;
    this.pid = node.pid;
    this.api = doors.api;
    this.console = doors.console;
    this.engine = doors.engine;
  }

  /** Starts a node and waits until it answers requests. */
  static async start(options: NodeProcessOptions): Promise<Program> {
    const node = await NodeProcess.start(options);
    try {
      const model = await node.line("Ready: ");
      const engine = await findEngine(node.pid);
      return new Program(node, {
        api: { port: portOf(await node.apiBase()), model },
        console: { port: portOf(await node.consoleBase()), model },
        engine: { port: engine.port, key: engine.key, model },
      });
    } catch (error) {
      await node[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The invite that it prints. */
  token(): Promise<string> {
    return this.#node.line("Invite token: ");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#node[Symbol.asyncDispose]();
  }
}

export function portOf(base: string): number {
  return Number(new URL(base).port);
}

/**
 * Options for a node whose engine is `upstream.ts`: a folder with a script named like the real thing, and a
 * model that is real enough to be planned for. Files go into `dir`.
 */
export async function trivialEngine(dir: string): Promise<NodeProcessOptions> {
  const binDir = join(dir, "bin");
  await Deno.mkdir(binDir, { recursive: true });
  // The program clears the environment of its engine: what Deno needs is said here.
  const command = [Deno.execPath(), "run", "--quiet", "--allow-all", "--config", CONFIG, UPSTREAM];
  const script = [
    "#!/bin/sh",
    `export DENO_DIR=${shellWord(join(dir, "deno-dir"))} DENO_NO_UPDATE_CHECK=1 NO_COLOR=1`,
    `exec ${command.map(shellWord).join(" ")} "$@"`,
    "",
  ].join("\n");
  await Deno.writeTextFile(join(binDir, "llama-server"), script, { mode: 0o755 });
  const model = await writeTinyModel(join(dir, "bench.gguf"));
  return { args: ["--bin-dir", binDir, "--model", model], homeDir: await newHome(dir) };
}

/**
 * Options for a node with the real llama.cpp and the starter model, both fetched before when they are not here.
 * Its home goes into `dir`.
 */
export async function realEngine(dir: string): Promise<NodeProcessOptions> {
  const [install, model] = await Promise.all([ensureTestEngine(), ensureTestModel()]);
  return { args: ["--bin-dir", install.dir, "--model", model], homeDir: await newHome(dir) };
}

/** Beside the other files, so that it goes with them even when the bench is ended in the middle. */
export async function newHome(dir: string): Promise<string> {
  return await Deno.makeTempDir({ dir, prefix: "home-" });
}
