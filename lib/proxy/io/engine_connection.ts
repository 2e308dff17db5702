/**
 * One connection to an engine: a request goes out, its answer comes in, one after another. Bytes are
 * read only when somebody wants them, so a slow client slows the engine and nothing piles up here.
 *
 * @module
 */
import { headWithBody, makeScratch } from "../../base/http1_answer.ts";
import { type ResponseHead, ResponseParser } from "../http1_response.ts";

/** One read: several events of a stream, or a whole small answer. */
const READ_BYTES = 16 * 1024;
/** Bodies up to this size leave in one write with the head. */
const ONE_WRITE_BYTES_MAX = 64 * 1024;
const NOTHING = new Uint8Array(0);

/** A connection that carries one exchange at a time. */
export class EngineConnection {
  readonly #conn: Deno.TcpConn;
  readonly #buffer = new Uint8Array(READ_BYTES);
  readonly #scratch = makeScratch();
  #parser = new ResponseParser();
  /** Bytes of the body that came together with the head. */
  #early: Uint8Array<ArrayBuffer> = NOTHING;
  #isWriting = false;
  #isClosed = false;
  /** True once an answer came in on it: the next failure may be that of a stale connection. */
  wasUsed = false;

  constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
    conn.setNoDelay(true);
  }

  /**
   * Sends a request; resolves with the head of its answer.
   *
   * @param head one character for each byte, with the empty line at its end
   * @throws what the system or the parser says when no answer comes
   */
  async exchange(head: string, body: Uint8Array | undefined): Promise<ResponseHead> {
    this.#parser = new ResponseParser();
    let writeFault: unknown;
    // Reading begins at once: an engine may refuse a body before it has read all of it.
    const writing = this.#write(head, body).catch((error) => writeFault = error);
    for (;;) {
      let isOpen: boolean;
      try {
        isOpen = this.#take(await this.#conn.read(this.#buffer));
      } catch (error) {
        throw writeFault ?? error;
      }
      const answer = this.#parser.head;
      if (answer !== undefined) return answer;
      if (isOpen) continue;
      await writing;
      throw writeFault ?? new Error("it closed the connection");
    }
  }

  /** The next bytes of the answer's body; undefined at its end. */
  async next(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    for (;;) {
      const bytes = this.#early;
      if (bytes.length > 0) {
        this.#early = NOTHING;
        return bytes;
      }
      if (this.#parser.isComplete) return undefined;
      this.#take(await this.#conn.read(this.#buffer));
    }
  }

  /** True when the exchange is over and another may follow. */
  get isReusable(): boolean {
    return !this.#isClosed && !this.#isWriting && this.#parser.mayKeepConnection;
  }

  /** Ends it; whatever waits for it fails. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#conn.close();
  }

  /** Takes in what was read; false when the connection has ended, and the answer with it. */
  #take(count: number | null): boolean {
    if (count === null) {
      if (this.#parser.head !== undefined) this.#parser.end();
      return false;
    }
    this.#early = this.#parser.push(this.#buffer.subarray(0, count));
    return true;
  }

  async #write(head: string, body: Uint8Array | undefined): Promise<void> {
    this.#isWriting = true;
    try {
      if (body === undefined || body.length <= ONE_WRITE_BYTES_MAX) {
        await this.#writeAll(headWithBody(head, body, this.#scratch));
      } else {
        await this.#writeAll(headWithBody(head, undefined));
        await this.#writeAll(body);
      }
    } finally {
      this.#isWriting = false;
    }
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    let written = 0;
    while (written < bytes.length) written += await this.#conn.write(bytes.subarray(written));
  }
}
