/** What every `EngineProcesses` does, in memory and for real. */
import assert from "node:assert/strict";
import type { EngineProcesses, SpawnOrder } from "~/engine/process.ts";

/** A program that the suite needs, by what it does. */
export type ContractProgram =
  /** Prints "one", "two" on a line each, then "three" without an end of line; exit status 3. */
  | "talker"
  /** Prints "ready", then waits for a signal. */
  | "waiter"
  /** Like the waiter, and takes no notice of SIGTERM. */
  | "stubborn"
  /** Prints "ready"; after `mayQuote` prints "my diary", then exit status 0. */
  | "quoter"
  /** Is not there. */
  | "missing";

/** What an implementation brings to the suite. */
export interface EngineProcessesSubject {
  readonly processes: EngineProcesses;
  readonly order: (program: ContractProgram) => Omit<SpawnOrder, "onLine" | "name" | "env">;
  /** Lets the quoter go on. */
  readonly mayQuote: () => Promise<void>;
}

/** Runs `use` with a subject, and cleans up after it. */
export type WithSubject = (
  use: (subject: EngineProcessesSubject) => Promise<void>,
) => Promise<void>;

/** Defines the tests of one implementation. */
export function testEngineProcesses(name: string, withSubject: WithSubject): void {
  const define = (what: string, run: (subject: EngineProcessesSubject) => Promise<void>) =>
    Deno.test(`${name} ${what}`, () => withSubject(run));

  define("gives every line, the unfinished last one too, and the exit status", async (subject) => {
    const lines: string[] = [];
    const process = await start(subject, "talker", (line) => lines.push(line));
    const exit = await process.exited;
    assert.deepEqual(lines, ["one", "two", "three"]);
    assert.deepEqual(exit, { code: 3, lastLines: ["one", "two", "three"] });
  });

  define("ends a process with the polite signal, and names it", async (subject) => {
    const process = await startReady(subject, "waiter");
    process.kill("SIGTERM");
    const { code, signal } = await process.exited;
    assert.deepEqual({ code, signal }, { code: 143, signal: "SIGTERM" });
  });

  define("ends a process by force that ignores the polite signal", async (subject) => {
    const process = await startReady(subject, "stubborn");
    process.kill("SIGTERM");
    process.kill("SIGKILL");
    const { code, signal } = await process.exited;
    assert.deepEqual({ code, signal }, { code: 137, signal: "SIGKILL" });
  });

  define("takes a signal to a process that has ended for nothing", async (subject) => {
    const process = await start(subject, "talker", () => {});
    await process.exited;
    process.kill("SIGTERM");
    process.kill("SIGKILL");
  });

  define("keeps nothing that may quote a request once it serves", async (subject) => {
    const lines: string[] = [];
    const process = await startReady(subject, "quoter", (line) => lines.push(line));
    process.beginServing();
    await subject.mayQuote();
    const { lastLines } = await process.exited;
    assert.deepEqual(lines, ["ready", "my diary"]);
    assert.deepEqual(lastLines, ["ready"]);
  });

  define("fails when there is no such program", async (subject) => {
    await assert.rejects(() => start(subject, "missing", () => {}));
  });

  define("runs several at once, each with its own end", async (subject) => {
    const [first, second] = await Promise.all([
      startReady(subject, "waiter"),
      startReady(subject, "waiter"),
    ]);
    assert.notEqual(first.pid, second.pid);
    first.kill("SIGTERM");
    await first.exited;
    second.kill("SIGKILL");
    assert.equal((await second.exited).signal, "SIGKILL");
  });
}

function start(
  { processes, order }: EngineProcessesSubject,
  program: ContractProgram,
  onLine: (line: string) => void,
) {
  return processes.spawn({ name: program, env: {}, ...order(program), onLine });
}

async function startReady(
  subject: EngineProcessesSubject,
  program: ContractProgram,
  onLine: (line: string) => void = () => {},
) {
  const ready = Promise.withResolvers<void>();
  const process = await start(subject, program, (line) => {
    onLine(line);
    if (line === "ready") ready.resolve();
  });
  await ready.promise;
  return process;
}
