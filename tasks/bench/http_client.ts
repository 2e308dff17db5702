/** A connection that sends one request after another; the cheapest client that Deno can have. */
import { ResponseParser, WireError } from "./http_wire.ts";

/** A 64-chunk stream is about 12 KiB: it fits one read. */
const READ_BYTES = 64 * 1024;

/** A kept-alive HTTP/1.1 connection to loopback. */
export class HttpConnection implements Disposable {
  readonly #conn: Deno.TcpConn;
  readonly #parser = new ResponseParser();
  readonly #buffer = new Uint8Array(READ_BYTES);
  #isUsable = true;

  private constructor(conn: Deno.TcpConn) {
    this.#conn = conn;
  }

  /** Connects to 127.0.0.1. */
  static async open(port: number): Promise<HttpConnection> {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port });
    conn.setNoDelay(true);
    return new HttpConnection(conn);
  }

  /** Whether another request may follow. */
  get isUsable(): boolean {
    return this.#isUsable;
  }

  /**
   * Sends a request and takes its answer; parts of the body go to `onBody` and are valid only in the call.
   * Returns the status.
   *
   * @throws {WireError} when the connection ends too early or what comes is no HTTP
   */
  async exchange(request: Uint8Array, onBody: (part: Uint8Array) => void): Promise<number> {
    this.#isUsable = false;
    this.#parser.begin();
    await this.#write(request);
    for (;;) {
      const count = await this.#conn.read(this.#buffer);
      if (count === null) throw new WireError("The connection ended before the answer did");
      if (this.#parser.feed(this.#buffer.subarray(0, count), onBody)) break;
    }
    this.#isUsable = !this.#parser.mustClose;
    return this.#parser.status;
  }

  async #write(bytes: Uint8Array): Promise<void> {
    let at = await this.#conn.write(bytes);
    while (at < bytes.length) at += await this.#conn.write(bytes.subarray(at));
  }

  [Symbol.dispose](): void {
    try {
      this.#conn.close();
    } catch {
      // The other side was quicker.
    }
  }
}
