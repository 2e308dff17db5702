/**
 * Carries requests to an HTTP server on this machine: llama-server.
 *
 * Connections are kept. The difficulty is that the server may close an idle one at the very moment
 * when it is used again: idle connections are dropped before the server would, and a request that
 * fails on a used connection without any byte of an answer is sent once more on a new one.
 *
 * @module
 */
import { streamOf } from "../../base/byte_source.ts";
import { joined } from "../../base/bytes.ts";
import { FieldList } from "../../base/field_list.ts";
import { messageOf } from "../../base/errors.ts";
import type { ResponseHead } from "../http1_response.ts";
import {
  type Upstream,
  UpstreamError,
  type UpstreamRequest,
  type UpstreamResponse,
} from "../ports.ts";
import { EngineConnection } from "./engine_connection.ts";

/** llama-server closes idle connections after 5 s. */
const IDLE_MS_MAX = 4_000;
/** Idle connections kept: more than any engine has slots. */
const IDLE_CONNECTIONS_MAX = 64;
/** Answers up to this size are handed over whole: most error answers and short completions. */
const WHOLE_BYTES_MAX = 64 * 1024;
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

interface IdleConnection {
  readonly connection: EngineConnection;
  readonly sinceMs: number;
}

/** The connections to one server. */
export class HttpUpstream implements Upstream {
  readonly #options: HttpUpstreamOptions;
  /** Used last, taken first: the others grow old and are dropped. */
  readonly #idle: IdleConnection[] = [];
  #sweep: ReturnType<typeof setTimeout> | undefined;

  constructor(options: HttpUpstreamOptions) {
    this.#options = options;
  }

  async send(request: UpstreamRequest, signal: AbortSignal): Promise<UpstreamResponse> {
    if (signal.aborted) throw cancelled(signal);
    const kept = this.#takeIdle();
    if (kept === undefined) {
      return await this.#attempt(request, signal, await this.#connect(signal));
    }
    try {
      return await this.#attempt(request, signal, kept);
    } catch (error) {
      if (!(error instanceof StaleConnectionError)) throw error;
      return await this.#attempt(request, signal, await this.#connect(signal));
    }
  }

  /** Closes idle connections; running requests go on. */
  close(): void {
    clearTimeout(this.#sweep);
    this.#sweep = undefined;
    for (const { connection } of this.#idle.splice(0)) connection.close();
  }

  async #connect(signal: AbortSignal): Promise<EngineConnection> {
    const { host = "127.0.0.1", port } = this.#options;
    try {
      return new EngineConnection(await Deno.connect({ hostname: host, port }));
    } catch (error) {
      if (signal.aborted) throw cancelled(signal);
      throw new UpstreamError(`Cannot connect to the engine: ${messageOf(error)}`, true, {
        cause: error,
      });
    }
  }

  async #attempt(
    request: UpstreamRequest,
    signal: AbortSignal,
    connection: EngineConnection,
  ): Promise<UpstreamResponse> {
    const onAbort = (): void => connection.close();
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    const exchange: Exchange = {
      connection,
      signal,
      end: () => {
        signal.removeEventListener("abort", onAbort);
        this.#giveBack(connection);
      },
    };
    try {
      const head = await connection.exchange(this.#headOf(request), request.body);
      const body = await bodyOf(head, exchange);
      return { status: head.status, headers: headersOf(head), body };
    } catch (error) {
      exchange.end();
      if (error instanceof UpstreamError) throw error;
      if (signal.aborted) throw cancelled(signal);
      throw connection.wasUsed ? new StaleConnectionError(error) : unanswered(error);
    }
  }

  #headOf(request: UpstreamRequest): string {
    const { host = "127.0.0.1", port, apiKey } = this.#options;
    const { method, path, body } = request;
    let head = `${method} ${path} HTTP/1.1\r\nhost: ${host}:${port}\r\n`;
    // Whoever made them let no line break in: nobody can smuggle a header in.
    for (const [name, value] of request.headers) head += `${name}: ${value}\r\n`;
    if (apiKey !== undefined) head += `authorization: Bearer ${apiKey}\r\n`;
    if (body !== undefined) head += `content-length: ${body.length}\r\n`;
    return `${head}\r\n`;
  }

