/** Runs the program itself, as a user would, in a process of its own with a home of its own. */
import { join } from "node:path";

/** No start takes this long; reaching it fails the test instead of hanging it. */
const DEADLINE_MS = 120_000;
const MAIN = new URL("../../main.ts", import.meta.url).pathname;
/** Settings of whoever runs the tests must not reach the program under test. */
const KEPT_OUT = /^(MESH_LLM_|HF_|HOME$|XDG_CACHE_HOME$)/;

/** How a node is started. */
export interface NodeProcessOptions {
  /** Flags after `serve`; ports default to free ones. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Home of the node; a fresh one, removed at the end, when absent. */
  readonly homeDir?: string;
  /** Command and arguments that run the program in their turn, and become it: `unshare …`. */
  readonly wrapper?: readonly string[];
}

/** A running node. */
export class NodeProcess implements AsyncDisposable {
  readonly homeDir: string;
  readonly pid: number;
  /** Resolves when the process has ended and all that it printed has been read. */
  readonly exited: Promise<Deno.CommandStatus>;
  readonly #child: Deno.ChildProcess;
  readonly #ownsHome: boolean;
  readonly #pumps: Promise<void>[];
  readonly #waiting = new Set<() => void>();
  #stdout = "";
  #stderr = "";
  #isOver = false;

  private constructor(child: Deno.ChildProcess, homeDir: string, ownsHome: boolean) {
    this.#child = child;
    this.pid = child.pid;
    this.homeDir = homeDir;
    this.#ownsHome = ownsHome;
    this.#pumps = [
      this.#pump(child.stdout, (text) => this.#stdout += text),
      this.#pump(child.stderr, (text) => this.#stderr += text),
    ];
    this.exited = child.status.then(async (status) => {
      this.#isOver = true;
      // The end is told by the kernel, the output by pipes: the last lines may come after it.
      await Promise.all(this.#pumps);
      this.#wake();
      return status;
    });
  }

  /** Starts a node; does not wait for anything. */
  static async start(options: NodeProcessOptions = {}): Promise<NodeProcess> {
    const homeDir = options.homeDir ?? await Deno.makeTempDir({ prefix: "mesh-llm-node-" });
    const program = [Deno.execPath(), "run", "-A", "--quiet", MAIN, "serve"];
    const words = [...options.wrapper ?? [], ...program, ...withFreePorts(options.args ?? [])];
    const command = new Deno.Command(words[0] ?? "", {
      args: words.slice(1),
      clearEnv: true,
      env: { ...passedOn(), HOME: homeDir, MESH_LLM_HOME: homeDir, NO_COLOR: "1", ...options.env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
    return new NodeProcess(command.spawn(), homeDir, options.homeDir === undefined);
  }

  /** True once its process has ended. */
  get hasEnded(): boolean {
    return this.#isOver;
  }

  /** Everything printed on stdout so far. */
  get stdout(): string {
    return this.#stdout;
  }

  /** Everything printed on stderr so far. */
  get stderr(): string {
    return this.#stderr;
  }

  /** Waits for a line on stdout that begins with `prefix`; returns the rest of it. */
  async line(prefix: string): Promise<string> {
    return await this.#until(() => {
      const line = this.#stdout.split("\n").slice(0, -1).find((text) => text.startsWith(prefix));
      return line?.slice(prefix.length).trim();
    }, `a line "${prefix}…" on stdout`);
  }

  /** Waits until stderr matches. */
  async told(pattern: RegExp): Promise<RegExpExecArray> {
    return await this.#until(() => pattern.exec(this.#stderr) ?? undefined, `${pattern} on stderr`);
  }

  /** Base of the OpenAI door, without `/v1`. */
  async apiBase(): Promise<string> {
    return (await this.line("API: ")).replace(/\/v1$/, "");
  }

  /** Base of the management door. */
  async consoleBase(): Promise<string> {
    return await this.line("Console: ");
  }

  /** The token for writing calls of the management door. */
  async managementToken(): Promise<string> {
    await this.consoleBase();
    return (await Deno.readTextFile(join(this.homeDir, "management-token"))).trim();
  }

  kill(signal: Deno.Signal): void {
    if (!this.#isOver) this.#child.kill(signal);
  }

  /** Ends the node in an orderly way and waits for it. */
  async stop(): Promise<Deno.CommandStatus> {
    this.kill("SIGTERM");
    return await this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const giveUp = setTimeout(() => this.kill("SIGKILL"), 30_000);
    this.kill("SIGTERM");
    await this.exited;
    clearTimeout(giveUp);
    if (this.#ownsHome) await Deno.remove(this.homeDir, { recursive: true });
  }

  async #pump(stream: ReadableStream<Uint8Array>, add: (text: string) => void): Promise<void> {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      add(text);
      this.#wake();
    }
    this.#wake();
  }

  async #until<T>(find: () => T | undefined, wanted: string): Promise<T> {
    const deadline = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => deadline.reject(this.#missed(wanted, "waited too long")),
      DEADLINE_MS,
    );
    try {
      for (;;) {
        const found = find();
        if (found !== undefined) return found;
        if (this.#isOver) {
          await Promise.all(this.#pumps);
          const late = find();
          if (late !== undefined) return late;
          throw this.#missed(wanted, "the node ended");
        }
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#waiting.add(resolve);
        await Promise.race([promise, deadline.promise]);
        this.#waiting.delete(resolve);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #missed(wanted: string, why: string): Error {
    return new Error(
      `No ${wanted}: ${why}\n--- stdout\n${this.#stdout}\n--- stderr\n${this.#stderr}`,
    );
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}

function withFreePorts(args: readonly string[]): string[] {
  const port = args.includes("--port") ? [] : ["--port", "0"];
  const console = args.includes("--console") ? [] : ["--console", "0"];
  return [...args, ...port, ...console];
}

/** The machine's environment, with Deno's cache where it is: it follows HOME otherwise. */
function passedOn(): Record<string, string> {
  const env = Deno.env.toObject();
  const cache = env["XDG_CACHE_HOME"] ?? join(env["HOME"] ?? "/", ".cache");
  const kept = Object.entries(env).filter(([name]) => !KEPT_OUT.test(name));
  return { DENO_DIR: join(cache, "deno"), ...Object.fromEntries(kept) };
}

/** Runs a command of the program to its end. */
export async function runProgram(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", MAIN, ...args],
    clearEnv: true,
    env: { ...passedOn(), NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code: output.code, stdout: decode(output.stdout), stderr: decode(output.stderr) };
}
