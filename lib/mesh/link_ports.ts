/**
 * A link: an authenticated connection between two nodes of one mesh, as the rest of the program sees it.
 * Made by `link.ts` over any {@link Transport}.
 */
import type { JsonObject } from "../base/json.ts";
import type { PeerAddress } from "./address.ts";
import type { ControlMessage } from "./control.ts";
import type { Certificate, Role, Signed } from "./credentials.ts";
import type { NodeId } from "./ids.ts";

/** Who is at the other end, proved. */
export interface LinkPeer {
  readonly nodeId: NodeId;
  readonly certificate: Signed<Certificate>;
  /**
   * How it acts in the mesh: what its HELLO says (`role`), but "client" when its certificate does not let it
   * serve. A member that was started with `--client` acts as a client.
   */
  readonly role: Role;
  /** Changes with each start of its process. */
  readonly session: string;
  /** Version of its program. */
  readonly version: string;
}

/**
 * `live`: heard lately. `suspect`: nothing heard for 2 s: no new requests. `silent`: nothing for 4.5 s: it does
 * not count as a path any more, but comes back by itself when heard again. `closed`: over.
 */
export type LinkHealth = "live" | "suspect" | "silent" | "closed";

/** Why a link ended: what the peer or we said in `bye`, "lost" (idle for 15 s, reset), "protocol" (nonsense came). */
export interface LinkEnd {
  readonly reason: string;
  /** True when the peer said it. */
  readonly byPeer: boolean;
}

/** What a link tells its owner. Handlers must not throw; they may be set once, before {@link Link.start}. */
export interface LinkEvents {
  /** A control message other than ping, pong, cancel, release and bye. */
  message(message: ControlMessage): void;
  /** The peer opened a stream. */
  stream(stream: PeerStream): void;
  health(health: LinkHealth): void;
  /** Nothing was heard for 1 s: still live, but what runs on it may begin elsewhere too. Told once for each silence. */
  quiet(): void;
  /** Called once; no event follows. */
  closed(end: LinkEnd): void;
}

/** A link that is up. */
export interface Link {
  readonly peer: LinkPeer;
  /** True when we dialled. */
  readonly isDialer: boolean;
  readonly remoteAddress: PeerAddress;
  /** Where the peer sees us. */
  readonly observedAddress: PeerAddress;
  readonly health: LinkHealth;
  /** Smoothed round trip of pings in milliseconds; undefined before the first. */
  readonly rttMs: number | undefined;
  /** Begins to deliver events. */
  start(events: LinkEvents): void;
  /** Queues a message (bounded by bytes: a peer that does not read is cut off). Does nothing when closed. */
  send(message: ControlMessage): void;
  /** @throws {LinkClosedError} when the link is closed */
  openStream(): Promise<PeerStream>;
  /**
   * Asks the peer for its streams back: we are about to leave. Resolves when it has read all that they were answered,
   * or they broke off.
   */
  answersTaken(): Promise<void>;
  /** Says `bye` with the reason and closes; only the first call counts. */
  close(reason: string): void;
  /** Resolves when nothing of it is left: after the `bye` has reached the peer, or a second. */
  readonly gone: Promise<void>;
}

/** A piece of a stream: a head (JSON, at most 64 KiB) or bytes (at most 256 KiB each). */
export type StreamFrame =
  | { readonly kind: "head"; readonly head: JsonObject }
  | { readonly kind: "data"; readonly bytes: Uint8Array<ArrayBuffer> };

/**
 * A stream of frames both ways, each direction with an explicit end. It takes its resources back by itself once
 * both directions ended, were cancelled or broke.
 */
export interface PeerStream {
  /**
   * The next frame; undefined after the peer's END.
   *
   * @throws {StreamBrokenError} when it was cancelled or cut off before END
   */
  read(): Promise<StreamFrame | undefined>;
  /**
   * Resolves when more may be written. Larger data is cut into frames.
   *
   * @throws {StreamBrokenError} when it was cancelled or cut off
   */
  write(frame: StreamFrame): Promise<void>;
  /** Says END; our direction stays open below it, so that the peer can tell a cancel from an end. */
  end(): Promise<void>;
  /** Gives both directions up and tells the peer, even when its writer is blocked. Never throws. */
  cancel(): void;
  /** Aborted when the peer cancelled or the link ended before both ENDs; never after. */
  readonly broken: AbortSignal;
}

/** The stream was cancelled, or its link ended. */
export class StreamBrokenError extends Error {
  override readonly name = "StreamBrokenError";
}

/** The link is closed. */
export class LinkClosedError extends Error {
  override readonly name = "LinkClosedError";
}
