/**
 * Owner of the links of one mesh: accepts and dials them, keeps one per peer, and tells what happens on it.
 * A link that another took the place of is left alone for a while, so that what runs on it can end.
 */
import { getLogger } from "@logtape/logtape";
import type { Timers } from "~/base/clock.ts";
import { messageOf } from "~/base/errors.ts";
import { formatAddress, type PeerAddress } from "~/mesh/address.ts";
import type { ControlMessage } from "~/mesh/control.ts";
import { RefusedError } from "~/mesh/handshake.ts";
import { type NodeId, shortId } from "~/mesh/ids.ts";
import type { Link, LinkEnd, LinkHealth, PeerStream } from "~/mesh/link_ports.ts";
import type { Connection, Transport } from "~/mesh/transport.ts";
import { raceWays } from "./dial_race.ts";
import { replaces } from "./link_choice.ts";

const log = getLogger(["mesh-llm", "mesh"]);

/** Time for a link that was replaced to end what runs on it: two dials at once happen at the start. */
const RETIRED_MS = 10_000;
/** Between tries of one peer's addresses: a LAN answers sooner. */
const DIAL_STAGGER_MS = 250;
/** For one dial over all addresses, handshakes included. */
const DIAL_MS_MAX = 5_000;
/** Addresses tried in one dial. */
const DIAL_ADDRESSES_MAX = 8;
/** Replaced links of one peer that may end what runs on them; the oldest of more is closed at once. */
const RETIRED_MAX = 4;
/** Peers that were dialled, remembered to tell who came by himself. */
const DIALLED_MAX = 4096;
/** Links with clients; each costs some 100 KiB. */
const CLIENT_LINKS_MAX = 256;
/** Links with members: more than a full mesh of the size that this version is made for. */
const MEMBER_LINKS_MAX = 128;

/** Makes links of connections: `dialLink` and `acceptLink` of lib/mesh, with everything they need. */
export interface LinkMaker {
  dial(connection: Connection, expected: NodeId, signal: AbortSignal): Promise<Link>;
  accept(connection: Connection): Promise<Link>;
}

/** Told of what happens; must not throw. */
export interface LinkTableEvents {
  /** A peer has its first link, or a new one in the place of another. */
  up(link: Link): void;
  message(link: Link, message: ControlMessage): void;
  stream(link: Link, stream: PeerStream): void;
  health(link: Link, health: LinkHealth): void;
  /** As in {@link LinkEvents}. */
  quiet(link: Link): void;
  /** The peer has no link any more. */
  down(link: Link, end: LinkEnd): void;
}

/** What a {@link LinkTable} works with. */
export interface LinkTableOptions {
  readonly self: NodeId;
  readonly transport: Pick<Transport, "dial">;
  readonly maker: LinkMaker;
  /** Whether a node was revoked for good: it is never dialled. */
  readonly isRevoked: (peer: NodeId) => boolean;
  readonly timers: Timers;
  readonly events: LinkTableEvents;
}

/** Whom to dial, and how it is known. */
export interface DialTarget {
  readonly peer: NodeId;
  readonly leafHash: string;
  readonly addresses: readonly PeerAddress[];
}

/** The links. */
export class LinkTable {
  readonly #options: LinkTableOptions;
  readonly #links = new Map<NodeId, Link>();
  readonly #retired = new Map<Link, () => void>();
  readonly #dialled = new Set<NodeId>();
  readonly #closing = new AbortController();

  constructor(options: LinkTableOptions) {
    this.#options = options;
  }

  /** The link with a peer. */
  get(peer: NodeId): Link | undefined {
    return this.#links.get(peer);
  }

