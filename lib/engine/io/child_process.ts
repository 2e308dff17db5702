/**
 * Starts engine programs as children that cannot outlive us.
 *
 * Three things end a child whose mesh-llm was killed. On Linux the kernel does it, asked by `setpriv`. A
 * server that follows its standard input ends when that does, which is when we do. And the
 * record in the run folder lets the next mesh-llm end what is left.
 *
 * @module
 */
import { LineRing } from "~/base/line_ring.ts";
import { runCommand } from "~/base/io/command.ts";
import { isControlLine } from "../load_progress.ts";
import { keepHarmless } from "../output_filter.ts";
import type {
  EndSignal,
  EngineProcess,
  EngineProcesses,
  ProcessExit,
  SpawnOrder,
} from "../process.ts";
import { LogFile } from "./log_file.ts";
import { killGroup } from "./process_group.ts";
import type { RunDir } from "./run_dir.ts";

/** Lines kept of a process, for the reason of its end. */
const RING_LINES_MAX = 200;
/** The longest line that is of use is the server's report of readiness, some 600 characters. */
const LINE_CHARS_MAX = 4096;
/** `setpriv` only asks the kernel. */
const SETPRIV_TIMEOUT_MS = 5_000;
/** How long the rest of the output may take after the end: a grandchild may hold the pipe open. */
const DRAIN_MS = 1_000;

/** What {@link engineProcesses} works with. */
export interface EngineProcessesOptions {
  readonly runDir: Pick<RunDir, "noteChild">;
  /** File that receives the output; a rotated one stands beside it. Without it nothing is written. */
  readonly logPath?: string;
  /** Whether the kernel is asked to end children with us, where it can. @default {true} */
  readonly usesSetpriv?: boolean;
}

/** Starts programs, each noted in the run folder, in a group of its own. */
export function engineProcesses(options: EngineProcessesOptions): EngineProcesses {
  const { runDir, logPath, usesSetpriv = true } = options;
  let guard: Promise<readonly string[]> | undefined;
  return {
    async spawn(order): Promise<EngineProcess> {
      guard ??= usesSetpriv ? findGuard() : Promise.resolve([]);
      const child = spawnChild(order, await guard);
      const process = new ChildProcess(child, order, logPath);
      void process.followUntilEnd(await noteOrEnd(runDir, child, order.name));
      return process;
    },
  };
}

/** A child that cannot be noted could outlive us, so it must not live at all. */
async function noteOrEnd(
  runDir: Pick<RunDir, "noteChild">,
  child: Deno.ChildProcess,
  name: string,
): Promise<() => Promise<void>> {
  try {
    return await runDir.noteChild(child.pid, name);
  } catch (error) {
    killGroup(child.pid, "SIGKILL");
    await Promise.all([
      child.stdin.abort().catch(() => {}),
      child.stdout.cancel().catch(() => {}),
      child.stderr.cancel().catch(() => {}),
      child.status,
    ]);
    throw error;
  }
}

/** The words before a command that make it end with us; none where the system has no such thing. */
async function findGuard(): Promise<readonly string[]> {
  if (Deno.build.os !== "linux") return [];
  const words = ["setpriv", "--pdeathsig", "KILL", "--"];
  try {
    // Some are without this option: trying it tells.
    const { code } = await runCommand({
      command: words[0] ?? "",
      args: [...words.slice(1), "true"],
      timeoutMs: SETPRIV_TIMEOUT_MS,
    });
    return code === 0 ? words : [];
  } catch {
    return [];
  }
}

function spawnChild(order: SpawnOrder, guard: readonly string[]): Deno.ChildProcess {
  const [command = order.command, ...args] = [...guard, order.command, ...order.args];
  return new Deno.Command(command, {
    args,
    env: guard.length === 0 ? { ...order.env } : withPath(order.env),
    clearEnv: true,
    ...(order.cwd === undefined ? {} : { cwd: order.cwd }),
    // Held open until the end: servers that follow it end with us.
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    detached: Deno.build.os !== "windows",
  }).spawn();
}

/** `setpriv` itself is looked for on a path. */
function withPath(env: Readonly<Record<string, string>>): Record<string, string> {
  return { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ...env };
}

class ChildProcess implements EngineProcess {
  readonly pid: number;
  readonly exited: Promise<ProcessExit>;
  readonly #child: Deno.ChildProcess;
  readonly #order: SpawnOrder;
  readonly #log: LogFile | undefined;
  readonly #ring = new LineRing({ linesMax: RING_LINES_MAX, lineCharsMax: LINE_CHARS_MAX });
  readonly #resolveExited: (exit: ProcessExit) => void;
  #isServing = false;
  #isInputOpen = true;

  constructor(child: Deno.ChildProcess, order: SpawnOrder, logPath: string | undefined) {
    this.pid = child.pid;
    this.#child = child;
    this.#order = order;
    this.#log = logPath === undefined ? undefined : new LogFile(logPath);
    const { promise, resolve } = Promise.withResolvers<ProcessExit>();
    this.exited = promise;
    this.#resolveExited = resolve;
  }

  kill(signal: EndSignal): void {
    killGroup(this.pid, signal);
    // A server that follows its input stays until that ends, however politely it was asked.
    void this.#closeInput();
  }

  beginServing(): void {
    this.#isServing = true;
  }

  /** Reads its output until it ends, then forgets its record and tells that it ended. */
  async followUntilEnd(forget: () => Promise<void>): Promise<void> {
    const drained = new AbortController();
    const output = Promise.all([
      this.#follow(this.#child.stdout, drained.signal),
      this.#follow(this.#child.stderr, drained.signal),
    ]);
    const { code, signal } = await this.#child.status;
    const timer = setTimeout(() => drained.abort(), DRAIN_MS);
    await output;
    clearTimeout(timer);
    await this.#closeInput();
    await this.#log?.close();
    // A record that cannot be removed is seen through at the next start: the process is gone.
    await forget().catch(() => {});
    const lastLines = this.#ring.last(RING_LINES_MAX);
    this.#resolveExited({ code, lastLines, ...(signal === null ? {} : { signal }) });
  }

  async #closeInput(): Promise<void> {
    if (!this.#isInputOpen) return;
    this.#isInputOpen = false;
    // It may have ended, and its end of the pipe with it.
    await this.#child.stdin.close().catch(() => {});
  }

  async #follow(stream: ReadableStream<Uint8Array>, drained: AbortSignal): Promise<void> {
    const decoder = new TextDecoder();
    const splitter = new LineRing({ linesMax: 1, lineCharsMax: LINE_CHARS_MAX });
    const reader = stream.getReader();
    const cancel = () => void reader.cancel().catch(() => {});
    drained.addEventListener("abort", cancel, { once: true });
    try {
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        for (const line of splitter.push(decoder.decode(part.value, { stream: true }))) {
          this.#take(line);
        }
      }
      for (const line of splitter.push("\n")) this.#take(line);
    } catch {
      // The pipe broke with the process: its exit says the rest.
    } finally {
      drained.removeEventListener("abort", cancel);
    }
  }

  #take(line: string): void {
    if (line === "") return;
    this.#order.onLine(line);
    if (isControlLine(line)) return;
    const kept = this.#isServing ? keepHarmless(line) : line;
    if (kept === undefined) return;
    this.#ring.push(`${kept}\n`);
    this.#log?.write(kept);
  }
}
