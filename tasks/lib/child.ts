/**
 * Runs a program as a group of its own and ends the whole group: at a limit, on Ctrl-C, on SIGTERM. What it
 * prints goes straight to the terminal, or to whoever wants it.
 *
 * @module
 */

/** Time between the polite signal and the last one. */
const GRACE_MS = 5_000;
/** After the end of a program, for output that was not read yet. */
const LAST_WORDS_MS = 2_000;

/** How to run a program. */
export interface ChildOptions {
  readonly args: readonly string[];
  /** @default the working directory of this process */
  readonly cwd?: string;
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  readonly limitMs: number;
  /** Takes what it prints, both outputs in the order in which they come. @default the terminal */
  readonly onOutput?: (bytes: Uint8Array) => void;
}

/** How it ended. */
export interface ChildEnd {
  readonly exitCode: number;
  /** Why it was ended from outside, if it was. */
  readonly stoppedBecause?: string;
}

/** Runs `command` to its end, or to ours. */
export async function runChild(command: string, options: ChildOptions): Promise<ChildEnd> {
  const { args, cwd, env, limitMs, onOutput } = options;
  const isWindows = Deno.build.os === "windows";
  const child = new Deno.Command(command, {
    args: [...args],
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env: { ...env } }),
    stdin: "null",
    stdout: onOutput === undefined ? "inherit" : "piped",
    stderr: onOutput === undefined ? "inherit" : "piped",
    detached: !isWindows,
  }).spawn();
  const output = onOutput === undefined ? undefined : new Output(child, onOutput);
  let stoppedBecause: string | undefined;
  let lastResort: ReturnType<typeof setTimeout> | undefined;
  const stop = (why: string, signal: Deno.Signal) => {
    stoppedBecause ??= why;
    signalGroup(child, signal);
    lastResort ??= setTimeout(() => signalGroup(child, "SIGKILL"), GRACE_MS);
  };
  const onInterrupt = () => stop("interrupted", "SIGINT");
  const onTerminate = () => stop("terminated", "SIGTERM");
  const timer = setTimeout(() => stop(`after ${limitMs / 1000} s`, "SIGTERM"), limitMs);
  Deno.addSignalListener("SIGINT", onInterrupt);
  if (!isWindows) Deno.addSignalListener("SIGTERM", onTerminate);
  try {
    const status = await child.status;
    // Whatever the program started and left behind goes with it.
    if (stoppedBecause !== undefined) signalGroup(child, "SIGKILL");
    await output?.end();
    return { exitCode: status.code, ...(stoppedBecause === undefined ? {} : { stoppedBecause }) };
  } finally {
    clearTimeout(timer);
    clearTimeout(lastResort);
    Deno.removeSignalListener("SIGINT", onInterrupt);
    if (!isWindows) Deno.removeSignalListener("SIGTERM", onTerminate);
  }
}

/** What a program prints, until it has ended and all of it was read. */
class Output {
  readonly #left = new AbortController();
  readonly #pumps: readonly Promise<void>[];

  constructor({ stdout, stderr }: Deno.ChildProcess, take: (bytes: Uint8Array) => void) {
    this.#pumps = [stdout, stderr].map((stream) => this.#pump(stream, take));
  }

  /** Waits for the last words; not for long, since a child that was left behind may keep the pipes open. */
  async end(): Promise<void> {
    const timer = setTimeout(() => this.#left.abort(), LAST_WORDS_MS);
    await Promise.all(this.#pumps);
    clearTimeout(timer);
  }

  async #pump(
    stream: ReadableStream<Uint8Array>,
    take: (bytes: Uint8Array) => void,
  ): Promise<void> {
    const { signal } = this.#left;
    try {
      await stream.pipeTo(new WritableStream({ write: take }), { signal });
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}

function signalGroup(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    if (Deno.build.os === "windows") child.kill(signal);
    else Deno.kill(-child.pid, signal);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound || error instanceof TypeError)) throw error;
  }
}

/** Runs `command` and returns what it printed; undefined when it is absent or fails. */
export async function outputOf(
  command: string,
  args: readonly string[],
  cwd: string,
): Promise<string | undefined> {
  try {
    const output = await new Deno.Command(command, { args: [...args], cwd, stderr: "null" })
      .output();
    return output.success ? new TextDecoder().decode(output.stdout) : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
