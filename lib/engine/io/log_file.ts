import { dirname } from "node:path";
import { joined } from "~/base/bytes.ts";
import { ensureDir, removeIfAny, writeAll } from "~/base/io/files.ts";
import { Lane } from "~/base/lane.ts";

/** One file; with the one before it, twice as much is kept. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;
/** Lines that may wait for the disk; more are dropped, because memory matters more than a log. */
const PENDING_LINES_MAX = 2000;
/**
 * Lines are collected for so long, and written together: each write costs some hundred microseconds and
 * an engine says ten lines per request.
 */
const FLUSH_MS = 250;
/** So much is written at once, without waiting. */
const FLUSH_BYTES = 64 * 1024;

const ENCODER = new TextEncoder();

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
  /** Lines that were not handed to the disk yet. */
  #lines: Uint8Array<ArrayBuffer>[] = [];
  #linesBytes = 0;
  /** Lines that are not on the disk yet, handed to it or not. */
  #pending = 0;
  #dropped = 0;
  #flushTimer: ReturnType<typeof setTimeout> | undefined;

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
    const gap = this.#dropped === 0 ? "" : `(${this.#dropped} lines were dropped)\n`;
    this.#dropped = 0;
    this.#pending += 1;
    const bytes = ENCODER.encode(`${gap}${line}\n`);
    this.#lines.push(bytes);
    this.#linesBytes += bytes.length;
    if (this.#linesBytes >= FLUSH_BYTES) void this.#flush();
    else this.#flushTimer ??= setTimeout(() => void this.#flush(), FLUSH_MS);
  }

  /** Writes what waits, and closes the file. */
  async close(): Promise<void> {
    await this.#flush();
    await this.#lane.run(() => this.#forget());
  }

  async #flush(): Promise<void> {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    const lines = this.#lines;
    this.#lines = [];
    this.#linesBytes = 0;
    try {
      await this.#lane.run(() => this.#append(lines));
    } catch {
      this.#forget();
    } finally {
      this.#pending -= lines.length;
    }
  }

  async #append(lines: readonly Uint8Array[]): Promise<void> {
    for (let next = 0; next < lines.length;) {
      this.#file ??= await this.#open();
      const count = this.#countThatFits(lines, next);
      if (count === 0) {
        this.#forget();
        await this.#rotate();
        continue;
      }
      const bytes = joined(lines.slice(next, next + count));
      await writeAll(this.#file, bytes);
      this.#sizeBytes += bytes.length;
      next += count;
    }
  }

  /** How many lines the file still takes; a line that is larger than a whole file counts as fitting. */
  #countThatFits(lines: readonly Uint8Array[], from: number): number {
    let sizeBytes = this.#sizeBytes;
    let count = 0;
    for (const line of lines.slice(from)) {
      sizeBytes += line.length;
      if (sizeBytes > this.#fileBytesMax && (count > 0 || this.#sizeBytes > 0)) return count;
      count += 1;
    }
    return count;
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
