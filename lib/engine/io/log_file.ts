import { dirname } from "node:path";
import { ensureDir, removeIfAny, writeAll } from "~/base/io/files.ts";
import { Lane } from "~/base/lane.ts";

/** One file; with the one before it, twice as much is kept. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;
/** Lines that may wait for the disk; more are dropped, because memory matters more than a log. */
const PENDING_LINES_MAX = 2000;

/**
 * A log of bounded size: when it is full it becomes `<path>.1`, in place of the one before, and a
 * new one is begun. Only its owner may read it. A disk that is full or slow costs lines, nothing else.
 */
export class LogFile {
  readonly #path: string;
  readonly #fileBytesMax: number;
  readonly #lane = new Lane();
  #file: Deno.FsFile | undefined;
  #sizeBytes = 0;
  #pending = 0;
  #dropped = 0;

  constructor(path: string, options: { readonly fileBytesMax?: number } = {}) {
    this.#path = path;
    this.#fileBytesMax = options.fileBytesMax ?? FILE_BYTES_MAX;
  }

  /** Adds a line; returns at once. */
  write(line: string): void {
    if (this.#pending >= PENDING_LINES_MAX) {
      this.#dropped += 1;
      return;
    }
    this.#pending += 1;
    const gap = this.#dropped === 0 ? "" : `(${this.#dropped} lines were dropped)\n`;
    this.#dropped = 0;
    const bytes = new TextEncoder().encode(`${gap}${line}\n`);
    this.#lane.run(() => this.#append(bytes)).catch(() => this.#forget())
      .finally(() => this.#pending -= 1);
  }

  /** Writes what waits, and closes the file. */
  async close(): Promise<void> {
    await this.#lane.run(() => this.#forget());
  }

  async #append(bytes: Uint8Array): Promise<void> {
    if (this.#file !== undefined && this.#sizeBytes + bytes.byteLength > this.#fileBytesMax) {
      this.#forget();
      await this.#rotate();
    }
    this.#file ??= await this.#open();
    await writeAll(this.#file, bytes);
    this.#sizeBytes += bytes.byteLength;
  }

  async #open(): Promise<Deno.FsFile> {
    await ensureDir(dirname(this.#path), 0o700);
    const file = await Deno.open(this.#path, { append: true, create: true, mode: 0o600 });
    const { size } = await file.stat();
    this.#sizeBytes = size;
    return file;
  }

  async #rotate(): Promise<void> {
    await removeIfAny(`${this.#path}.1`);
    await Deno.rename(this.#path, `${this.#path}.1`);
  }

  #forget(): void {
    this.#file?.close();
    this.#file = undefined;
  }
}
