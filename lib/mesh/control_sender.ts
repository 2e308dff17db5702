/** The sending half of a control stream: a queue that is bounded by bytes. */
import { MIB } from "../base/units.ts";
import { BatchWriter } from "./batch_writer.ts";
import type { ByteStream } from "./transport.ts";

/** Twice what a mesh full of records takes (4 MiB). A peer that leaves this unread is not served further. */
const QUEUE_BYTES_MAX = 8 * MIB;

/** Why nothing can be sent any more. */
export type SendFailure = "slow" | "lost";

/** Sends frames in order. */
export class ControlSender {
  readonly #bytes: ByteStream;
  readonly #writer: BatchWriter;
  readonly #onFailure: (failure: SendFailure) => void;

  /** @param onFailure called at most once */
  constructor(bytes: ByteStream, onFailure: (failure: SendFailure) => void) {
    this.#bytes = bytes;
    this.#onFailure = onFailure;
    this.#writer = new BatchWriter(bytes, () => onFailure("lost"));
  }

  /** Queues a frame. */
  send(frame: Uint8Array): void {
    this.#writer.push(frame);
    if (this.#writer.queuedBytes <= QUEUE_BYTES_MAX) return;
    this.#writer.stop();
    this.#onFailure("slow");
  }

  /** Sends what is queued and ends the stream; resolves when the bytes are on their way or nobody takes them. */
  async finish(): Promise<void> {
    await this.#writer.drained();
    await this.#bytes.end().catch(() => {});
  }
}
