/**
 * Connections over QUIC (RFC 9000): one `Deno.QuicEndpoint` on one UDP socket listens and dials, so that what a
 * peer sees of us is where it can dial us. A dialer pins the listener's leaf certificate by its SHA-256.
 */
import { Buffer } from "node:buffer";
import { getLogger } from "@logtape/logtape";
import { messageOf, UserError } from "../../base/errors.ts";
import { formatAddress, type PeerAddress } from "../address.ts";
import type { Connection, Transport } from "../transport.ts";
import type { LinkCert } from "./link_cert.ts";
import { QuicConnection } from "./quic_connection.ts";

const log = getLogger(["mesh-llm", "mesh"]);

const ALPN = "mesh-llm/1";
/**
 * Streams that a peer may have open: requests and the control stream. Each may hold 1.25 MB that we have not read
 * yet (Deno sets the window), so this also bounds what a peer can make us keep.
 */
const STREAMS_MAX = 256;
/**
 * The keep-alive is shorter than any limit of liveness; a connection outlives a pause of 15 s. Peers have no use
 * for streams in one direction.
 */
const TRANSPORT_OPTIONS = {
  keepAliveInterval: 700,
  maxIdleTimeout: 15_000,
  maxConcurrentBidirectionalStreams: STREAMS_MAX,
  maxConcurrentUnidirectionalStreams: 0,
} as const;
/**
 * Connections whose TLS is not through yet; each is over after the idle time at the latest. Anybody can begin one in
 * the name of any address, so a small number would be an easy way to keep others out; each costs some 30 KB.
 */
const PENDING_MAX = 512;
/** Connections that nobody has taken by `accept` yet. */
const WAITING_MAX = 64;

/** Where to bind. */
export interface QuicTransportOptions {
  readonly cert: LinkCert;
  /** @default {0}, any */
  readonly port?: number;
  /** IP literal. @default {all addresses, IPv6 and IPv4} */
  readonly hostname?: string;
  /** Handshakes of TLS at a time. @default {512} */
  readonly pendingMax?: number;
}

/**
 * Binds the socket.
 *
 * @throws {UserError} when the port is taken, or may not be used
 */
export function openQuicTransport(options: QuicTransportOptions): Transport {
  const endpoint = bind(options);
  const { certPem, keyPem, leafHash } = options.cert;
  const listener = endpoint.listen({
    cert: certPem,
    key: keyPem,
    alpnProtocols: [ALPN],
    ...TRANSPORT_OPTIONS,
  });
  return new QuicTransport(endpoint, listener, {
    leafHash,
    pendingMax: options.pendingMax ?? PENDING_MAX,
  });
}

function bind({ hostname, port = 0 }: QuicTransportOptions): Deno.QuicEndpoint {
  // Windows keeps IPv4 off a socket on "::", and most peers have IPv4.
  const all = Deno.build.os === "windows" ? ["0.0.0.0"] : ["::", "0.0.0.0"];
  const tried = hostname === undefined ? all : [hostname];
  let failure: unknown;
  for (const each of tried) {
    try {
      return new Deno.QuicEndpoint({ hostname: each, port });
    } catch (error) {
      failure = error;
      if (error instanceof Deno.errors.AddrInUse) break;
    }
  }
  throw new UserError(
    `Cannot use UDP port ${port} for links with peers: ${messageOf(failure)}. ` +
      "Give another one with --bind-port",
    { cause: failure },
  );
}

class QuicTransport implements Transport {
  readonly port: number;
  readonly leafHash: string;
  readonly #endpoint: Deno.QuicEndpoint;
  readonly #listener: Deno.QuicListener;
  readonly #open = new Set<QuicConnection>();
  readonly #waiting: QuicConnection[] = [];
  #takers: ((connection: QuicConnection | undefined) => void)[] = [];
  readonly #pendingMax: number;
  #pending = 0;
  #isClosed = false;
  readonly #listening: Promise<void>;

