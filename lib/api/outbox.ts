/**
 * Text on its way to a reader that may be slow: kept up to a bound, handed out when it asks.
 *
 *   open --end()----------------> ending --all was read--> over
 *     \---too much is unsent----> ending (the rest is forgotten)
 *
 * ending: a last text waits to be read, for a limited time. In every state a bounded amount is kept;
 * `onOver` is called exactly once, when nothing is kept any more.
 *
 * @module
 */
import type { CancelTimer, Timers } from "~/base/clock.ts";

/** How long a reader that was cut off may take to read the last text before it is given up. */
export const LAST_WORD_MS = 15_000;

/** What an {@link Outbox} is made with. */
export interface OutboxOptions {
  readonly timers: Timers;
  /** Unsent bytes at which the reader is cut off. */
  readonly unsentBytesMax: number;
  /** Said to a reader that was cut off, as its last text. */
  readonly tooSlowText: string;
  /** Called once, when the reader left, was given up, or read everything after the end. */
  readonly onOver: () => void;
}

/** A bounded queue of texts that ends in a stream of bytes. */
export class Outbox {
  /** What the reader reads. */
  readonly stream: ReadableStream<Uint8Array>;
  readonly #options: OutboxOptions;
  readonly #encoder = new TextEncoder();
  #state: "open" | "ending" | "over" = "open";
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #isReaderWaiting = false;
  #cancelGiveUp: CancelTimer = () => {};

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.stream = new ReadableStream<Uint8Array>({
      start: (controller) => void (this.#controller = controller),
      pull: () => this.#handOut(),
      cancel: () => this.#finish(),
    }, { highWaterMark: 0 });
  }

  /** False once it ended or was cut off: what is sent then is forgotten. */
  get isOpen(): boolean {
    return this.#state === "open";
  }

  /** Bytes that wait for the reader. */
  get unsentBytes(): number {
    return this.#queuedBytes;
  }

  /** Queues a text, or cuts the reader off when too much waits already. */
  send(text: string): void {
    if (this.#state !== "open") return;
    if (this.#queuedBytes < this.#options.unsentBytesMax) return this.#push(text);
    this.#queue = [];
    this.#queuedBytes = 0;
    this.end(this.#options.tooSlowText);
  }

  /** Ends the stream after what is queued and this last text. */
  end(lastText: string): void {
    if (this.#state !== "open") return;
    this.#state = "ending";
    this.#cancelGiveUp = this.#options.timers.after(LAST_WORD_MS, () => {
      this.#controller?.error(new Error("Cannot end this stream: its reader does not read"));
      this.#finish();
    });
    this.#push(lastText);
  }

  #push(text: string): void {
    const bytes = this.#encoder.encode(text);
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.byteLength;
    if (this.#isReaderWaiting) this.#handOut();
  }

  #handOut(): void {
    const bytes = this.#queue.shift();
    this.#isReaderWaiting = bytes === undefined;
    if (bytes === undefined) return;
    this.#queuedBytes -= bytes.byteLength;
    this.#controller?.enqueue(bytes);
    if (this.#state !== "ending" || this.#queue.length > 0) return;
    this.#controller?.close();
    this.#finish();
  }

  #finish(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#cancelGiveUp();
    this.#options.onOver();
  }
}
