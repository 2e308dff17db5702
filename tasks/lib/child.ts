/**
 * Runs a program as a group of its own and ends the whole group: at a limit, on Ctrl-C, on SIGTERM. What it
 * prints goes straight to the terminal.
 *
 * @module
 */

/** Time between the polite signal and the last one. */
const GRACE_MS = 5_000;

/** How to run a program. */
export interface ChildOptions {
  readonly args: readonly string[];
  /** @default the working directory of this process */
  readonly cwd?: string;
  /** Added to the environment of this process. */
  readonly env?: Readonly<Record<string, string>>;
  readonly limitMs: number;
}

/** How it ended. */
export interface ChildEnd {
  readonly exitCode: number;
  /** Why it was ended from outside, if it was. */
  readonly stoppedBecause?: string;
}

/** Runs `command` to its end, or to ours. */
export async function runChild(command: string, options: ChildOptions): Promise<ChildEnd> {
  const { args, cwd, env, limitMs } = options;
  const isWindows = Deno.build.os === "windows";
  const child = new Deno.Command(command, {
    args: [...args],
    ...(cwd === undefined ? {} : { cwd }),
    ...(env === undefined ? {} : { env: { ...env } }),
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
    detached: !isWindows,
  }).spawn();
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
    return { exitCode: status.code, ...(stoppedBecause === undefined ? {} : { stoppedBecause }) };
  } finally {
    clearTimeout(timer);
    clearTimeout(lastResort);
    Deno.removeSignalListener("SIGINT", onInterrupt);
    if (!isWindows) Deno.removeSignalListener("SIGTERM", onTerminate);
    // Whatever the program started and left behind goes with it.
    if (stoppedBecause !== undefined) signalGroup(child, "SIGKILL");
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
