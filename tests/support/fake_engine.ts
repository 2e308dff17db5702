/** Makes the scripted server of `fake_llama_server.ts` look like an installed llama.cpp, and talks to it. */
import { join } from "node:path";
import type { EngineInstall, EngineProgram } from "~/engine/install.ts";
import { FAKE_QUESTIONS, fakeFact } from "./fake_llama_answers.ts";
import type { FakeRecord, FakeScript } from "./fake_llama_server.ts";
import { shellWord } from "./shell_word.ts";

const SERVER_PATH = join(import.meta.dirname ?? ".", "fake_llama_server.ts");
/** Compiled once for all fakes: they have no home of their own. */
const FAKE_DENO_DIR = join(import.meta.dirname ?? ".", "..", "..", ".cache", "fake-deno");

/**
 * An engine whose server plays `script`. Files go into `dir`, which the caller removes.
 *
 * @example `const install = await fakeEngineInstall(dir, { serviceMs: 5 });`
 */
export async function fakeEngineInstall(dir: string, script: FakeScript): Promise<EngineInstall> {
  const path = join(dir, "script.json");
  await Deno.writeTextFile(path, JSON.stringify(script));
  return {
    origin: "bin-dir",
    source: "scripted server of the tests",
    dir,
    server: fakeProgram(path, []),
    rpcServer: fakeProgram(path, ["--as-rpc-server"]),
  };
}

function fakeProgram(script: string, more: readonly string[]): EngineProgram {
  return {
    command: Deno.execPath(),
    leadingArgs: [
      "run",
      "-A",
      "--no-config",
      "--no-lock",
      SERVER_PATH,
      "--script",
      script,
      ...more,
    ],
    env: { DENO_DIR: FAKE_DENO_DIR, DENO_NO_UPDATE_CHECK: "1" },
  };
}

/** A folder for `--bin-dir` whose llama-server plays `script`. */
export async function writeFakeBinDir(dir: string, script: FakeScript): Promise<string> {
  const binDir = join(dir, "bin");
  await Deno.mkdir(binDir, { recursive: true });
  const scriptPath = join(binDir, "script.json");
  await Deno.writeTextFile(scriptPath, JSON.stringify(script));
  const program = [
    Deno.execPath(),
    "run",
    "-A",
    "--no-config",
    "--no-lock",
    "--quiet",
    SERVER_PATH,
  ];
  const run = [...program, "--script", scriptPath].map(shellWord).join(" ");
  const lines = [
    "#!/bin/sh",
    // Each start of a node asks all of it: the shell has it at hand, where a program takes a tenth of a second.
    "case $1 in",
    ...FAKE_QUESTIONS.map((question) => {
      const output = question === "--version" ? " >&2" : "";
      return `${question}) printf %s ${shellWord(fakeFact(question, script))}${output}; exit ;;`;
    }),
    "esac",
    `export DENO_DIR=${shellWord(FAKE_DENO_DIR)} DENO_NO_UPDATE_CHECK=1`,
    `exec ${run} "$@"`,
  ];
  await Deno.writeTextFile(join(binDir, "llama-server"), lines.join("\n") + "\n");
  await Deno.chmod(join(binDir, "llama-server"), 0o755);
  return binDir;
}

/** What the server on `port` has received so far. */
export async function fakeRecord(port: number): Promise<FakeRecord> {
  const response = await fetch(`http://127.0.0.1:${port}/__record`);
  return await response.json();
}

/** Changes the script of the running server; resolves when it has taken effect. */
export async function controlFake(
  port: number,
  change: FakeScript & { readonly finishLoading?: boolean; readonly exit?: number },
): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/__control`, {
    method: "POST",
    body: JSON.stringify(change),
  });
  await response.body?.cancel();
}

/** One line of the file of starts. */
export interface FakeStart {
  readonly pid: number;
  readonly port: number;
  readonly args: readonly string[];
  /** Names of the variables that the process was given. */
  readonly env: readonly string[];
}

/** Every start so far, oldest first; none while the file is not there. */
export async function fakeStarts(startsFile: string): Promise<FakeStart[]> {
  const text = await Deno.readTextFile(startsFile).catch(() => "");
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

/** Only there to fail a test that waits in vain: on a busy machine a start alone takes many seconds. */
const UNTIL_MS = 60_000;

/** Asks `probe` again and again until it says true; fails after `deadlineMs`. */
export async function until(
  probe: () => Promise<boolean> | boolean,
  what: string,
  deadlineMs = UNTIL_MS,
): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!(await probe())) {
    if (performance.now() > endMs) throw new Error(`Waited ${deadlineMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
