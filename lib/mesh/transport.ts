/**
 * What links need from the network: secured connections with streams, nothing of who is at the other end.
 * The real one is `io/quic_transport.ts`; tests have a twin in memory with delay, loss and partition.
 */
import type { PeerAddress } from "./address.ts";

/** One direction each way, in order, with flow control: a write waits until the reader has room. */
export interface ByteStream {
  /** The next bytes; undefined at the end. An abort of the peer looks like an end. */
  read(): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** Resolves when the bytes are on their way and more may be written. */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends our direction; the peer reads what was written and then the end. */
  end(): Promise<void>;
  /** Gives both directions up. Never throws. */
  abort(): void;
}

/** A connection to one peer, encrypted; the dialer knows the listener by its leaf certificate. */
export interface Connection {
  readonly side: "dialer" | "listener";
  readonly remoteAddress: PeerAddress;
  /** SHA-256 of the listener's leaf certificate in base64url: the same on both sides. */
  readonly leafHash: string;
  /**
   * Opens a stream; waits while the peer allows no more.
   *
   * @param priority streams with more of it are sent first. @default {0}
   */
  openStream(options?: { readonly priority?: number }): Promise<ByteStream>;
  /** The next stream that the peer opened (it is seen when its first bytes arrive); undefined when closed. */
  acceptStream(): Promise<ByteStream | undefined>;
  close(): void;
  /** Resolves when it is over, for whatever reason. Never rejects. */
  readonly closed: Promise<void>;
}

/** One UDP socket that listens and dials. */
export interface Transport {
  /** Where it is bound. */
  readonly port: number;
  /** SHA-256 of our own leaf certificate, base64url. */
  readonly leafHash: string;
  /**
   * Connects; the listener must show the leaf certificate with this hash.
   *
   * @throws when nobody answers in time, or somebody else does
   */
  dial(
    address: PeerAddress,
    options: { readonly leafHash: string; readonly signal: AbortSignal },
  ): Promise<Connection>;
  /** The next connection that somebody made to us; undefined when closed. */
  accept(): Promise<Connection | undefined>;
  close(): Promise<void>;
}
