/** Writes pieces to a stream in order, several at once where they are small: a write costs more than a copy. */
import { joined } from "../base/bytes.ts";
import { KIB } from "../base/units.ts";
import type { ByteStream } from "./transport.ts";

/** Written at once. */
const BATCH_BYTES = 64 * KIB;

/** The writing half of one stream. */
export class BatchWriter {
  readonly #bytes: ByteStream;
  readonly #onFailure: () => void;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #running: Promise<void> | undefined;
  #hasFailed = false;

  /** @param onFailure called once, when the stream takes no more */
  constructor(bytes: ByteStream, onFailure: () => void) {
    this.#bytes = bytes;
    this.#onFailure = onFailure;
  }

  /** Bytes that the stream has not taken yet. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Queues a piece, which must not change any more. Nothing is queued after a failure. */
  push(piece: Uint8Array): void {
    if (this.#hasFailed) return;
    this.#queue.push(piece);
    this.#queuedBytes += piece.length;
    this.#running ??= this.#run();
  }

  /** Resolves when everything queued is on its way, or the stream takes no more. */
  async drained(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** Forgets what is queued, and takes no more. */
  stop(): void {
    this.#hasFailed = true;
    this.#queue = [];
    this.#queuedBytes = 0;
  }

  async #run(): Promise<void> {
    // Whatever is pushed in the same turn goes in one piece.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#nextBatch();
      try {
        await this.#bytes.write(batch);
      } catch {
        if (this.#hasFailed) break;
        this.stop();
        this.#onFailure();
        break;
      }
      this.#queuedBytes = Math.max(0, this.#queuedBytes - batch.length);
    }
    this.#running = undefined;
  }

  #nextBatch(): Uint8Array {
    const batch: Uint8Array[] = [];
    let bytes = 0;
    for (const piece of this.#queue) {
      if (batch.length > 0 && bytes + piece.length > BATCH_BYTES) break;
      batch.push(piece);
      bytes += piece.length;
    }
    this.#queue = this.#queue.slice(batch.length);
    const [only] = batch;
    return batch.length === 1 && only !== undefined ? only : joined(batch);
  }
}
