import { dirname, join } from "node:path";
import { UserError } from "../errors.ts";

/** Bytes read at a time: large enough for speed, small enough to hash or check between two reads. */
const READ_CHUNK_BYTES = 64 * 1024;

/** A file is larger than its reader is ready to take. */
export class FileTooLargeError extends RangeError {
  override readonly name = "FileTooLargeError";
  readonly path: string;
  readonly maxBytes: number;

  constructor(path: string, maxBytes: number) {
    super(`Cannot read "${path}": it is larger than ${maxBytes} bytes`);
    this.path = path;
    this.maxBytes = maxBytes;
  }
}

/** Settings of {@link writeFileAtomic}. */
export interface WriteFileAtomicOptions {
  /** Permission bits of the new file; no effect on Windows. @default {0o644} */
  readonly mode?: number;
}

/**
 * Writes a whole file so that readers see the old one or the new one, never a part: into a
 * neighbour first, to the disk, then renamed over the old one.
 */
export async function writeFileAtomic(
  path: string,
  content: Uint8Array | string,
  options: WriteFileAtomicOptions = {},
): Promise<void> {
  const { mode = 0o644 } = options;
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  const temporary = join(dirname(path), `.${crypto.randomUUID()}.tmp`);
  try {
    await writeAndSync(temporary, bytes, mode);
    await Deno.rename(temporary, path);
  } catch (error) {
    await removeIfAny(temporary);
    throw error;
  }
}

async function writeAndSync(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true, mode });
  await writeAll(file, bytes);
  // The umask may have taken bits away, and a secret's mode must be exact either way.
  if (Deno.build.os !== "windows") await Deno.chmod(path, mode);
  await file.sync();
}

/** Writes every byte: one `write` may take only some of them. */
export async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  let written = 0;
  while (written < bytes.byteLength) written += await file.write(bytes.subarray(written));
}

/**
 * Reads a text file of at most `maxBytes` bytes; special files whose size is not known included.
 *
 * @throws {FileTooLargeError} when there is more
 * @throws {Deno.errors.NotFound} when there is no such file
 */
export async function readTextBounded(path: string, maxBytes: number): Promise<string> {
  using file = await Deno.open(path, { read: true });
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(Math.min(READ_CHUNK_BYTES, maxBytes + 1));
  let text = "";
  let total = 0;
  for (let count = await file.read(buffer); count !== null; count = await file.read(buffer)) {
    total += count;
    if (total > maxBytes) throw new FileTooLargeError(path, maxBytes);
    text += decoder.decode(buffer.subarray(0, count), { stream: true });
  }
  return text + decoder.decode();
}

/** Like {@link readTextBounded}, but undefined when there is no such file. */
export async function readTextIfAny(path: string, maxBytes: number): Promise<string | undefined> {
  try {
    return await readTextBounded(path, maxBytes);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Makes a folder and those above it; `mode` counts for new ones only. */
export async function ensureDir(path: string, mode = 0o755): Promise<void> {
  await Deno.mkdir(path, { recursive: true, mode });
}

/**
 * Makes a new, empty folder with a name of its own inside `parent` (made when absent). It lies on
 * the same disk as its neighbours, so that what is finished in it can be renamed into place.
 */
export async function makeTempDir(parent: string, prefix: string): Promise<string> {
  await ensureDir(parent);
  return await Deno.makeTempDir({ dir: parent, prefix });
}

/** Removes a file or a whole folder; nothing happens when it is not there. */
export async function removeIfAny(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Facts about what a path leads to, links followed; undefined when there is nothing. */
export async function statIfAny(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    throw error;
  }
}

/**
 * Refuses a path that is a link. In a folder that others may write to, a link with a name that can be
 * foreseen would make us overwrite a file of its owner's choice. To be asked after opening and before
 * changing anything.
 *
 * @throws {UserError} when it is one
 */
export async function refuseLink(path: string): Promise<void> {
  const info = await Deno.lstat(path).catch(() => undefined);
  if (info?.isSymlink !== true) return;
  throw new UserError(`Refusing to write to ${path}: it is a link; remove it`);
}

/** Makes a rename in `dir` survive a power cut, where the system can do that. */
export async function syncDir(dir: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  using handle = await Deno.open(dir, { read: true });
  // Some file systems refuse to sync a folder; the rename itself stands either way.
  await handle.sync().catch(() => {});
}
