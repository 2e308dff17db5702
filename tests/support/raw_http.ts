/** An answer as it came over the wire. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
  /** Status lines of informational answers that came before. */
  readonly informational: readonly number[];
}

/** Only there to fail a test whose server never answers. */
const DEADLINE_MS = 60_000;

/** Speaks HTTP by hand, also the wrong way. Every wait has a deadline, only to fail. */
export class RawClient implements Disposable {
  readonly #connection: Deno.TcpConn;
  #buffer = "";
  #isEnded = false;

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  static async connect(port: number, hostname = "127.0.0.1"): Promise<RawClient> {
    return new RawClient(await Deno.connect({ port, hostname }));
  }

  /** Sends text as Latin-1, so that any byte can be written. Stops early if the server closed. */
  async send(text: string): Promise<void> {
    await this.sendBytes(Uint8Array.from(text, (letter) => letter.charCodeAt(0)));
  }

  async sendBytes(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#connection.write(bytes.subarray(at));
  }

  /** Closes the sending half. */
  async endSending(): Promise<void> {
    await this.#connection.closeWrite();
  }

  /** Reads one answer; its body by length, by chunks, or up to the end. */
  async readAnswer(options: { readonly isHead?: boolean } = {}): Promise<RawAnswer> {
    const informational: number[] = [];
    for (;;) {
      const { status, headers } = parseHead(await this.#readUntil("\r\n\r\n"));
      if (status >= 200) {
        const hasBody = options.isHead !== true && status !== 204;
        const body = hasBody ? await this.#readBody(headers) : "";
        return { status, headers, body, informational };
      }
      informational.push(status);
    }
  }

  /** Everything until the server closes; a reset counts as closing. */
  async readToEnd(): Promise<string> {
    while (await this.#fill());
    const all = this.#buffer;
    this.#buffer = "";
    return all;
  }

  /** Everything up to `mark`, the mark included. */
  async readToEndOf(mark: string): Promise<string> {
    return await this.#readUntil(mark) + mark;
  }

  /** At least one byte, or nothing when the server closed. */
  async readSome(): Promise<string> {
    if (this.#buffer === "") await this.#fill();
    const some = this.#buffer;
    this.#buffer = "";
    return some;
  }

  close(): void {
    try {
      this.#connection.close();
    } catch {
      // Closed already.
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  async #readBody(headers: Headers): Promise<string> {
    const length = headers.get("content-length");
    if (length !== null) return await this.#readCount(Number(length));
    if (headers.get("transfer-encoding") !== "chunked") return await this.readToEnd();
    let body = "";
    for (;;) {
      const size = Number.parseInt(await this.#readUntil("\r\n"), 16);
      body += await this.#readCount(size);
      await this.#readUntil("\r\n");
      if (size === 0) return body;
    }
  }

  async #readUntil(mark: string): Promise<string> {
    for (;;) {
      const at = this.#buffer.indexOf(mark);
      if (at >= 0) {
        const text = this.#buffer.slice(0, at);
        this.#buffer = this.#buffer.slice(at + mark.length);
        return text;
      }
      if (!await this.#fill()) throw new Error(`Closed after ${JSON.stringify(this.#buffer)}`);
    }
  }

  async #readCount(count: number): Promise<string> {
    while (this.#buffer.length < count) {
      if (!await this.#fill()) throw new Error(`Closed after ${this.#buffer.length} of ${count}`);
    }
    const text = this.#buffer.slice(0, count);
    this.#buffer = this.#buffer.slice(count);
    return text;
  }

  async #fill(): Promise<boolean> {
    if (this.#isEnded) return false;
    const bytes = new Uint8Array(64 * 1024);
    const late = Promise.withResolvers<never>();
    const deadline = setTimeout(() => {
      late.reject(new Error(`Nothing came for ${DEADLINE_MS} ms`));
      this.close();
    }, DEADLINE_MS);
    try {
      const count = await Promise.race([
        this.#connection.read(bytes).catch(() => null),
        late.promise,
      ]);
      this.#isEnded = count === null;
      for (let i = 0; i < (count ?? 0); i += 1) this.#buffer += String.fromCharCode(bytes[i]!);
      return !this.#isEnded;
    } finally {
      clearTimeout(deadline);
    }
  }
}

function parseHead(text: string): { readonly status: number; readonly headers: Headers } {
  const [first = "", ...lines] = text.split("\r\n");
  const headers = new Headers();
  for (const line of lines) {
    const at = line.indexOf(":");
    headers.append(line.slice(0, at), line.slice(at + 1).trim());
  }
  return { status: Number(first.split(" ")[1]), headers };
}