  /** All links, one per peer. */
  all(): readonly Link[] {
    return [...this.#links.values()];
  }

  /** Whether this node ever dialled a peer: that alone opens the door of a NAT to it. */
  wasDialled(peer: NodeId): boolean {
    return this.#dialled.has(peer);
  }

  /** Makes a link of a connection that came in; never rejects. */
  async accept(connection: Connection): Promise<void> {
    const from = formatAddress(connection.remoteAddress);
    try {
      this.#take(await this.#options.maker.accept(connection));
    } catch (error) {
      log.debug("Refused a connection from {from}: {reason}", { from, reason: messageOf(error) });
      connection.close();
    }
  }

  /**
   * Dials a peer over its addresses, several at once.
   *
   * @param given ends the dial from outside
   * @throws {RaceLostError} when no address leads to it
   * @throws {RefusedError} when it was revoked: nothing is sent then
   * @throws {Error} when there is no room for the link
   */
  async dial(target: DialTarget, given?: AbortSignal): Promise<Link> {
    const { transport, maker, timers, isRevoked } = this.#options;
    if (isRevoked(target.peer)) throw new RefusedError("revoked", "The node was revoked");
    if (this.#dialled.size >= DIALLED_MAX) this.#dialled.clear();
    this.#dialled.add(target.peer);
    const link = await raceWays<PeerAddress, Link>({
      ways: target.addresses.slice(0, DIAL_ADDRESSES_MAX),
      attempt: async (address, signal) => {
        const connection = await transport.dial(address, { leafHash: target.leafHash, signal });
        try {
          return await maker.dial(connection, target.peer, signal);
        } catch (error) {
          connection.close();
          throw error;
        }
      },
      discard: (late) => late.close("duplicate"),
      nameOf: formatAddress,
      timers,
      staggerMs: DIAL_STAGGER_MS,
      limitMs: DIAL_MS_MAX,
      signal: given === undefined
        ? this.#closing.signal
        : AbortSignal.any([given, this.#closing.signal]),
    });
    const refused = this.#take(link);
    if (refused === undefined) return link;
    throw new Error(`This node has no use for another link (${refused})`);
  }

  /** Ends the link with a peer, and those that it replaced. */
  drop(peer: NodeId, reason: string): void {
    // The replaced ones first: the other must not find a spare.
    for (const link of [...this.#retired.keys()]) {
      if (link.peer.nodeId === peer) link.close(reason);
    }
    this.#links.get(peer)?.close(reason);
  }

  /** Resolves when all peers have what they were answered, or after `limitMs` milliseconds. */
  async answersTaken(limitMs: number): Promise<void> {
    const links = [...this.#links.values(), ...this.#retired.keys()];
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const cancel = this.#options.timers.after(limitMs, resolve);
    await Promise.race([Promise.all(links.map((link) => link.answersTaken())), late]);
    cancel();
  }

  /** Ends all links and every dial; resolves when the goodbyes have arrived, or had their time. */
  async close(reason: string): Promise<void> {
    this.#closing.abort();
    const links = [...this.#links.values(), ...this.#retired.keys()];
    for (const link of links) link.close(reason);
    await Promise.all(links.map(({ gone }) => gone));
  }

  /** Takes a link in; says why when it was closed instead. */
  #take(link: Link): string | undefined {
    const { nodeId, session } = link.peer;
    const current = this.#links.get(nodeId);
    const refused = this.#closing.signal.aborted
      ? "leaving"
      : current === undefined && !this.#hasRoomFor(link)
      ? "full"
      : undefined;
    if (refused !== undefined) {
      link.close(refused);
      return refused;
    }
    const facts = (of: Link) => ({
      session: of.peer.session,
      isDialer: of.isDialer,
      health: of.health,
    });
    const stays = current !== undefined &&
      !replaces(facts(link), facts(current), { self: this.#options.self, peer: nodeId });
    if (stays) {
      // It may carry a request of the peer already: it lives on beside the other for a while.
      this.#retire(link, "duplicate");
      this.#begin(link);
      return undefined;
    }
    this.#links.set(nodeId, link);
    const isNewProcess = current !== undefined && current.peer.session !== session;
    if (current !== undefined && isNewProcess) current.close("replaced");
    else if (current !== undefined) this.#retire(current, "duplicate");
    log.debug("Linked with {peer} at {at}", {
      peer: shortId(nodeId),
      at: formatAddress(link.remoteAddress),
    });
    // First: a link that ended already tells so as soon as it begins.
    this.#options.events.up(link);
    this.#begin(link);
    return undefined;
  }

  #hasRoomFor(link: Link): boolean {
    const { role } = link.peer;
    const count = this.all().filter((other) => other.peer.role === role).length;
    return count < (role === "client" ? CLIENT_LINKS_MAX : MEMBER_LINKS_MAX);
  }

  #begin(link: Link): void {
    const { events } = this.#options;
    link.start({
      message: (message) => events.message(link, message),
      stream: (stream) => events.stream(link, stream),
      health: (health) => {
        if (this.#links.get(link.peer.nodeId) === link) events.health(link, health);
      },
      quiet: () => {
        if (this.#links.get(link.peer.nodeId) === link) events.quiet(link);
      },
      closed: (end) => this.#onClosed(link, end),
    });
  }

  #retire(link: Link, reason: string): void {
    const others = [...this.#retired.keys()].filter(({ peer }) => peer.nodeId === link.peer.nodeId);
    if (others.length >= RETIRED_MAX) others[0]?.close(reason);
    const cancel = this.#options.timers.after(RETIRED_MS, () => link.close(reason));
    this.#retired.set(link, cancel);
  }

  #onClosed(link: Link, end: LinkEnd): void {
    this.#retired.get(link)?.();
    this.#retired.delete(link);
    const { nodeId } = link.peer;
    if (this.#links.get(nodeId) !== link) return;
    this.#links.delete(nodeId);
    log.debug("The link with {peer} ended: {reason}", {
      peer: shortId(nodeId),
      reason: end.reason,
    });
    const spare = this.#spareOf(link);
    if (spare === undefined) return this.#options.events.down(link, end);
    this.#retired.get(spare)?.();
    this.#retired.delete(spare);
    this.#links.set(nodeId, spare);
    this.#options.events.up(spare);
  }

  /**
   * A replaced link with the same process that is still heard: of two dials over two addresses, the one that
   * its dialer gave up may have come last.
   */
  #spareOf({ peer: { nodeId, session } }: Link): Link | undefined {
    if (this.#closing.signal.aborted) return undefined;
    return [...this.#retired.keys()].reverse().find(({ peer, health }) =>
      peer.nodeId === nodeId && peer.session === session && health === "live"
    );
  }
}
