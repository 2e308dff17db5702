/**
 * The HTTP/1.1 server under both doors, over `Deno.listen`; see docs/decisions/002-http-server.md for why it is
 * our own.
 *
 * @module
 */
import { getLogger } from "@logtape/logtape";
import { messageOf, UserError } from "../errors.ts";
import type { DoorEnv } from "../http_door.ts";
import { type ConnectionHost, HttpConnection } from "./http_connection.ts";

const log = getLogger(["mesh-llm", "base"]);

/** Bounds of the server; each wait and each count has one. */
export interface HttpLimits {
  /** Size of a request's head. 32 KiB: long cookies of localhost pages fit. */
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

/** How often connections are looked at for what lasts too long; more often when a limit is shorter. */
const LOOK_MS = 1_000;
/** How long to wait when the system has no more room for connections. */
const ACCEPT_AGAIN_MS = 1_000;
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

class DoorServer implements HttpServer, ConnectionHost {
  readonly limits: HttpLimits;
  readonly fetch: ServeOptions["fetch"];
  readonly #options: ServeOptions;
  readonly #lookMs: number;
  readonly #listeners = new Map<Deno.TcpListener, Promise<void>>();
  /** Oldest first. */
  readonly #connections = new Set<HttpConnection>();
  /** Settle when the connections have ended. */
  readonly #running = new Set<Promise<void>>();
  #nextLook: ReturnType<typeof setTimeout> | undefined;
  isClosing = false;
  port = 0;
  hosts: readonly string[] = [];

  constructor(options: ServeOptions) {
    this.#options = options;
    this.fetch = options.fetch;
    this.limits = { ...HTTP_LIMITS, ...options.limits };
    const { headMs, idleMs, stalledReaderMs, lingerMs } = this.limits;
    this.#lookMs = Math.min(LOOK_MS, headMs, idleMs, stalledReaderMs, lingerMs);
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  get exchangeCount(): number {
    let count = 0;
    for (const connection of this.#connections) count += connection.exchangeCount;
    return count;
  }

  async listen(): Promise<void> {
    const { listen, port } = this.#options;
    if (listen === "loopback") return await this.#listenLoopback();
    try {
      this.port = this.#bind("::", port);
      this.hosts = ["[::]"];
      // There the first takes connections of its own kind only.
      if (Deno.build.os === "windows") this.#bind("0.0.0.0", this.port);
    } catch (error) {
      if (!isAddressMissing(error)) throw this.#explain(error);
      this.port = this.#tryBind("0.0.0.0", port);
      this.hosts = ["0.0.0.0"];
    }
  }

  async close(options: { readonly graceMs: number }): Promise<void> {
    this.isClosing = true;
    await this.#unbind();
    for (const connection of this.#connections) {
      if (options.graceMs > 0) connection.closeSoon();
      else connection.destroy();
    }
    const cut = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
    }, options.graceMs);
    while (this.#running.size > 0) await Promise.all(this.#running);
    clearTimeout(cut);
    clearTimeout(this.#nextLook);
  }

  /** A connection is no more. */
  onClosed(connection: HttpConnection): void {
    this.#connections.delete(connection);
  }

  /** Both loopback addresses, since `localhost` means either; machines without IPv6 have one. */
  async #listenLoopback(): Promise<void> {
    const { port } = this.#options;
    for (let tries = 1;; tries += 1) {
      this.port = this.#tryBind("127.0.0.1", port);
      this.hosts = ["127.0.0.1"];
      try {
        this.#bind("::1", this.port);
        this.hosts = ["127.0.0.1", "[::1]"];
        return;
      } catch (error) {
        if (isAddressMissing(error)) return;
        if (port !== 0 || tries === FREE_PORT_TRIES) throw this.#explain(error);
        await this.#unbind();
      }
    }
  }

  #tryBind(hostname: string, port: number): number {
    try {
      return this.#bind(hostname, port);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  #bind(hostname: string, port: number): number {
    const listener = Deno.listen({ hostname, port });
    this.#listeners.set(listener, this.#acceptAll(listener));
    return listener.addr.port;
  }

  /** Stops listening. */
  async #unbind(): Promise<void> {
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const [listener] of listeners) listener.close();
    await Promise.all(listeners.map(([, accepting]) => accepting));
  }

  async #acceptAll(listener: Deno.TcpListener): Promise<void> {
    for (;;) {
      try {
        this.#admit(await listener.accept());
      } catch (error) {
        if (!this.#listeners.has(listener)) return;
        log.warn("HTTP server: {error}", { error: messageOf(error) });
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_AGAIN_MS));
      }
    }
  }

  #admit(conn: Deno.TcpConn): void {
    if (this.isClosing || !this.#hasRoom()) {
      conn.close();
      return;
    }
    const connection = new HttpConnection(conn, this);
    this.#connections.add(connection);
    const running = connection.run().finally(() => this.#running.delete(running));
    this.#running.add(running);
    this.#nextLook ??= setTimeout(() => this.#look(), this.#lookMs);
  }

  /**
   * Makes room for one more by closing the oldest connection without a request, so that nobody can
   * keep others out with connections on which nothing, or half a head, was sent.
   */
  #hasRoom(): boolean {
    if (this.#connections.size < this.limits.connectionsMax) return true;
    for (const connection of this.#connections) {
      if (connection.exchangeCount > 0) continue;
      connection.destroy();
      return true;
    }
    return false;
  }

  #look(): void {
    const nowMs = performance.now();
    for (const connection of this.#connections) connection.look(nowMs);
    this.#nextLook = this.#connections.size === 0
      ? undefined
      : setTimeout(() => this.#look(), this.#lookMs);
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

function isAddressMissing(error: unknown): boolean {
  const code = String((error as { code?: unknown }).code);
  return ["EADDRNOTAVAIL", "EAFNOSUPPORT", "EINVAL", "EPROTONOSUPPORT"].includes(code);
}
