/**
 * One request and its answer on a connection of `http_server.ts`.
 *
 * The difficulty is to know whether the client is still there. Its FIN means either "I have said all
 * I wanted" (`nc`, scripts that shut down their sending half) or "I am gone" (an aborted `fetch`). Only
 * writing tells: a client that is gone answers with RST. While there is nothing to write yet, the
 * informational answer 102 (RFC 2518, 10.1; clients skip it) is written now and then as a probe.
 *
 * @module
 */
import type http from "node:http";
import { getLogger } from "@logtape/logtape";
import { messageOf } from "../errors.ts";
import type { BodySink, DoorEnv, IncomingBody } from "../http_door.ts";
import type { HttpLimits } from "./http_server.ts";

const log = getLogger(["mesh-llm", "base"]);

/** First probes after a FIN: quick, since most FINs are clients that left. */
const PROBE_QUICK_MS = 100;
const PROBE_QUICK_COUNT = 5;
/** Later probes: whoever survived the first ones most likely waits for its answer. */
const PROBE_SLOW_MS = 1_000;
/** Time that a body may take of the thread in a row: half of what others may be held up. */
const BODY_SLICE_MS = 5;
/** The same in bytes, as reading them takes time too: some 5 ms. */
const BODY_SLICE_BYTES = 1024 * 1024;

type Fetch = (request: Request, env: DoorEnv) => Response | Promise<Response>;

/** Owns the sending of one answer and everything that can go wrong with it. */
export class Exchange implements DoorEnv, IncomingBody {
  /** Tells the request listener that there is nothing left to send. */
  static readonly sent: Response = new Response(null, {
    headers: { "x-hono-already-sent": "true" },
  });

  /** Called once, when the answer is complete or can no longer be sent. */
  onDone: () => void = () => {};
  readonly #incoming: http.IncomingMessage;
  readonly #outgoing: http.ServerResponse;
  readonly #limits: HttpLimits;
  #gone: AbortController | undefined;
  #sink: BodySink | undefined;
  #bodyError: Error | undefined;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #probe: ReturnType<typeof setTimeout> | undefined;
  #sliceMs = 0;
  #sliceBytes = 0;
  #isHeadSent = false;
  #isDone = false;
  #isGone = false;
  #mustClose = false;

  constructor(incoming: http.IncomingMessage, outgoing: http.ServerResponse, limits: HttpLimits) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
    this.#limits = limits;
    incoming.on("error", () => {});
    outgoing.on("error", () => {});
    outgoing.once("close", () => this.#finish());
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
    const header = this.#incoming.headers["content-length"];
    return header === undefined ? undefined : Number(header);
  }

  /** True while bytes of the body are still to come. */
  get isBodyOpen(): boolean {
    return !this.#incoming.complete && !this.#isDone;
  }

