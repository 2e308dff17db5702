/** A QUIC connection of Deno as a {@link Connection}. */
import { KIB } from "../../base/units.ts";
import { type PeerAddress, seenAddress } from "../address.ts";
import type { ByteStream, Connection } from "../transport.ts";
import { QuicByteStream } from "./quic_stream.ts";

/**
 * The runtime keeps some 50 KB for each connection until its object is collected, which the collector does not see:
 * it waited until strangers who came and went had taken 700 MB. An array as heavy, which lives as long, tells it.
 */
const WEIGHT_BYTES = 64 * KIB;
const WEIGHTS = new WeakMap<QuicConnection, ArrayBuffer>();

/** {@link Connection} over `Deno.QuicConn`. */
export class QuicConnection implements Connection {
  readonly side: "dialer" | "listener";
  readonly leafHash: string;
  readonly closed: Promise<void>;
  readonly #conn: Deno.QuicConn;
  readonly #incoming: ReadableStreamDefaultReader<Deno.QuicBidirectionalStream>;
  readonly #streams = new Set<QuicByteStream>();
  readonly #closed = Promise.withResolvers<void>();
  #isClosed = false;

  constructor(
    conn: Deno.QuicConn,
    { side, leafHash }: { readonly side: "dialer" | "listener"; readonly leafHash: string },
  ) {
    this.#conn = conn;
    WEIGHTS.set(this, new ArrayBuffer(WEIGHT_BYTES));
    this.side = side;
    this.leafHash = leafHash;
    this.#incoming = conn.incomingBidirectionalStreams.getReader();
    this.#incoming.closed.catch(() => {});
    this.closed = this.#closed.promise;
    // A connection that times out rejects this; in 2.4 without a handler that ends the process.
    conn.closed.then(() => this.#onClosed(), () => this.#onClosed());
  }

  /** Moves with a dialer whose address changes (RFC 9000, section 9). */
  get remoteAddress(): PeerAddress {
    const { hostname, port } = this.#conn.remoteAddr;
    return seenAddress(hostname, port);
  }

  async openStream({ priority = 0 }: { readonly priority?: number } = {}): Promise<ByteStream> {
    if (this.#isClosed) throw new Error("The connection is closed");
    // Waits while the peer allows no more, and fails when the connection ends meanwhile.
    return this.#track(
      await this.#conn.createBidirectionalStream({ sendOrder: priority, waitUntilAvailable: true }),
    );
  }

  async acceptStream(): Promise<ByteStream | undefined> {
    try {
      const { value } = await this.#incoming.read();
      return value === undefined ? undefined : this.#track(value);
    } catch {
      return undefined;
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#conn.close({ closeCode: 0, reason: "" });
    this.#onClosed();
  }

  #track(stream: Deno.QuicBidirectionalStream): ByteStream {
    const bytes = new QuicByteStream(stream, () => this.#streams.delete(bytes));
    if (this.#isClosed) bytes.abort();
    else this.#streams.add(bytes);
    return bytes;
  }

  #onClosed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const stream of this.#streams) stream.abort();
    this.#incoming.cancel().catch(() => {});
    this.#closed.resolve();
  }
}
