/**
 * The compiled program for tests: made once per run, copied alone into an empty folder, started with an empty
 * home and, where the machine allows it, in a network of its own that leads nowhere.
 */
import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { ensureTestEngine } from "#support/engine.ts";
import { ensureTestModel } from "#support/model.ts";

const ROOT = resolve(import.meta.dirname ?? ".", "..", "..");
/** A start takes a second or two; reaching this fails the test instead of hanging it. */
const DEADLINE_MS = 120_000;

/** How a short command ended. */
export interface CommandEnd {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `command` to its end with nothing in its environment but `env` and the search path. */
export async function runAlone(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<CommandEnd> {
  return await run(command, {
    args: [...args],
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH") ?? "", NO_COLOR: "1", ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
}

/** Runs `deno task compile` with `args`, as a developer would. */
export async function runCompileTask(args: readonly string[]): Promise<CommandEnd> {
  const task = join(ROOT, "tasks", "compile.ts");
  return await run(Deno.execPath(), {
    args: ["run", "--allow-all", "--quiet", task, ...args],
    cwd: ROOT,
  });
}

async function run(command: string, options: Deno.CommandOptions): Promise<CommandEnd> {
  const output = await new Deno.Command(command, { ...options, stdin: "null" }).output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: output.code, stdout: decode(output.stdout), stderr: decode(output.stderr) };
}

/** A folder that holds the program and an empty home, and nothing else. */
export interface LonelyProgram extends AsyncDisposable {
  readonly dir: string;
  readonly program: string;
  readonly home: string;
}

/** Copies `program` alone into a new, empty folder. */
export async function copyAlone(program: string): Promise<LonelyProgram> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-alone-" });
  const home = join(dir, "home");
  await Deno.mkdir(home);
  await Deno.copyFile(program, join(dir, "mesh-llm"));
  await Deno.chmod(join(dir, "mesh-llm"), 0o755);
  return {
    dir,
    home,
    program: join(dir, "mesh-llm"),
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

/** Compiles the program with the tests' engine and starter model inside; the caller removes `dir`. */
export async function compileWithEverything(): Promise<{ dir: string; program: string }> {
  const [engine, model] = await Promise.all([ensureTestEngine(), ensureTestModel()]);
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-compiled-" });
  const program = join(dir, "mesh-llm");
  const args = ["--engine", engine.dir, "--model", model, "--out", program];
  const end = await runCompileTask(args);
  assert.equal(end.code, 0, `${end.stdout}\n${end.stderr}`);
  return { dir, program };
}

/** A network with nothing but loopback in it. */
export interface LonelyNetwork {
  /** Words before the command that opens the network; empty where the machine allows none. */
  readonly enter: readonly string[];
  /** Words before a command that joins the network of the process `pid`. */
  join(pid: number): readonly string[];
}

/** Root may open a network; others need a namespace of users around it, which not every system allows. */
const NETWORKS: readonly {
  readonly unshare: readonly string[];
  readonly nsenter: readonly string[];
}[] = [
  { unshare: ["--net"], nsenter: ["--net"] },
  {
    unshare: ["--map-root-user", "--net"],
    nsenter: ["--preserve-credentials", "--user", "--net"],
  },
];

/** The first way of opening a network that works here. */
export async function lonelyNetwork(): Promise<LonelyNetwork> {
  for (const { unshare, nsenter } of NETWORKS) {
    const enter = ["unshare", ...unshare, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"];
    const end = await runAlone("unshare", [...enter.slice(1), "true"]).catch(() => undefined);
    if (end?.code !== 0) continue;
    return { enter, join: (pid) => ["nsenter", ...nsenter, `--target=${pid}`] };
  }
  return { enter: [], join: () => [] };
}

/** Reads lines of `stream` until one begins with `prefix`; returns the rest of it, and keeps reading after. */
export async function waitForLine(
  stream: ReadableStream<Uint8Array>,
  prefix: string,
): Promise<{ rest: string; drained: Promise<void> }> {
  const found = Promise.withResolvers<string>();
  const timer = setTimeout(
    () => found.reject(new Error(`No line "${prefix}" in time`)),
    DEADLINE_MS,
  );
  const drained = (async () => {
    let text = "";
    for await (const part of stream.pipeThrough(new TextDecoderStream())) {
      text += part;
      const line = text.split("\n").slice(0, -1).find((each) => each.startsWith(prefix));
      if (line !== undefined) found.resolve(line.slice(prefix.length).trim());
    }
    found.reject(new Error(`The program ended before it said "${prefix}":\n${text}`));
  })();
  try {
    return { rest: await found.promise, drained };
  } finally {
    clearTimeout(timer);
  }
}
