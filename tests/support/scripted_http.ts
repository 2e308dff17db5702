/**
 * An HTTP server that answers exactly what a test tells it to, lies and cuts included: each answer
 * is bytes on a socket.
 */

/** One request as it came. */
export interface ScriptedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
}

/** The way to answer it. The connection is closed when the script returns. */
export interface ScriptedReply {
  /** Sends a status line and headers; `connection: close` is added. */
  head(status: number, headers?: Readonly<Record<string, string>>): Promise<void>;
  body(bytes: Uint8Array): Promise<void>;
  /** A whole answer; with `Range` honoured when the status is 200 and the request has one. */
  file(bytes: Uint8Array, headers?: Readonly<Record<string, string>>): Promise<void>;
  /** Waits until the client has gone. */
  hang(): Promise<void>;
}

export type HttpScript = (
  request: ScriptedRequest,
  reply: ScriptedReply,
  index: number,
) => Promise<void>;

/** Largest request head that a test sends. */
const HEAD_BYTES_MAX = 64 * 1024;

/** A server on a free port of the loopback; its requests are kept in the order they came. */
export class ScriptedHttp implements AsyncDisposable {
  readonly requests: ScriptedRequest[] = [];
  readonly #listener: Deno.TcpListener;
  readonly #script: HttpScript;
  readonly #open = new Set<Promise<void>>();
  readonly #accepting: Promise<void>;

  constructor(script: HttpScript) {
    this.#script = script;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#accepting = this.#accept();
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#listener.addr as Deno.NetAddr).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    await this.#accepting;
    await Promise.all(this.#open);
  }

  async #accept(): Promise<void> {
    for await (const connection of this.#listener) {
      const serving: Promise<void> = this.#serve(connection)
        .finally(() => this.#open.delete(serving));
      this.#open.add(serving);
    }
  }

  async #serve(connection: Deno.TcpConn): Promise<void> {
    using conn = connection;
    try {
      const request = await readHead(conn);
      if (request === undefined) return;
      const index = this.requests.push(request) - 1;
      await this.#script(request, replyOn(conn, request), index);
    } catch (error) {
      // Clients that hang up are part of the play.
      const isGone = error instanceof Deno.errors.BrokenPipe ||
        error instanceof Deno.errors.ConnectionReset;
      if (!isGone) throw error;
    }
  }
}

async function readHead(conn: Deno.TcpConn): Promise<ScriptedRequest | undefined> {
  const buffer = new Uint8Array(HEAD_BYTES_MAX);
  let text = "";
  while (!text.includes("\r\n\r\n")) {
    const count = await conn.read(buffer);
    if (count === null) return undefined;
    text += new TextDecoder().decode(buffer.subarray(0, count));
    if (text.length > HEAD_BYTES_MAX) throw new Error("The request head is too long");
  }
  const [first = "", ...lines] = text.slice(0, text.indexOf("\r\n\r\n")).split("\r\n");
  const [method = "", path = ""] = first.split(" ");
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return { method, path, headers };
}

function replyOn(conn: Deno.TcpConn, request: ScriptedRequest): ScriptedReply {
  const write = async (bytes: Uint8Array) => {
    for (let done = 0; done < bytes.byteLength;) done += await conn.write(bytes.subarray(done));
  };
  const head = async (status: number, headers: Readonly<Record<string, string>> = {}) => {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const text = `HTTP/1.1 ${status} Status\r\nconnection: close\r\n${lines.join("")}\r\n`;
    await write(new TextEncoder().encode(text));
  };
  return {
    head,
    body: write,
    async file(bytes, headers = {}) {
      const from = startOf(request.headers.get("range"));
      const part = bytes.subarray(from);
      const last = bytes.byteLength - 1;
      const range = { "content-range": `bytes ${from}-${last}/${bytes.byteLength}` };
      const length = { "content-length": String(part.byteLength) };
      await head(from === 0 ? 200 : 206, { ...headers, ...length, ...(from === 0 ? {} : range) });
      await write(part);
    },
    async hang() {
      const buffer = new Uint8Array(1024);
      while (await conn.read(buffer) !== null);
    },
  };
}

function startOf(range: string | null): number {
  return Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
}
