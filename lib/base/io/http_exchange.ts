/**
 * One request and its answer on a connection of `http_connection.ts`.
 *
 * @module
 */
import { getLogger } from "@logtape/logtape";
import { type ByteSource, sourceOf } from "../byte_source.ts";
import { joined } from "../bytes.ts";
import { messageOf } from "../errors.ts";
import { asChunk, headWithBody, LAST_CHUNK, statusLine } from "../http1_answer.ts";
import type { RequestHead } from "../http1_request.ts";
import type { BodySink, DoorEnv, IncomingBody } from "../http_door.ts";
import { lightRequest } from "../light_request.ts";
import { isWhole } from "../whole_response.ts";

const log = getLogger(["mesh-llm", "base"]);

/** Bodies up to this size leave in one write with the head. */
const ONE_WRITE_BYTES_MAX = 64 * 1024;
/** Headers of one connection: the server says them itself. */
const OWN_HEADERS = new Set(["transfer-encoding", "keep-alive", "date"]);

/** The app behind a server. */
export type DoorFetch = (request: Request, env: DoorEnv) => Response | Promise<Response>;

/** What an exchange needs of its connection. */
export interface ExchangeLine {
  /** Resolves when all answers before this one have left; undefined when they have. */
  turnOf(exchange: Exchange): Promise<void> | undefined;
  /** For what is written next. */
  readonly scratch: Uint8Array;
  /** Resolves when the system has taken all of it. @throws when the connection is no more */
  write(bytes: Uint8Array): Promise<void>;
  /** Asks the client for the body. */
  askForBody(exchange: Exchange): void;
  /** What is read of the body has somewhere to go. */
  readOn(): void;
  /** The answer has left. */
  onAnswered(exchange: Exchange): void;
  /** Ends the connection at once. */
  destroy(): void;
}

/** The first piece of a stream, and the head if it has not left yet. */
interface Unsent {
  readonly piece: Uint8Array | undefined;
  readonly head: Uint8Array | undefined;
}

const NOTHING_UNSENT: Unsent = { piece: undefined, head: undefined };

/** Owns the sending of one answer and everything that can go wrong with it. */
export class Exchange implements DoorEnv, IncomingBody {
  readonly head: RequestHead;
  readonly #line: ExchangeLine;
  #gone: AbortController | undefined;
  #sink: BodySink | undefined;
  /** What came of the body before somebody asked for it: one read's worth. */
  #early: Uint8Array[] = [];
  #isThrownAway = false;
  #isBodyComplete = false;
  #bodyError: Error | undefined;
  #cancelAnswer: (() => unknown) | undefined;
  #isHeadSent = false;
  #isDone = false;
  #isGone = false;
  #mustClose: boolean;

  constructor(head: RequestHead, line: ExchangeLine) {
    this.head = head;
    this.#line = line;
    this.#mustClose = !head.mayKeepConnection;
  }

