/**
 * What the HTTP server tells a Hono app about a request beyond the `Request` itself, as `c.env`.
 * Only types: the server is `io/http_server.ts`.
 */

/** Receives a body as it arrives. After `end` or `fail` nothing more is called. */
export interface BodySink {
  /** The bytes are the receiver's to keep. */
  chunk(bytes: Uint8Array): void;
  end(): void;
  /** The body is broken or its sender is gone. */
  fail(cause: Error): void;
}

/** A request's body, not read yet. */
export interface IncomingBody {
  /** What Content-Length announces; undefined when it does not. */
  readonly declaredBytes: number | undefined;
  /**
   * Starts delivery; to be called once. A client that waits for `100 Continue` gets it now.
   * The returned function ends the delivery early; the rest is thrown away unread, and a client that
   * goes on sending for long is cut off.
   */
  read(sink: BodySink): () => void;
}

/** `c.env` of apps behind {@link serveHttp}. */
export interface DoorEnv {
  /**
   * Aborted when the client is gone before its answer was complete; never after success. A client
   * that only closed its sending half (`nc`, some scripts) is not gone.
   */
  readonly clientGone: AbortSignal;
  readonly body: IncomingBody;
  /** Set when another node of the mesh asks, over its link: it has proved who it is. */
  readonly peer?: PeerOfRequest | undefined;
}

/** A node that passes on a request of its own clients. */
export interface PeerOfRequest {
  readonly nodeId: string;
  /** Id of the model that it settled on; undefined: as the body says. */
  readonly model: string | undefined;
  /** The rest of an answer that broke off on another node. @default {false} */
  readonly isContinuation?: boolean;
}
