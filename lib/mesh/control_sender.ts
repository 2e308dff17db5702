/** The sending half of a control stream: a queue bounded by bytes, written in as few pieces as it allows. */
import { joined } from "../base/bytes.ts";
import { KIB, MIB } from "../base/units.ts";
import type { ByteStream } from "./transport.ts";

/** Twice what a mesh full of records takes (4 MiB). A peer that leaves this unread is not served further. */
const QUEUE_BYTES_MAX = 8 * MIB;
/** Written at once. */
const BATCH_BYTES = 64 * KIB;

/** Why nothing can be sent any more. */
export type SendFailure = "slow" | "lost";

/** Sends frames in order. */
export class ControlSender {
  readonly #bytes: ByteStream;
  readonly #onFailure: (failure: SendFailure) => void;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #pump: Promise<void> | undefined;
  #isOver = false;

  /** @param onFailure called at most once */
  constructor(bytes: ByteStream, onFailure: (failure: SendFailure) => void) {
    this.#bytes = bytes;
    this.#onFailure = onFailure;
  }

  /** Queues a frame. */
  send(frame: Uint8Array): void {
    if (this.#isOver) return;
    if (this.#queuedBytes + frame.length > QUEUE_BYTES_MAX) return this.#fail("slow");
    this.#queue.push(frame);
    this.#queuedBytes += frame.length;
    this.#pump ??= this.#run();
  }

  /** Sends what is queued and ends the stream; resolves when the bytes are on their way or nobody takes them. */
  async finish(): Promise<void> {
    await this.#pump;
    this.#isOver = true;
    await this.#bytes.end().catch(() => {});
  }

  async #run(): Promise<void> {
    // Whatever is sent in the same turn goes in one piece.
    await Promise.resolve();
    try {
      while (this.#queue.length > 0) await this.#bytes.write(this.#nextBatch());
    } catch {
      this.#fail("lost");
    }
    this.#pump = undefined;
  }

  #nextBatch(): Uint8Array {
    const batch: Uint8Array[] = [];
    let bytes = 0;
    for (const frame of this.#queue) {
      if (batch.length > 0 && bytes + frame.length > BATCH_BYTES) break;
      batch.push(frame);
      bytes += frame.length;
    }
    this.#queue = this.#queue.slice(batch.length);
    this.#queuedBytes -= bytes;
    const [only] = batch;
    return batch.length === 1 && only !== undefined ? only : joined(batch);
  }

  #fail(failure: SendFailure): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#queue = [];
    this.#onFailure(failure);
  }
}
