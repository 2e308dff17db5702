/** Reading server-sent events in tests, one block at a time. */

/** One block of a stream: an event, or comments only. */
export interface SseBlock {
  readonly id?: string;
  readonly event?: string;
  readonly data?: string;
  readonly retry?: string;
  readonly comment?: string;
}

/** Reads blocks from a stream of bytes. */
export class SseReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #text = "";

  constructor(stream: ReadableStream<Uint8Array> | null) {
    if (stream === null) throw new Error("Cannot read events: the answer has no body");
    this.#reader = stream.getReader();
  }

  /** The next block; undefined at the end of the stream. */
  async next(): Promise<SseBlock | undefined> {
    for (let end = this.#text.indexOf("\n\n");; end = this.#text.indexOf("\n\n")) {
      if (end >= 0) {
        const block = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        return parseBlock(block);
      }
      const part = await this.#reader.read();
      if (part.done) return undefined;
      this.#text += this.#decoder.decode(part.value, { stream: true });
    }
  }

  /** Leaves. */
  async cancel(): Promise<void> {
    await this.#reader.cancel();
  }
}

function parseBlock(block: string): SseBlock {
  const fields: Record<string, string> = {};
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const name = colon === 0 ? "comment" : line.slice(0, colon);
    fields[name] = line.slice(colon + 1).replace(/^ /, "");
  }
  return fields;
}
