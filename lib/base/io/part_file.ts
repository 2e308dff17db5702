import { createHash, type Hash } from "node:crypto";
import { dirname } from "node:path";
import { isPartUsable, parsePartRecord, type PartRecord, type WantedFile } from "../transfer.ts";
import {
  readTextIfAny,
  refuseLink,
  removeIfAny,
  statIfAny,
  syncDir,
  writeFileAtomic,
} from "./files.ts";

/** Part records take about 400 bytes. */
const RECORD_BYTES_MAX = 16 * 1024;
/** Read at a time while hashing what is there: 1 MiB takes about 1 ms, so others get their turn. */
const HASH_CHUNK_BYTES = 1024 * 1024;

/** Writes some bytes and says how many; its own port so that tests can fill the disk. */
export type WriteSome = (file: Deno.FsFile, bytes: Uint8Array) => Promise<number>;

/**
 * An unfinished file: `<destination>.part`, and what it is a part of in `<destination>.part.json`.
 * The digest of what it holds runs along. Whoever has one open holds the lock of its destination.
 */
export class PartFile implements AsyncDisposable {
  readonly #destination: string;
  readonly #file: Deno.FsFile;
  readonly #writeSome: WriteSome;
  #hash: Hash = createHash("sha256");
  #sizeBytes = 0;
  #record: PartRecord | undefined;
  #isOpen = true;

  private constructor(destination: string, file: Deno.FsFile, writeSome: WriteSome) {
    this.#destination = destination;
    this.#file = file;
    this.#writeSome = writeSome;
  }

  /** Opens what an earlier try left, if that belongs to `wanted`; else begins with nothing. */
  static async open(
    destination: string,
    wanted: WantedFile,
    writeSome: WriteSome,
  ): Promise<PartFile> {
    const path = partPath(destination);
    const text = await readTextIfAny(recordPath(destination), RECORD_BYTES_MAX)
      .catch(() => undefined);
    const record = text === undefined ? undefined : parsePartRecord(text);
    const leftBytes = (await statIfAny(path))?.size ?? 0;
    const file = await Deno.open(path, { read: true, write: true, create: true });
    const part = new PartFile(destination, file, writeSome);
    try {
      await refuseLink(path);
      if (isPartUsable(record, leftBytes, wanted)) await part.#resume(record);
      else await part.startOver();
    } catch (error) {
      await part[Symbol.asyncDispose]();
      throw error;
    }
    return part;
  }

  /** How much is there. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** What it is a part of; undefined before the first answer. */
  get record(): PartRecord | undefined {
    return this.#record;
  }

  /** Says what the bytes to come are a part of. */
  async describe(record: PartRecord): Promise<void> {
    // An address may hold a secret of its own.
    await writeFileAtomic(recordPath(this.#destination), JSON.stringify(record), { mode: 0o600 });
    this.#record = record;
  }

  async append(bytes: Uint8Array): Promise<void> {
    let written = 0;
    while (written < bytes.byteLength) {
      const count = await this.#writeSome(this.#file, bytes.subarray(written));
      // Counted at once: after a full disk, the digest must still fit what is on it.
      this.#hash.update(bytes.subarray(written, written + count));
      this.#sizeBytes += count;
      written += count;
    }
  }

  /** Forgets everything that is there. */
  async startOver(): Promise<void> {
    await removeIfAny(recordPath(this.#destination));
    await this.#file.truncate(0);
    await this.#file.seek(0, Deno.SeekMode.Start);
    this.#hash = createHash("sha256");
    this.#sizeBytes = 0;
    this.#record = undefined;
  }

  /** SHA-256 of what is there, in lower-case hexadecimal. */
  digest(): string {
    return this.#hash.copy().digest("hex");
  }

  /** Gives the file its name. Nothing may follow. */
  async finish(): Promise<void> {
    await this.#file.sync();
    this.#close();
    await Deno.rename(partPath(this.#destination), this.#destination);
    await removeIfAny(recordPath(this.#destination));
    await syncDir(dirname(this.#destination));
  }

  /** Throws away what is there. Nothing may follow. */
  async discard(): Promise<void> {
    this.#close();
    await removeIfAny(partPath(this.#destination));
    await removeIfAny(recordPath(this.#destination));
  }

  /** Closes the file; what is there stays for the next try. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#close();
    return Promise.resolve();
  }

  #close(): void {
    if (this.#isOpen) this.#file.close();
    this.#isOpen = false;
  }

  async #resume(record: PartRecord | undefined): Promise<void> {
    const buffer = new Uint8Array(HASH_CHUNK_BYTES);
    for (let n = await this.#file.read(buffer); n !== null; n = await this.#file.read(buffer)) {
      this.#hash.update(buffer.subarray(0, n));
      this.#sizeBytes += n;
    }
    this.#record = record;
  }
}

/** Where the unfinished file of a destination lies. */
function partPath(destination: string): string {
  return `${destination}.part`;
}

function recordPath(destination: string): string {
  return `${destination}.part.json`;
}