  constructor(
    endpoint: Deno.QuicEndpoint,
    listener: Deno.QuicListener,
    { leafHash, pendingMax }: { readonly leafHash: string; readonly pendingMax: number },
  ) {
    this.#endpoint = endpoint;
    this.#listener = listener;
    this.leafHash = leafHash;
    this.#pendingMax = pendingMax;
    this.port = endpoint.addr.port;
    this.#listening = this.#listen();
  }

  async dial(
    { ip, port }: PeerAddress,
    { leafHash, signal }: { readonly leafHash: string; readonly signal: AbortSignal },
  ): Promise<Connection> {
    signal.throwIfAborted();
    if (this.#isClosed) throw new Error("The transport is closed");
    const aborted = Promise.withResolvers<never>();
    const onAbort = () =>
      aborted.reject(new Error(`Nobody answered at ${formatAddress({ ip, port })} in time`));
    signal.addEventListener("abort", onAbort);
    let isLate = false;
    const connecting = this.#connect({ ip, port }, leafHash).then((conn) => {
      conn.closed.catch(() => {});
      if (!isLate && !this.#isClosed) return this.#track(conn, { side: "dialer", leafHash });
      conn.close({ closeCode: 0, reason: "" });
      throw new Error("The connection came too late");
    });
    try {
      return await Promise.race([connecting, aborted.promise]);
    } finally {
      isLate = true;
      connecting.catch(() => {});
      signal.removeEventListener("abort", onAbort);
    }
  }

  accept(): Promise<Connection | undefined> {
    const next = this.#waiting.shift();
    if (next !== undefined || this.#isClosed) return Promise.resolve(next);
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  async close(): Promise<void> {
    if (this.#isClosed) return await this.#listening;
    this.#isClosed = true;
    for (const connection of this.#open) connection.close();
    this.#listener.stop();
    this.#endpoint.close();
    for (const take of this.#takers) take(undefined);
    this.#takers = [];
    await this.#listening;
  }

  async #connect({ ip, port }: PeerAddress, leafHash: string): Promise<Deno.QuicConn> {
    const options = {
      hostname: ip,
      port,
      // Sent in the clear; says nothing about who is dialled.
      serverName: "mesh-llm",
      alpnProtocols: [ALPN],
      endpoint: this.#endpoint,
      ...TRANSPORT_OPTIONS,
      // Deno has this option, but not in its types.
      serverCertificateHashes: [
        { algorithm: "sha-256", value: new Uint8Array(Buffer.from(leafHash, "base64url")) },
      ],
    };
    return await Deno.connectQuic<false>(options);
  }

  #track(
    conn: Deno.QuicConn,
    facts: { readonly side: "dialer" | "listener"; readonly leafHash: string },
  ): QuicConnection {
    const connection = new QuicConnection(conn, facts);
    this.#open.add(connection);
    void connection.closed.then(() => this.#open.delete(connection));
    return connection;
  }

  /** Takes what comes until the transport is closed; a slow or broken handshake holds nobody up. */
  async #listen(): Promise<void> {
    while (!this.#isClosed) {
      let incoming: Deno.QuicIncoming;
      try {
        incoming = await this.#listener.incoming();
      } catch (error) {
        if (!this.#isClosed) {
          log.error("Cannot take connections any more: {reason}", { reason: messageOf(error) });
        }
        return;
      }
      // Anything about the stranger but accepting it would destroy what came: Deno's `remoteAddr` does.
      if (this.#pending >= this.#pendingMax) incoming.refuse();
      else void this.#shake(incoming);
    }
  }

  async #shake(incoming: Deno.QuicIncoming): Promise<void> {
    this.#pending += 1;
    try {
      const conn = await incoming.accept();
      conn.closed.catch(() => {});
      this.#hand(conn);
    } catch (error) {
      log.debug("A connection came to nothing: {reason}", { reason: messageOf(error) });
    } finally {
      this.#pending -= 1;
    }
  }

  #hand(conn: Deno.QuicConn): void {
    if (this.#isClosed || this.#waiting.length >= WAITING_MAX) {
      return conn.close({ closeCode: 0, reason: "" });
    }
    const connection = this.#track(conn, { side: "listener", leafHash: this.leafHash });
    const take = this.#takers.shift();
    if (take === undefined) this.#waiting.push(connection);
    else take(connection);
  }
}