  get clientGone(): AbortSignal {
    if (this.#gone === undefined) {
      this.#gone = new AbortController();
      if (this.#isGone) this.#gone.abort();
    }
    return this.#gone.signal;
  }

  get body(): IncomingBody {
    return this;
  }

  get declaredBytes(): number | undefined {
    return this.head.lengthBytes;
  }

  /** True while the connection must not be read: what comes would have nowhere to go. */
  get isFull(): boolean {
    return this.#early.length > 0;
  }

  /** True once a part of the answer left. */
  get isHeadSent(): boolean {
    return this.#isHeadSent;
  }

  /** True when no request may follow on the connection. */
  get mustClose(): boolean {
    return this.#mustClose;
  }

  read(sink: BodySink): () => void {
    this.#sink = sink;
    if (this.#early.length === 0 && !this.#isBodyComplete && this.head.expectsContinue) {
      this.#line.askForBody(this);
    }
    // Later: whoever reads has not got the function yet by which to stop.
    queueMicrotask(() => this.#deliverEarly());
    return () => {
      this.#sink = undefined;
      this.throwBodyAway();
    };
  }

  /** A part of the body came; valid during the call only. */
  onBody(bytes: Uint8Array): void {
    if (this.#isThrownAway) return;
    const piece = bytes.slice();
    if (this.#sink === undefined || this.#early.length > 0) this.#early.push(piece);
    else this.#sink.chunk(piece);
  }

  /** The body is complete. */
  onBodyEnd(): void {
    this.#isBodyComplete = true;
    if (this.#early.length === 0) this.#settleBody();
  }

  /** The body will not be complete. */
  failBody(cause: Error): void {
    this.#bodyError = cause;
    this.#mustClose = true;
    if (this.#early.length === 0) this.#settleBody();
  }

  /** Nobody wants the rest of the body. */
  throwBodyAway(): void {
    this.#isThrownAway = true;
    this.#early = [];
    this.#line.readOn();
  }

  /** The connection is not to be used again after this answer. */
  closeAfter(): void {
    this.#mustClose = true;
  }

  /** The connection ended before the answer was complete. */
  onClosed(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#isGone = true;
    if (!this.#isBodyComplete) this.failBody(new Error("The client closed the connection"));
    this.#gone?.abort();
    void this.#cancelAnswer?.();
  }

  /** Runs the app and sends what it returns; never rejects. */
  async answer(fetch: DoorFetch): Promise<void> {
    try {
      const response = this.head.expectsUnknown
        ? new Response(null, { status: 417 })
        : await fetch(lightRequest(this.head), this);
      const turn = this.#line.turnOf(this);
      if (turn !== undefined) await turn;
      if (this.#isDone) return await response.body?.cancel();
      await this.#send(response);
      if (this.#isDone) return;
      this.#isDone = true;
      this.#line.onAnswered(this);
    } catch (error) {
      if (this.#isDone) return;
      // The app answers its own errors: what arrives here is a broken stream or a defect, and
      // cutting the connection is the one way left to tell.
      log.debug("Cut a connection: {error}", { error: messageOf(error) });
      this.#line.destroy();
    }
  }

  #deliverEarly(): void {
    const early = this.#early;
    if (early.length > 0) {
      this.#early = [];
      for (const piece of early) this.#sink?.chunk(piece);
      this.#line.readOn();
    }
    this.#settleBody();
  }

  /** Tells the reader the end, good or bad, once. */
  #settleBody(): void {
    const sink = this.#sink;
    if (sink === undefined || (this.#bodyError === undefined && !this.#isBodyComplete)) return;
    this.#sink = undefined;
    if (this.#bodyError === undefined) sink.end();
    else sink.fail(this.#bodyError);
  }

  async #send(response: Response): Promise<void> {
    const { status } = response;
    const mayHaveBody = this.head.method !== "HEAD" && status !== 204 && status !== 304;
    let fields = statusLine(status) + dateLine();
    let hasLength = false;
    response.headers.forEach((value, name) => {
      if (OWN_HEADERS.has(name)) return;
      if (name === "connection") {
        this.#mustClose ||= value.toLowerCase() === "close";
        return;
      }
      if (name === "content-length") hasLength = true;
      fields += `${name}: ${value}\r\n`;
    });
    if (!mayHaveBody) {
      await response.body?.cancel();
      await this.#sendWhole(fields, undefined);
    } else if (hasLength) {
      // Asking for `body` would make a stream of it first.
      const bytes = isWhole(response)
        ? response.whole
        : new Uint8Array(await response.arrayBuffer());
      await this.#sendWhole(fields, bytes);
    } else if (response.body === null) {
      await this.#sendWhole(`${fields}content-length: 0\r\n`, undefined);
    } else await this.#stream(fields, response.body);
  }

  async #sendWhole(fields: string, body: Uint8Array | undefined): Promise<void> {
    const head = `${fields}${this.#closeLine()}\r\n`;
    this.#isHeadSent = true;
    if (body === undefined || body.length <= ONE_WRITE_BYTES_MAX) {
      return await this.#line.write(headWithBody(head, body, this.#line.scratch));
    }
    await this.#line.write(headWithBody(head, undefined));
    await this.#line.write(body);
  }

  async #stream(fields: string, body: ReadableStream<Uint8Array>): Promise<void> {
    const source = sourceOf(body);
    this.#cancelAnswer = () => Promise.resolve(source.cancel()).catch(() => {});
    const { isHttp11 } = this.head;
    // The end of the connection is the end of a body without length.
    if (!isHttp11) this.#mustClose = true;
    const coding = isHttp11 ? "transfer-encoding: chunked\r\n" : "";
    const head = headWithBody(`${fields}${coding}${this.#closeLine()}\r\n`, undefined);
    let unsent = await this.#firstPiece(head, source);
    for (let piece = unsent.piece; piece !== undefined; piece = await source.next()) {
      if (this.#isDone) return;
      if (piece.length === 0) continue;
      const bytes = isHttp11 ? asChunk(piece, this.#line.scratch) : piece;
      await this.#line.write(unsent.head === undefined ? bytes : joined([unsent.head, bytes]));
      unsent = NOTHING_UNSENT;
    }
    this.#cancelAnswer = undefined;
    const end = isHttp11 ? LAST_CHUNK : new Uint8Array(0);
    if (!this.#isDone) await this.#line.write(joined([unsent.head ?? new Uint8Array(0), end]));
  }

  /** Waits for the first piece. The head goes out with it when it is at hand, and before it otherwise. */
  async #firstPiece(head: Uint8Array, source: ByteSource): Promise<Unsent> {
    let sending: Promise<void> | undefined;
    const flush = setImmediate(() => {
      this.#isHeadSent = true;
      sending = this.#line.write(head);
      // When that fails the connection is no more, and then the source is cancelled.
      sending.catch(() => {});
    });
    try {
      const piece = await source.next();
      if (sending !== undefined) await sending;
      return { piece, head: sending === undefined ? head : undefined };
    } finally {
      clearImmediate(flush);
      this.#isHeadSent = true;
    }
  }

  #closeLine(): string {
    return this.#mustClose ? "connection: close\r\n" : "";
  }
}

let date = { unixS: 0, line: "" };

/** The header that tells clients the time (RFC 9110, 6.6.1), made once a second. */
function dateLine(): string {
  const unixS = Math.floor(Date.now() / 1000);
  if (unixS !== date.unixS) {
    date = { unixS, line: `date: ${new Date(unixS * 1000).toUTCString()}\r\n` };
  }
  return date.line;
}
