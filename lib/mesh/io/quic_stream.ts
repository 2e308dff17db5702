/** A bidirectional QUIC stream of Deno as a {@link ByteStream}. */
import { KIB } from "../../base/units.ts";
import type { ByteStream } from "../transport.ts";

/** Buffer of a read: grows where much comes, shrinks where little does, as each read keeps its whole buffer. */
const READ_BYTES_MIN = 4 * KIB;
const READ_BYTES_MAX = 64 * KIB;

/**
 * What Deno does differently is evened out here: a read after a reset fails and one after an abort ends; a write
 * that is blocked is not freed by our own abort until the peer reads; in 2.4 it may fail with nothing at all, and
 * a write after the end of the connection may seem to succeed.
 */
export class QuicByteStream implements ByteStream {
  readonly #reader: ReadableStreamBYOBReader;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #blocked = new Set<(reason: Error) => void>();
  #readBytes = READ_BYTES_MIN;
  #isOver = false;

  readonly #onOver: () => void;

  /** @param onOver called once, when the stream was given up */
  constructor(stream: Deno.QuicBidirectionalStream, onOver: () => void) {
    this.#onOver = onOver;
    this.#reader = stream.readable.getReader({ mode: "byob" });
    this.#writer = stream.writable.getWriter();
    // Nobody waits for these; without a handler a failure of them would end the process.
    this.#reader.closed.catch(() => {});
    this.#writer.closed.catch(() => {});
    this.#writer.ready.catch(() => {});
  }

  async read(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (this.#isOver) return undefined;
    try {
      const { value, done } = await this.#reader.read(new Uint8Array(this.#readBytes));
      if (done || value === undefined || this.#isOver) return undefined;
      if (value.length === this.#readBytes) {
        this.#readBytes = Math.min(READ_BYTES_MAX, this.#readBytes * 2);
      } else if (value.length < this.#readBytes / 8) {
        this.#readBytes = Math.max(READ_BYTES_MIN, this.#readBytes / 2);
      }
      return value;
    } catch {
      return undefined;
    }
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#unlessOver(() => this.#writer.write(bytes));
  }

  end(): Promise<void> {
    return this.#unlessOver(() => this.#writer.close());
  }

  abort(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#onOver();
    for (const reject of this.#blocked) reject(new Error("The stream was given up"));
    this.#blocked.clear();
    this.#reader.cancel().catch(() => {});
    this.#writer.abort().catch(() => {});
  }

  #unlessOver(act: () => Promise<void>): Promise<void> {
    if (this.#isOver) return Promise.reject(new Error("The stream is over"));
    return new Promise((resolve, reject) => {
      this.#blocked.add(reject);
      act().then(() => {
        this.#blocked.delete(reject);
        resolve();
      }, (error: unknown) => {
        this.#blocked.delete(reject);
        reject(new Error("The stream takes no more", { cause: error }));
      });
    });
  }
}
