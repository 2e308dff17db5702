import { messageOf } from "../base/errors.ts";
import type { BodySink, IncomingBody } from "../base/http_door.ts";
import type { PeerStream } from "../mesh/link_ports.ts";

/** Bytes read and thrown away after an answer, so that the stream can end; who sends more is cut off. */
const DISCARDED_BYTES_MAX = 1024 * 1024;

/** The body of a peer's request: what follows its head, up to END. */
export class PeerBody implements IncomingBody {
  readonly declaredBytes: number;
  readonly #stream: PeerStream;
  readonly #misused: (what: string) => void;
  #receivedBytes = 0;
  #isEnded = false;
  #isStopped = false;
  #fault: Error | undefined;
  #reading: Promise<void> = Promise.resolve();

  /** @param misused told when the peer sends what no body can be */
  constructor(
    stream: PeerStream,
    options: { readonly sizeBytes: number; readonly misused: (what: string) => void },
  ) {
    this.#stream = stream;
    this.declaredBytes = options.sizeBytes;
    this.#misused = options.misused;
  }

  read(sink: BodySink): () => void {
    this.#reading = this.#deliver(sink);
    return () => {
      this.#isStopped = true;
    };
  }

  /** Whether all of it was read, to END. */
  get isEnded(): boolean {
    return this.#isEnded;
  }

  /**
   * Reads on to END, a little further than it was read. False when there is more than that: then the
   * stream is to be cancelled. Rejects when it breaks.
   */
  async discardRest(): Promise<boolean> {
    this.#isStopped = true;
    await this.#reading;
    let discardedBytes = 0;
    while (!this.#isEnded) {
      if (discardedBytes > DISCARDED_BYTES_MAX) return false;
      discardedBytes += (await this.#next())?.length ?? 0;
    }
    return true;
  }

  async #deliver(sink: BodySink): Promise<void> {
    try {
      while (!this.#isStopped) {
        const bytes = await this.#next();
        // It may have been stopped meanwhile.
        if (this.#isStopped) return;
        if (bytes === undefined) return sink.end();
        sink.chunk(bytes);
      }
    } catch (error) {
      sink.fail(error instanceof Error ? error : new Error(messageOf(error)));
    }
  }

  async #next(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (this.#fault !== undefined) throw this.#fault;
    const frame = await this.#stream.read();
    if (frame === undefined) {
      this.#isEnded = true;
      if (this.#receivedBytes < this.declaredBytes) throw this.#misuse("a body that is too short");
      return undefined;
    }
    if (frame.kind === "head") throw this.#misuse("a second head");
    if (frame.bytes.length === 0) throw this.#misuse("an empty piece");
    this.#receivedBytes += frame.bytes.length;
    if (this.#receivedBytes > this.declaredBytes) throw this.#misuse("a body that is too long");
    return frame.bytes;
  }

  #misuse(what: string): Error {
    this.#fault = new Error(`The peer sent ${what}`);
    this.#misused(this.#fault.message);
    return this.#fault;
  }
}
