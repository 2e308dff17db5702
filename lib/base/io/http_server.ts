/**
 * The HTTP/1.1 server under both doors: `node:http` with a Hono app behind it.
 *
 * `node:http` rather than `Deno.serve`, because the latter drops clients that close their sending half
 * after the request, has no limit on slow headers, and cannot tell a client that is gone from one that
 * got its answer.
 *
 * @module
 */
import http from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { getRequestListener, type HttpBindings } from "@hono/node-server";
import { getLogger } from "@logtape/logtape";
import { messageOf, UserError } from "../errors.ts";
import type { DoorEnv } from "../http_door.ts";
import { Exchange } from "./http_exchange.ts";

const log = getLogger(["mesh-llm", "base"]);

/** Bounds of the server; each wait and each count has one. */
export interface HttpLimits {
  /** Size of a request's head. 32 KiB: twice Node's default; long cookies of localhost pages fit. */
  readonly headBytesMax: number;
  /** Time for a request's head to arrive, from its first byte. */
  readonly headMs: number;
  /** How long a connection may stay open without a request; clients keep theirs for 60 s or less. */
  readonly idleMs: number;
  /** Connections at once; for more, idle ones are closed first. Each costs about 20 KiB. */
  readonly connectionsMax: number;
  /** How long a client may accept nothing of its answer before it is cut off. */
  readonly stalledReaderMs: number;
  /** How long the unread rest of a body is thrown away before the connection is cut. */
  readonly lingerMs: number;
}

/** The limits of a node. */
const HTTP_LIMITS: HttpLimits = {
  headBytesMax: 32 * 1024,
  headMs: 30_000,
  idleMs: 75_000,
  connectionsMax: 4096,
  stalledReaderMs: 300_000,
  lingerMs: 5_000,
};

/**
 * Requests on one connection whose answers are not complete. Who sends thousands and reads nothing would
 * fill the memory: 350 KB of requests for the page cost 480 MB. Few clients pipeline at all.
 */
const PIPELINED_MAX = 32;
/** How often connections are looked at for slow heads. */
const HEAD_CHECK_MS = 1_000;
/** How long a client that sent rubbish may take to read its 400. */
const REFUSAL_MS = 1_000;
/** How long cut connections may take to be gone: Deno 2.4 does not tell of them, and would wait for ever. */
const CUT_MS = 1_000;
/** Port 0 twice: the same free port on both loopback addresses is found at once nearly always. */
const FREE_PORT_TRIES = 10;

/** What {@link serveHttp} needs. */
export interface ServeOptions {
  /** "loopback": 127.0.0.1 and ::1. "all": every address of the machine. */
  readonly listen: "loopback" | "all";
  /** 0 takes any free one. */
  readonly port: number;
  /** The app: `(request, env) => app.fetch(request, env)`. It should not throw. */
  readonly fetch: (request: Request, env: DoorEnv) => Response | Promise<Response>;
  /** What the port is for, in messages: "OpenAI API". */
  readonly purpose: string;
  /** The flag that chooses another port: "--port". */
  readonly portFlag: string;
  readonly limits?: Partial<HttpLimits>;
}

/** A server that listens. */
export interface HttpServer {
  readonly port: number;
  /** Addresses it listens on, as in URLs: "127.0.0.1", "[::1]". */
  readonly hosts: readonly string[];
  /** Open connections, idle ones included. */
  readonly connectionCount: number;
  /** Requests whose answers are not complete. */
  readonly exchangeCount: number;
  /** Stops listening at once, lets running requests end for `graceMs`, then cuts what is left. */
  close(options: { readonly graceMs: number }): Promise<void>;
}

/**
 * Starts to listen.
 *
 * @throws {UserError} when the port is taken or may not be used
 */
export async function serveHttp(options: ServeOptions): Promise<HttpServer> {
  const server = new DoorServer(options);
  try {
    await server.listen();
  } catch (error) {
    await server.close({ graceMs: 0 });
    throw error;
  }
  return server;
}

class DoorServer implements HttpServer {
  readonly #options: ServeOptions;
  readonly #limits: HttpLimits;
  readonly #servers: http.Server[] = [];
  readonly #connections = new Map<Socket, Set<Exchange>>();
  #isClosing = false;
  port = 0;
  hosts: readonly string[] = [];

  constructor(options: ServeOptions) {
    this.#options = options;
    this.#limits = { ...HTTP_LIMITS, ...options.limits };
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  get exchangeCount(): number {
    let count = 0;
    for (const exchanges of this.#connections.values()) count += exchanges.size;
    return count;
  }

  async listen(): Promise<void> {
    const { listen, port } = this.#options;
    if (listen === "loopback") return await this.#listenLoopback();
    try {
      this.port = await this.#bind("::", port);
      this.hosts = ["[::]"];
    } catch (error) {
      if (!isAddressMissing(error)) throw this.#explain(error);
      this.port = await this.#bind("0.0.0.0", port).catch((cause) => {
        throw this.#explain(cause);
      });
      this.hosts = ["0.0.0.0"];
    }
  }

