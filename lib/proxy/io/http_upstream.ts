/**
 * Carries requests to an HTTP server on this machine: llama-server.
 *
 * `node:http` with kept connections, since it adds half the delay of `fetch`. The difficulty is kept
 * connections: the server may close an idle one at the very moment when it is used again. Idle
 * connections are therefore dropped before the server would, and a request that fails on a used
 * connection without any byte of an answer is sent once more on a new one.
 *
 * @module
 */
import http from "node:http";
import { messageOf } from "../../base/errors.ts";
import {
  type Upstream,
  UpstreamError,
  type UpstreamRequest,
  type UpstreamResponse,
} from "../ports.ts";

/** llama-server closes idle connections after 5 s. */
const IDLE_MS_MAX = 4_000;
/** Idle connections kept: more than any engine has slots. */
const IDLE_CONNECTIONS_MAX = 64;
/** Answers up to this size are handed over whole: most error answers and short completions. */
const WHOLE_BYTES_MAX = 64 * 1024;
/** How far a stream is read ahead of a slow client. */
const READ_AHEAD_BYTES = 64 * 1024;
/** Largest head of an answer; llama-server's has about 300 bytes. */
const HEAD_BYTES_MAX = 32 * 1024;
/** Codes of failures in which no server has seen anything of the request. */
const CONNECT_FAILURES = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
  "ETIMEDOUT",
  "ENOTFOUND",
]);
/** Headers of one connection: never passed on (RFC 9110, 7.6.1), nor is what the door itself says. */
const DROPPED_HEADERS = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "set-cookie",
  "server",
]);

/** Where to send requests. */
export interface HttpUpstreamOptions {
  readonly port: number;
  /** Bearer key of the server; it is the only one that knows it besides us. */
  readonly apiKey?: string;
  /** An IP address. @default {"127.0.0.1"} */
  readonly host?: string;
}

/** The connections to one server. */
export class HttpUpstream implements Upstream {
  readonly #options: HttpUpstreamOptions;
  readonly #kept = new http.Agent({
    keepAlive: true,
    maxFreeSockets: IDLE_CONNECTIONS_MAX,
    scheduling: "lifo",
    timeout: IDLE_MS_MAX,
  });
  readonly #fresh = new http.Agent({ keepAlive: false });

  constructor(options: HttpUpstreamOptions) {
    this.#options = options;
  }

  async send(request: UpstreamRequest, signal: AbortSignal): Promise<UpstreamResponse> {
    try {
      return await this.#attempt(request, signal, this.#kept);
    } catch (error) {
      if (!(error instanceof StaleConnectionError)) throw error;
      return await this.#attempt(request, signal, this.#fresh);
    }
  }

  /** Closes idle connections; running requests go on. */
  close(): void {
    for (const sockets of Object.values(this.#kept.freeSockets)) {
      for (const socket of sockets ?? []) socket.destroy();
    }
  }

  #attempt(
    request: UpstreamRequest,
    signal: AbortSignal,
    agent: http.Agent,
  ): Promise<UpstreamResponse> {
    if (signal.aborted) return Promise.reject(cancelled(signal));
    return new Promise((resolve, reject) => {
      const outgoing = http.request(this.#requestOptions(request, agent));
      const onAbort = () => outgoing.destroy();
      signal.addEventListener("abort", onAbort, { once: true });
      const forget = () => signal.removeEventListener("abort", onAbort);
      outgoing.on("error", (error) => {
        forget();
        reject(signal.aborted ? cancelled(signal) : failureOf(error, outgoing));
      });
      let hasAnswer = false;
      outgoing.once("close", () => {
        if (!hasAnswer) reject(new UpstreamError("The engine closed without an answer", false));
      });
      outgoing.once("response", (incoming) => {
        hasAnswer = true;
        receive(incoming, { signal, forget }).then(resolve, reject);
      });
      outgoing.end(request.body);
    });
  }

  #requestOptions(request: UpstreamRequest, agent: http.Agent): http.RequestOptions {
    const { port, apiKey, host = "127.0.0.1" } = this.#options;
    const headers: Record<string, string> = {};
    for (const [name, value] of request.headers) headers[name] = value;
    if (apiKey !== undefined) headers["authorization"] = `Bearer ${apiKey}`;
    if (request.body !== undefined) headers["content-length"] = String(request.body.length);
    const { method, path } = request;
    return { host, port, method, path, headers, agent, maxHeaderSize: HEAD_BYTES_MAX };
  }
}

/** A kept connection turned out closed; nothing of an answer came. */
class StaleConnectionError extends UpstreamError {
  constructor(cause: unknown) {
    super("The kept connection to the engine was closed", true, { cause });
  }
}

interface Receiving {
  readonly signal: AbortSignal;
  /** Stops listening to the signal. */
  readonly forget: () => void;
}

function receive(
  incoming: http.IncomingMessage,
  receiving: Receiving,
): Promise<UpstreamResponse> {
  const status = incoming.statusCode ?? 502;
  const headers = headersOf(incoming.rawHeaders);
  const length = Number(headers.get("content-length") ?? Number.NaN);
  // Not NaN: a length that is known and small.
  if (length <= WHOLE_BYTES_MAX) {
    return receiveWhole(incoming, receiving).then((body) => ({ status, headers, body }));
  }
  const body = receiveStream(incoming, receiving);
  return Promise.resolve({ status, headers, body });
}

