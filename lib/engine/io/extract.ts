/**
 * Unpacks archives that strangers made. Links come last, so that no file is ever written through
 * one, and each is followed once to see that it stays inside.
 */
import { createReadStream } from "node:fs";
import { dirname, join, sep } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { Unzip, type UnzipFile, UnzipInflate } from "fflate";
import tar from "tar-stream";
import { ensureDir, writeAll } from "~/base/io/files.ts";
import { MIB } from "~/base/units.ts";
import { ArchiveBudget, type ArchiveEntry, ArchiveError, judgeEntry } from "../archive.ts";

/** Upstream's archives hold about 100 entries and, with CUDA, 1.5 GiB. */
const LIMITS = { entriesMax: 5000, totalBytesMax: 4096 * MIB };
/** Read at a time from a zip, which is inflated on the main thread: at worst 8 MiB come out. */
const ZIP_CHUNK_BYTES = 8 * 1024;

const EXECUTABLE_MODE = 0o755;
const PLAIN_MODE = 0o644;

/**
 * Unpacks `archive` (`.tar.gz` or `.zip`) into the folder `dir`.
 *
 * @returns paths of all files and links, relative to `dir`, with `/`
 * @throws {ArchiveError} when it holds what no honest archive does; `dir` is then of no use
 */
export async function unpackArchive(
  archive: string,
  dir: string,
  options: {
    readonly signal: AbortSignal;
    readonly limits?: { readonly entriesMax: number; readonly totalBytesMax: number };
  },
): Promise<string[]> {
  const writer = new ArchiveWriter(dir, new ArchiveBudget(options.limits ?? LIMITS));
  try {
    if (archive.endsWith(".zip")) await unpackZip(archive, writer, options.signal);
    else await unpackTar(archive, writer, options.signal);
  } catch (error) {
    options.signal.throwIfAborted();
    if (error instanceof ArchiveError || hasDiskCode(error)) throw error;
    throw new ArchiveError(`The archive is damaged: ${String(error).slice(0, 200)}`, {
      cause: error,
    });
  }
  return await writer.finish();
}

/** Makes files as the judge allows them. */
class ArchiveWriter {
  readonly #dir: string;
  readonly #budget: ArchiveBudget;
  readonly #files: string[] = [];
  readonly #links: { path: string; target: string }[] = [];

  constructor(dir: string, budget: ArchiveBudget) {
    this.#dir = dir;
    this.#budget = budget;
  }