  async close(options: { readonly graceMs: number }): Promise<void> {
    this.#isClosing = true;
    const closed = this.#servers.map((server) =>
      new Promise<void>((resolve) => {
        if (server.listening) server.close(() => resolve());
        else resolve();
      })
    );
    for (const [socket, exchanges] of this.#connections) {
      if (exchanges.size === 0 || options.graceMs <= 0) socket.destroy();
      for (const exchange of exchanges) exchange.closeAfter();
    }
    const { promise: gaveUp, resolve: giveUp } = Promise.withResolvers<void>();
    const cut = setTimeout(() => {
      for (const socket of this.#connections.keys()) socket.destroy();
    }, options.graceMs);
    const end = setTimeout(giveUp, options.graceMs + CUT_MS);
    await Promise.race([Promise.all(closed), gaveUp]);
    clearTimeout(cut);
    clearTimeout(end);
  }

  /** Both loopback addresses, since `localhost` means either; machines without IPv6 have one. */
  async #listenLoopback(): Promise<void> {
    const { port } = this.#options;
    for (let tries = 1;; tries += 1) {
      this.port = await this.#bind("127.0.0.1", port).catch((error) => {
        throw this.#explain(error);
      });
      this.hosts = ["127.0.0.1"];
      try {
        await this.#bind("::1", this.port);
        this.hosts = ["127.0.0.1", "[::1]"];
        return;
      } catch (error) {
        if (isAddressMissing(error)) return;
        if (port !== 0 || tries === FREE_PORT_TRIES) throw this.#explain(error);
        for (const server of this.#servers.splice(0)) server.close();
      }
    }
  }

  async #bind(hostname: string, port: number): Promise<number> {
    const server = this.#createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: hostname, port, backlog: 511 }, () => {
        server.off("error", reject);
        resolve();
      });
    });
    server.on("error", (error) => log.warn("HTTP server: {error}", { error: messageOf(error) }));
    this.#servers.push(server);
    return (server.address() as AddressInfo).port;
  }

  #createServer(): http.Server {
    const { fetch } = this.#options;
    // The listener builds the light `Request`; the answer is written by the exchange.
    const listener = getRequestListener(
      async (request, env) => {
        const exchange = exchangeOf((env as HttpBindings).outgoing);
        if (exchange === undefined) return Exchange.sent;
        return await exchange.answer(request, fetch);
      },
      {
        hostname: "localhost",
        overrideGlobalObjects: false,
        autoCleanupIncoming: false,
        errorHandler: badRequest,
      },
    );
    const server = http.createServer({
      maxHeaderSize: this.#limits.headBytesMax,
      headersTimeout: this.#limits.headMs,
      // Bodies have their own deadline, which knows how much arrived.
      requestTimeout: 0,
      keepAliveTimeout: this.#limits.idleMs,
      connectionsCheckingInterval: Math.min(HEAD_CHECK_MS, this.#limits.headMs),
      // The apps answer a missing Host in their own words.
      requireHostHeader: false,
    });
    // Not in the types: keeps a client that closed its sending half until it has its answer.
    Object.assign(server, { httpAllowHalfOpen: true });
    const onRequest = (incoming: http.IncomingMessage, outgoing: http.ServerResponse) => {
      if (this.#begin(incoming, outgoing)) void listener(incoming, outgoing);
    };
    server.on("request", onRequest);
    server.on("checkContinue", onRequest);
    server.on("connection", (socket: Socket) => this.#admit(socket));
    server.on("clientError", (error, socket) => this.#refuse(error, socket as Socket));
    return server;
  }

  #admit(socket: Socket): void {
    socket.on("error", () => {});
    // Each pipelined request listens, up to their bound: more than the ten that a leak is suspected from.
    socket.setMaxListeners(4 * PIPELINED_MAX);
    if (this.#isClosing || !this.#hasRoom()) {
      socket.destroy();
      return;
    }
    this.#connections.set(socket, new Set());
    socket.on("end", () => {
      for (const exchange of this.#connections.get(socket) ?? []) exchange.onHalfClosed();
    });
    socket.once("close", () => {
      for (const exchange of this.#connections.get(socket) ?? []) exchange.onClosed();
      this.#connections.delete(socket);
    });
  }

  /**
   * Makes room for one more by closing the oldest connection without a request, so that nobody can
   * keep others out with connections on which nothing, or half a head, was sent.
   */
  #hasRoom(): boolean {
    if (this.#connections.size < this.#limits.connectionsMax) return true;
    for (const [socket, exchanges] of this.#connections) {
      if (exchanges.size > 0) continue;
      socket.destroy();
      this.#connections.delete(socket);
      return true;
    }
    return false;
  }

  #begin(incoming: http.IncomingMessage, outgoing: http.ServerResponse): boolean {
    // What was read together with the request that was too many is parsed all the same.
    if (incoming.socket.destroyed) return false;
    // Deno 2.4 does not tell of connections: there each request stands for itself.
    const exchanges = this.#connections.get(incoming.socket) ?? new Set<Exchange>();
    if (exchanges.size >= PIPELINED_MAX) {
      incoming.socket.destroy();
      return false;
    }
    const fault = faultOf(incoming.rawHeaders, this.#limits.headBytesMax);
    if (fault !== undefined) {
      outgoing.writeHead(400, {
        "connection": "close",
        "content-type": "text/plain",
        "content-length": fault.length,
      });
      outgoing.end(fault);
      return false;
    }
    const exchange = new Exchange(incoming, outgoing, this.#limits);
    exchanges.add(exchange);
    exchange.onDone = () => {
      exchanges.delete(exchange);
      if (this.#isClosing && exchanges.size === 0) incoming.socket.destroySoon();
    };
    EXCHANGES.set(outgoing, exchange);
    if (this.#isClosing) exchange.closeAfter();
    return true;
  }

  /** The bytes are not HTTP, too many, or too slow. */
  #refuse(error: Error, socket: Socket): void {
    const exchanges = [...this.#connections.get(socket) ?? []];
    const last = exchanges.at(-1);
    if (last !== undefined && last.isBodyOpen) {
      // The head was fine: the app says what is wrong with the body.
      last.failBody(error);
      return;
    }
    const canAnswer = exchanges.length === 0 && socket.writable;
    if (!canAnswer) {
      socket.destroy();
      return;
    }
    socket.end(refusalOf(error));
    // Closing with bytes unread would reset the connection, and the client would lose its answer.
    socket.removeAllListeners("data");
    socket.resume();
    const cut = setTimeout(() => socket.destroy(), REFUSAL_MS);
    socket.once("close", () => clearTimeout(cut));
    socket.once("end", () => socket.destroy());
  }

  #explain(error: unknown): UserError {
    const { purpose, portFlag, port } = this.#options;
    const code = (error as { code?: unknown }).code;
    if (code === "EADDRINUSE") {
      return new UserError(
        `Cannot listen on port ${port} for the ${purpose}: another program uses it; ` +
          `stop that program or choose another port with ${portFlag}`,
        { cause: error },
      );
    }
    return new UserError(
      `Cannot listen on port ${port} for the ${purpose}: ${messageOf(error)}; ` +
        `choose another port with ${portFlag}`,
      { cause: error },
    );
  }
}

const EXCHANGES = new WeakMap<http.ServerResponse, Exchange>();

function exchangeOf(outgoing: http.ServerResponse): Exchange | undefined {
  return EXCHANGES.get(outgoing);
}

function isAddressMissing(error: unknown): boolean {
  const code = String((error as { code?: unknown }).code);
  return ["EADDRNOTAVAIL", "EAFNOSUPPORT", "EINVAL", "EPROTONOSUPPORT"].includes(code);
}

/**
 * What is wrong with a head that was parsed. Two Hosts are two opinions about who is asked (RFC 9112,
 * 3.2: the answer must be 400); the size is checked here too because older runtimes do not.
 */
function faultOf(rawHeaders: readonly string[], headBytesMax: number): string | undefined {
  let hosts = 0;
  let sizeBytes = 0;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    sizeBytes += name.length + (rawHeaders[i + 1] ?? "").length;
    if (name.length === 4 && name.toLowerCase() === "host") hosts += 1;
  }
  if (hosts > 1) return "Cannot accept a request with two Host headers\n";
  return sizeBytes > headBytesMax ? "Cannot accept headers of this size\n" : undefined;
}

function refusalOf(error: Error): string {
  const isLate = (error as { code?: unknown }).code === "ERR_HTTP_REQUEST_TIMEOUT";
  const status = isLate ? "408 Request Timeout" : "400 Bad Request";
  const text = isLate ? "The request took too long to arrive\n" : "Cannot read this as HTTP/1.1\n";
  return `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: text/plain\r\n` +
    `content-length: ${text.length}\r\n\r\n${text}`;
}

function badRequest(error: unknown): Response {
  log.debug("refused a request: {error}", { error: messageOf(error) });
  return new Response("Cannot read the target of this request\n", { status: 400 });
}