function receiveWhole(
  incoming: http.IncomingMessage,
  { signal, forget }: Receiving,
): Promise<Uint8Array<ArrayBuffer>> {
  return new Promise((resolve, reject) => {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    incoming.on("data", (piece: Uint8Array<ArrayBuffer>) => pieces.push(piece));
    onOver(incoming, (cause) => {
      forget();
      if (cause === undefined) resolve(joined(pieces));
      else reject(signal.aborted ? cancelled(signal) : brokenOff(cause));
    });
  });
}

function receiveStream(
  incoming: http.IncomingMessage,
  receiving: Receiving,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const pieces = new PieceQueue(incoming, receiving);
  return new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull: (controller) => pieces.pull(controller),
    cancel: () => pieces.cancel(),
  }, { highWaterMark: 0 });
}

type Controller = ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;

/**
 * What arrived of a stream and was not taken yet. A queue of our own, because that of a
 * `ReadableStream` is thrown away when the stream fails: the last words before a crash would be lost.
 * A piece that somebody waits for is handed over at once, without a promise in between.
 */
class PieceQueue {
  readonly #incoming: http.IncomingMessage;
  readonly #receiving: Receiving;
  #pieces: Uint8Array<ArrayBuffer>[] = [];
  #sizeBytes = 0;
  #isOver = false;
  #cause: Error | undefined;
  /** Set while somebody waits for the next piece. */
  #waiting: Controller | undefined;

  constructor(incoming: http.IncomingMessage, receiving: Receiving) {
    this.#incoming = incoming;
    this.#receiving = receiving;
    incoming.on("data", (piece: Uint8Array<ArrayBuffer>) => this.#push(piece));
    onOver(incoming, (cause) => {
      this.#isOver = true;
      this.#cause = cause;
      receiving.forget();
      if (this.#waiting !== undefined) this.pull(this.#waiting);
    });
  }

  pull(controller: Controller): void {
    this.#waiting = undefined;
    const { signal } = this.#receiving;
    const piece = signal.aborted ? undefined : this.#pieces.shift();
    if (piece !== undefined) {
      this.#sizeBytes -= piece.length;
      controller.enqueue(piece);
      if (this.#incoming.isPaused() && this.#sizeBytes < READ_AHEAD_BYTES) this.#incoming.resume();
    } else if (!this.#isOver) this.#waiting = controller;
    else if (signal.aborted) controller.error(cancelled(signal));
    else if (this.#cause !== undefined) controller.error(brokenOff(this.#cause));
    else controller.close();
  }

  cancel(): void {
    this.#waiting = undefined;
    this.#pieces = [];
    this.#receiving.forget();
    this.#incoming.destroy();
  }

  #push(piece: Uint8Array<ArrayBuffer>): void {
    const view = new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
    const waiting = this.#waiting;
    if (waiting !== undefined) {
      this.#waiting = undefined;
      waiting.enqueue(view);
      return;
    }
    this.#pieces.push(view);
    this.#sizeBytes += view.length;
    if (this.#sizeBytes >= READ_AHEAD_BYTES) this.#incoming.pause();
  }
}

/** Calls `settle` once: without a cause when the answer is complete, with one when it broke off. */
function onOver(incoming: http.IncomingMessage, settle: (cause?: Error) => void): void {
  let isSettled = false;
  const once = (cause?: Error) => {
    if (isSettled) return;
    isSettled = true;
    settle(cause);
  };
  // Deno 2.4 marks an answer as complete only after its end.
  incoming.once("end", () => {
    if (incoming.complete) once();
  });
  incoming.on("error", (error) => once(error));
  incoming.once(
    "close",
    () => once(incoming.complete ? undefined : new Error("the connection was closed")),
  );
}

function headersOf(rawHeaders: readonly string[]): Headers {
  const headers = new Headers();
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = (rawHeaders[i] ?? "").toLowerCase();
    if (DROPPED_HEADERS.has(name) || name.startsWith("access-control-")) continue;
    headers.append(name, rawHeaders[i + 1] ?? "");
  }
  return headers;
}

function joined(pieces: readonly Uint8Array<ArrayBuffer>[]): Uint8Array<ArrayBuffer> {
  const only = pieces[0];
  if (only !== undefined && pieces.length === 1) {
    return new Uint8Array(only.buffer, only.byteOffset, only.byteLength);
  }
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function failureOf(error: Error, outgoing: http.ClientRequest): UpstreamError {
  const code = String((error as { code?: unknown }).code);
  if (CONNECT_FAILURES.has(code)) {
    return new UpstreamError(`Cannot connect to the engine: ${messageOf(error)}`, true, {
      cause: error,
    });
  }
  if (outgoing.reusedSocket) return new StaleConnectionError(error);
  return new UpstreamError(`The engine gave no answer: ${messageOf(error)}`, false, {
    cause: error,
  });
}

function brokenOff(cause: Error): UpstreamError {
  return new UpstreamError(
    `The engine closed the connection in the middle of its answer (${messageOf(cause)})`,
    false,
    { cause },
  );
}

function cancelled(signal: AbortSignal): UpstreamError {
  return new UpstreamError("The request was cancelled", false, { cause: signal.reason });
}