  /** Opens the file for an entry; undefined when the entry has no content. */
  async add(entry: ArchiveEntry, isExecutable: boolean): Promise<Deno.FsFile | undefined> {
    const verdict = judgeEntry(entry);
    if (verdict.kind === "skip") return undefined;
    if (verdict.kind === "folder") {
      await ensureDir(join(this.#dir, verdict.path));
      return undefined;
    }
    this.#budget.addEntry(verdict.path);
    if (verdict.kind === "link") {
      this.#links.push(verdict);
      return undefined;
    }
    const path = join(this.#dir, verdict.path);
    await ensureDir(dirname(path));
    this.#files.push(verdict.path);
    const mode = isExecutable ? EXECUTABLE_MODE : PLAIN_MODE;
    const file = await Deno.open(path, { write: true, createNew: true, mode });
    if (Deno.build.os !== "windows") await Deno.chmod(path, mode);
    return file;
  }

  async write(file: Deno.FsFile | undefined, bytes: Uint8Array): Promise<void> {
    this.#budget.addBytes(bytes.byteLength);
    if (file !== undefined) await writeAll(file, bytes);
  }

  /** Makes the links. */
  async finish(): Promise<string[]> {
    for (const { path, target } of this.#links) {
      const at = join(this.#dir, path);
      await ensureDir(dirname(at));
      await Deno.symlink(target, at).catch((cause) => {
        throw new ArchiveError(`The archive is refused: its link "${path}" is in the way`, {
          cause,
        });
      });
    }
    const root = await Deno.realPath(this.#dir) + sep;
    for (const { path } of this.#links) await this.#checkLink(path, root);
    return [...this.#files, ...this.#links.map(({ path }) => path)];
  }

  /** Several links together may lead out although none does alone. */
  async #checkLink(path: string, root: string): Promise<void> {
    const target = await Deno.realPath(join(this.#dir, path)).catch(() => undefined);
    if (target === undefined || !target.startsWith(root)) {
      throw new ArchiveError(`The archive is refused: its link "${path}" leads nowhere inside`);
    }
  }
}

async function unpackTar(
  archive: string,
  writer: ArchiveWriter,
  signal: AbortSignal,
): Promise<void> {
  const entries = tar.extract();
  const source = createReadStream(archive);
  const closed = new Promise<void>((resolve) => source.once("close", resolve));
  const feeding = pipeline(source, createGunzip(), entries, { signal });
  // The loop below sees the same failure; without this it would count as unhandled.
  feeding.catch(() => {});
  try {
    for await (const entry of entries) {
      const { name, type, linkname, mode } = entry.header;
      const kind = TAR_KINDS.get(type ?? "file") ?? "other";
      const target = linkname === null || linkname === undefined ? {} : { target: linkname };
      using file = await writer.add({ kind, path: name, ...target }, ((mode ?? 0) & 0o111) !== 0);
      for await (const chunk of entry) await writer.write(file, chunk as Uint8Array);
    }
    await feeding;
  } finally {
    // Whoever unpacks in vain removes the archive next, which Windows refuses while it is open.
    source.destroy();
    await closed;
  }
}

const TAR_KINDS: ReadonlyMap<string, ArchiveEntry["kind"]> = new Map([
  ["file", "file"],
  ["contiguous-file", "file"],
  ["directory", "folder"],
  ["symlink", "symlink"],
  ["link", "hardlink"],
]);

async function unpackZip(
  archive: string,
  writer: ArchiveWriter,
  signal: AbortSignal,
): Promise<void> {
  const pieces: ZipPiece[] = [];
  const unzip = new Unzip((file) => {
    pieces.push({ kind: "entry", file });
    file.ondata = (error, bytes, isLast) => {
      if (error !== null) pieces.push({ kind: "failed", error });
      else pieces.push({ kind: "bytes", bytes, isLast });
    };
    file.start();
  });
  unzip.register(UnzipInflate);
  using source = await Deno.open(archive, { read: true });
  await using sink = new ZipSink(writer);
  const buffer = new Uint8Array(ZIP_CHUNK_BYTES);
  for (let n = await source.read(buffer); n !== null; n = await source.read(buffer)) {
    signal.throwIfAborted();
    unzip.push(buffer.slice(0, n));
    await sink.take(pieces.splice(0));
  }
  unzip.push(new Uint8Array(), true);
  await sink.take(pieces.splice(0));
  sink.checkComplete();
}

type ZipPiece =
  | { readonly kind: "entry"; readonly file: UnzipFile }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array; readonly isLast: boolean }
  | { readonly kind: "failed"; readonly error: Error };

/** Writes what the unzipper found, one entry after the other as they lie in the file. */
class ZipSink implements AsyncDisposable {
  readonly #writer: ArchiveWriter;
  #file: Deno.FsFile | undefined;
  #isInside = false;
  #count = 0;

  constructor(writer: ArchiveWriter) {
    this.#writer = writer;
  }

  async take(pieces: readonly ZipPiece[]): Promise<void> {
    for (const piece of pieces) {
      if (piece.kind === "failed") throw piece.error;
      if (piece.kind === "entry") await this.#begin(piece.file.name);
      else await this.#continue(piece.bytes, piece.isLast);
    }
  }

  checkComplete(): void {
    if (this.#isInside || this.#count === 0) throw new ArchiveError("The archive is cut off");
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#close();
    return Promise.resolve();
  }

  async #begin(name: string): Promise<void> {
    if (this.#isInside) throw new ArchiveError("The archive is damaged: its entries overlap");
    this.#isInside = true;
    this.#count += 1;
    // Names with backslashes are refused by the judge; the format has "/" only.
    const kind = name.endsWith("/") ? "folder" : "file";
    // Zip files for Windows carry no modes; elsewhere what is in one must be runnable.
    this.#file = await this.#writer.add({ kind, path: name }, true);
  }

  async #continue(bytes: Uint8Array, isLast: boolean): Promise<void> {
    await this.#writer.write(this.#file, bytes);
    if (!isLast) return;
    this.#close();
    this.#isInside = false;
  }

  #close(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}

/** True for what the operating system said, such as that the disk is full. */
function hasDiskCode(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" && /^E(NOSPC|DQUOT|ACCES|PERM|IO|ROFS)$/.test(code);
}