  read(sink: BodySink): () => void {
    if (this.#bodyError !== undefined) {
      sink.fail(this.#bodyError);
      return () => {};
    }
    this.#sink = sink;
    const onData = (bytes: Uint8Array) => this.#takeChunk(bytes);
    const onEnd = () => this.#endBody();
    this.#incoming.on("data", onData);
    this.#incoming.once("end", onEnd);
    if (this.#incoming.headers.expect !== undefined) this.#outgoing.writeContinue();
    return () => {
      this.#sink = undefined;
      this.#incoming.off("data", onData);
      this.#incoming.off("end", onEnd);
    };
  }

  /** The body will not be complete. */
  failBody(cause: Error): void {
    this.#bodyError = cause;
    this.#mustClose = true;
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.fail(cause);
  }

  /** The connection is not to be used again after this answer. */
  closeAfter(): void {
    this.#mustClose = true;
  }

  /** The client sent FIN: it may be gone. */
  onHalfClosed(): void {
    this.#mustClose = true;
    // Everything that was sent has been parsed by now: what is missing will not come.
    if (this.isBodyOpen) this.failBody(new Error("The client ended its body too early"));
    if (this.#incoming.httpVersion !== "1.1" || this.#probe !== undefined) return;
    this.#probeLater(0);
  }

  /** The connection ended. */
  onClosed(): void {
    this.#finish();
  }

  /** Runs the app and sends what it returns; never rejects. */
  async answer(request: Request, fetch: Fetch): Promise<Response> {
    try {
      await this.#send(await fetch(request, this));
    } catch (error) {
      // The app answers its own errors: what arrives here is a broken stream or a defect, and
      // cutting the connection is the one way left to tell.
      log.debug("Cut a connection: {error}", { error: messageOf(error) });
      this.#outgoing.destroy();
    }
    return Exchange.sent;
  }

  async #send(response: Response): Promise<void> {
    const { headers, status } = response;
    if (this.#isDone) return await response.body?.cancel();
    const head: Record<string, string> = {};
    for (const [name, value] of headers) head[name] = value;
    if (this.#mustClose) head["connection"] ??= "close";
    const mayHaveBody = this.#incoming.method !== "HEAD" && status !== 204 && status !== 304;
    if (mayHaveBody && head["content-length"] !== undefined) {
      // Asking for `body` would make a stream of it first.
      const bytes = new Uint8Array(await response.arrayBuffer());
      this.#sendWhole(status, head, bytes);
    } else if (mayHaveBody && response.body !== null) {
      this.#outgoing.writeHead(status, head);
      await this.#stream(response.body);
    } else {
      await response.body?.cancel();
      if (mayHaveBody) head["content-length"] = "0";
      this.#sendWhole(status, head, undefined);
    }
    this.#linger();
  }

  #sendWhole(
    status: number,
    head: Record<string, string>,
    bytes: Uint8Array<ArrayBuffer> | undefined,
  ): void {
    this.#outgoing.writeHead(status, head);
    this.#isHeadSent = true;
    this.#outgoing.end(bytes);
  }

  async #stream(body: ReadableStream<Uint8Array>): Promise<void> {
    const outgoing = this.#outgoing;
    const reader = body.getReader();
    this.#reader = reader;
    // Head and first bytes go out together when these are at hand, and the head alone otherwise.
    const flush = setImmediate(() => {
      this.#isHeadSent = true;
      if (!outgoing.destroyed) outgoing.flushHeaders();
    });
    try {
      for (let step = await reader.read(); !step.done; step = await reader.read()) {
        if (this.#isDone) return;
        if (!this.#isHeadSent) clearImmediate(flush);
        this.#isHeadSent = true;
        if (!outgoing.write(step.value)) await this.#drained();
      }
      if (!this.#isDone) outgoing.end();
    } finally {
      clearImmediate(flush);
      if (this.#isDone) await reader.cancel().catch(() => {});
      this.#reader = undefined;
    }
  }

  /** Waits until the client took what was written, or cuts a client that takes nothing for long. */
  #drained(): Promise<void> {
    const outgoing = this.#outgoing;
    return new Promise((resolve) => {
      const stalled = setTimeout(() => outgoing.destroy(), this.#limits.stalledReaderMs);
      const settle = () => {
        clearTimeout(stalled);
        outgoing.off("drain", settle);
        outgoing.off("close", settle);
        resolve();
      };
      outgoing.on("drain", settle);
      outgoing.on("close", settle);
    });
  }

  /** Throws the unread rest of the body away for a while, so that the client reads its answer. */
  #linger(): void {
    const incoming = this.#incoming;
    if (incoming.complete || incoming.destroyed) return;
    const { socket } = incoming;
    const cut = setTimeout(() => socket.destroy(), this.#limits.lingerMs);
    const settle = () => clearTimeout(cut);
    incoming.once("end", settle);
    socket.once("close", settle);
    incoming.resume();
  }

  /**
   * Hands over a piece of the body. The runtime reads on as long as there is something to read, and lets
   * nothing else run meanwhile: a body of 64 MiB from this machine held up everybody for seconds.
   */
  #takeChunk(bytes: Uint8Array): void {
    const startMs = performance.now();
    this.#sink?.chunk(bytes);
    this.#sliceMs += performance.now() - startMs;
    this.#sliceBytes += bytes.length;
    if (this.#sliceMs < BODY_SLICE_MS && this.#sliceBytes < BODY_SLICE_BYTES) return;
    this.#sliceMs = 0;
    this.#sliceBytes = 0;
    const incoming = this.#incoming;
    incoming.pause();
    setTimeout(() => incoming.resume(), 0);
  }

  #endBody(): void {
    const sink = this.#sink;
    this.#sink = undefined;
    sink?.end();
  }

  #probeLater(count: number): void {
    const delayMs = count < PROBE_QUICK_COUNT ? PROBE_QUICK_MS : PROBE_SLOW_MS;
    this.#probe = setTimeout(() => {
      const outgoing = this.#outgoing;
      if (this.#isHeadSent || this.#isDone || outgoing.destroyed) return;
      if (outgoing.socket !== null) outgoing.writeProcessing();
      this.#probeLater(count + 1);
    }, delayMs);
  }

  #finish(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    clearTimeout(this.#probe);
    this.onDone();
    if (this.#sink !== undefined) this.failBody(new Error("The client closed the connection"));
    if (this.#outgoing.writableFinished) return;
    this.#isGone = true;
    this.#gone?.abort();
    void this.#reader?.cancel().catch(() => {});
  }
}
