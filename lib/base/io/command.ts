import { UserError } from "../errors.ts";

/** Output kept of a helper program unless told otherwise. */
const OUTPUT_BYTES_MAX = 1024 * 1024;
/** Time that the pipes get to run empty after the program ended: a grandchild may hold them open. */
const DRAIN_MS = 1000;

/** A short-lived helper program and its limits. */
export interface RunCommandOptions {
  /** Absolute path, or a name that is looked for on `PATH`. */
  readonly command: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** True: the program sees `env` and nothing of our own environment. @default {false} */
  readonly clearEnv?: boolean;
  readonly cwd?: string;
  /** Written to the program's standard input; without it the input is empty. */
  readonly stdin?: string;
  readonly timeoutMs: number;
  /** Bound on standard output and on standard error, each. @default {1048576} */
  readonly outputBytesMax?: number;
  readonly signal?: AbortSignal;
}

/** How a helper program ended; any exit status is an answer. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Why a helper program gave no answer. */
export type CommandFailure = "not-found" | "not-startable" | "timeout" | "output";

/** A helper program did not get as far as an exit status of its own. */
export class CommandError extends UserError {
  override readonly name = "CommandError";
  readonly command: string;
  readonly failure: CommandFailure;

  constructor(command: string, failure: CommandFailure, reason: string, options?: ErrorOptions) {
    super(`Cannot run "${command}": ${reason}`, options);
    this.command = command;
    this.failure = failure;
  }
}

/**
 * Runs a helper program to its end, within limits: at the limit of time or output it is killed with
 * all its children.
 *
 * @throws {CommandError} when it cannot be started or ran into a limit
 */
export async function runCommand(options: RunCommandOptions): Promise<CommandResult> {
  options.signal?.throwIfAborted();
  const child = spawn(options);
  const limits = new AbortController();
  const timer = setTimeout(() => limits.abort(tooSlow(options)), options.timeoutMs);
  const onAbort = () => limits.abort(options.signal?.reason);
  options.signal?.addEventListener("abort", onAbort, { once: true });
  try {
    return await collect(child, options, limits);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", onAbort);
  }
}

function spawn(options: RunCommandOptions): Deno.ChildProcess {
  const { command, args = [], env = {}, clearEnv = false, cwd, stdin } = options;
  try {
    return new Deno.Command(command, {
      args: [...args],
      env: { ...env },
      clearEnv,
      ...(cwd === undefined ? {} : { cwd }),
      stdin: stdin === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
      // A group of its own, so that its children end with it.
      detached: Deno.build.os !== "windows",
    }).spawn();
  } catch (cause) {
    const isMissing = cause instanceof Deno.errors.NotFound;
    const reason = isMissing ? "no such program" : "the system refused to start it";
    throw new CommandError(command, isMissing ? "not-found" : "not-startable", reason, { cause });
  }
}

async function collect(
  child: Deno.ChildProcess,
  options: RunCommandOptions,
  limits: AbortController,
): Promise<CommandResult> {
  const maxBytes = options.outputBytesMax ?? OUTPUT_BYTES_MAX;
  const onTooMuch = () => limits.abort(tooMuch(options, maxBytes));
  const drained = new AbortController();
  const onLimit = () => {
    killGroup(child);
    drained.abort();
  };
  limits.signal.addEventListener("abort", onLimit, { once: true });
  if (limits.signal.aborted) onLimit();
  const outputs = Promise.all([
    readBounded(child.stdout, { maxBytes, onTooMuch, stop: drained.signal }),
    readBounded(child.stderr, { maxBytes, onTooMuch, stop: drained.signal }),
    feed(child, options.stdin, drained.signal),
  ]);
  const { code } = await child.status;
  const drainTimer = setTimeout(() => drained.abort(), DRAIN_MS);
  const [stdout, stderr] = await outputs.finally(() => clearTimeout(drainTimer));
  if (limits.signal.aborted) throw limits.signal.reason;
  return { code, stdout, stderr };
}

async function feed(
  child: Deno.ChildProcess,
  text: string | undefined,
  stop: AbortSignal,
): Promise<void> {
  if (text === undefined) return;
  const writer = child.stdin.getWriter();
  stop.addEventListener("abort", () => void writer.abort().catch(() => {}), { once: true });
  try {
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
  } catch {
    // The program ended without reading all of it; its exit status tells the rest.
  }
}

interface ReadBoundedOptions {
  readonly maxBytes: number;
  readonly onTooMuch: () => void;
  readonly stop: AbortSignal;
}

async function readBounded(
  stream: ReadableStream<Uint8Array>,
  { maxBytes, onTooMuch, stop }: ReadBoundedOptions,
): Promise<string> {
  const reader = stream.getReader();
  const cancel = () => void reader.cancel().catch(() => {});
  stop.addEventListener("abort", cancel, { once: true });
  if (stop.aborted) cancel();
  const decoder = new TextDecoder();
  let text = "";
  let total = 0;
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      total += part.value.byteLength;
      if (total > maxBytes) {
        onTooMuch();
        break;
      }
      text += decoder.decode(part.value, { stream: true });
    }
    return text + decoder.decode();
  } finally {
    stop.removeEventListener("abort", cancel);
    await reader.cancel().catch(() => {});
  }
}

function killGroup(child: Deno.ChildProcess): void {
  try {
    if (Deno.build.os === "windows") child.kill("SIGKILL");
    else Deno.kill(-child.pid, "SIGKILL");
  } catch {
    // It ended in the meantime.
  }
}

function tooSlow({ command, timeoutMs }: RunCommandOptions): CommandError {
  return new CommandError(command, "timeout", `it took longer than ${timeoutMs} ms`);
}

function tooMuch({ command }: RunCommandOptions, maxBytes: number): CommandError {
  return new CommandError(command, "output", `it printed more than ${maxBytes} bytes`);
}