  #takeIdle(): EngineConnection | undefined {
    this.#dropOld();
    return this.#idle.pop()?.connection;
  }

  #giveBack(connection: EngineConnection): void {
    if (!connection.isReusable || this.#idle.length >= IDLE_CONNECTIONS_MAX) {
      connection.close();
      return;
    }
    connection.wasUsed = true;
    this.#idle.push({ connection, sinceMs: performance.now() });
    this.#sweep ??= setTimeout(() => this.#sweepOld(), IDLE_MS_MAX);
  }

  #sweepOld(): void {
    this.#dropOld();
    this.#sweep = this.#idle.length === 0
      ? undefined
      : setTimeout(() => this.#sweepOld(), IDLE_MS_MAX);
  }

  #dropOld(): void {
    const oldestMs = performance.now() - IDLE_MS_MAX;
    const young = this.#idle.findIndex(({ sinceMs }) => sinceMs > oldestMs);
    const count = young < 0 ? this.#idle.length : young;
    for (const { connection } of this.#idle.splice(0, count)) connection.close();
  }
}

/** A kept connection turned out closed; nothing of an answer came. */
class StaleConnectionError extends UpstreamError {
  constructor(cause: unknown) {
    super("The kept connection to the engine was closed", true, { cause });
  }
}

interface Exchange {
  readonly connection: EngineConnection;
  readonly signal: AbortSignal;
  /** Gives the connection back, whole or broken. */
  readonly end: () => void;
}

async function bodyOf(head: ResponseHead, exchange: Exchange): Promise<UpstreamResponse["body"]> {
  const { lengthBytes } = head;
  if (lengthBytes !== undefined && lengthBytes <= WHOLE_BYTES_MAX) return await wholeBody(exchange);
  const end = (): void => {
    exchange.connection.close();
    exchange.end();
  };
  return streamOf({ next: () => passOn(exchange, end), cancel: end });
}

async function wholeBody(exchange: Exchange): Promise<Uint8Array<ArrayBuffer>> {
  const { connection, signal } = exchange;
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  try {
    for (;;) {
      signal.throwIfAborted();
      const piece = await connection.next();
      if (piece === undefined) break;
      pieces.push(piece);
    }
  } catch (error) {
    throw failureOf(error, signal);
  }
  exchange.end();
  const only = pieces[0];
  return only !== undefined && pieces.length === 1 ? only : joined(pieces);
}

async function passOn(
  exchange: Exchange,
  breakOff: () => void,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const { connection, signal } = exchange;
  try {
    signal.throwIfAborted();
    const piece = await connection.next();
    if (piece === undefined) exchange.end();
    return piece;
  } catch (error) {
    breakOff();
    throw failureOf(error, signal);
  }
}

function failureOf(error: unknown, signal: AbortSignal): UpstreamError {
  return signal.aborted ? cancelled(signal) : brokenOff(error);
}

function headersOf(head: ResponseHead): FieldList {
  return new FieldList(
    head.headers.filter(([name]) =>
      !DROPPED_HEADERS.has(name) && !name.startsWith("access-control-")
    ),
  );
}

function unanswered(cause: unknown): UpstreamError {
  return new UpstreamError(`The engine gave no answer: ${messageOf(cause)}`, false, {
    cause,
    isCrash: true,
  });
}

function brokenOff(cause: unknown): UpstreamError {
  return new UpstreamError(
    `The engine closed the connection in the middle of its answer (${messageOf(cause)})`,
    false,
    { cause, isCrash: true },
  );
}

function cancelled(signal: AbortSignal): UpstreamError {
  return new UpstreamError("The request was cancelled", false, { cause: signal.reason });
}
