/** Who has a link with us, how well it is heard, and whom each says it is linked with. */
import { TokenBucket } from "../base/token_bucket.ts";
import type { Role } from "./credentials.ts";
import type { NodeId } from "./ids.ts";
import type { LinkHealth } from "./link_ports.ts";

/** Control messages of one peer: an honest one sends some ten a second at the worst of times. */
const MESSAGES = { burst: 512, perSecond: 64 };
/** Records of one peer: a burst is all that one may have, after that it is changes. */
const RECORDS = { burst: 1152, perSecond: 64 };
/** Dials that one peer may ask of others. */
const DIAL_ME = { burst: 4, perSecond: 1 };

/** What came with a link. */
export interface NewNeighbour {
  readonly peer: NodeId;
  readonly role: Role;
  readonly session: string;
  readonly isPunched: boolean;
  readonly upMs: number;
  /** Incarnation of its record when the link came up; -1 without one. */
  readonly incarnation: number;
}

/** What a peer may do, over all its links: who dials again gets no fresh allowance. */
interface Budget {
  readonly messages: TokenBucket;
  readonly recordsIn: TokenBucket;
  readonly recordsOut: TokenBucket;
  readonly dialMe: TokenBucket;
}

/** A peer with a link. */
export interface Neighbour extends NewNeighbour, Budget {
  health: LinkHealth;
  rttMs: number | undefined;
  /** Told to go: nothing of it is heard any more. */
  isClosing: boolean;
  /** Whom it says it is linked with. Never filled for a client. */
  readonly paths: ReadonlySet<NodeId>;
}

/** What a neighbour says about its paths. */
export interface PathNews {
  readonly reset: boolean;
  readonly up: readonly NodeId[];
  readonly down: readonly NodeId[];
}

interface Entry extends Neighbour {
  readonly paths: Set<NodeId>;
}

/** The neighbours. */
export class Neighbours {
  readonly #pathsMax: number;
  readonly #entries = new Map<NodeId, Entry>();
  /** Who says it is linked with a node. */
  readonly #claims = new Map<NodeId, Set<Entry>>();
  readonly #budgets = new Map<NodeId, Budget>();

  constructor(pathsPerPeer: number) {
    this.#pathsMax = pathsPerPeer;
  }

  get(peer: NodeId): Neighbour | undefined {
    return this.#entries.get(peer);
  }

  all(): IterableIterator<Neighbour> {
    return this.#entries.values();
  }

  /** Adds a peer, or puts its new link in the place of the old one. */
  add(news: NewNeighbour): Neighbour {
    const old = this.#entries.get(news.peer);
    this.remove(news.peer);
    const budget = this.#budgets.get(news.peer) ?? newBudget();
    this.#budgets.set(news.peer, budget);
    const isSame = old !== undefined && old.session === news.session && news.role === "member";
    const entry: Entry = {
      ...news,
      ...budget,
      // Of two dials at once the second link goes through the door that the first opened.
      isPunched: news.isPunched || (isSame && old.isPunched && isLive(old)),
      health: "live",
      rttMs: undefined,
      isClosing: false,
      paths: new Set(),
    };
    this.#entries.set(news.peer, entry);
    // The same process says everything anew on the new link; until then what it said on the old one holds.
    for (const node of isSame ? old.paths : []) this.#claim(entry, node);
    return entry;
  }

  /** Forgets what those may do who have no link any more. */
  tidy(): void {
    for (const peer of this.#budgets.keys()) {
      if (!this.#entries.has(peer)) this.#budgets.delete(peer);
    }
  }

  /** Forgets a peer; returns the nodes that it led to. */
  remove(peer: NodeId): readonly NodeId[] {
    const entry = this.#entries.get(peer);
    if (entry === undefined) return [];
    this.#entries.delete(peer);
    for (const node of entry.paths) this.#unclaim(entry, node);
    return [...entry.paths];
  }

  /** Takes what a neighbour says; returns the nodes to which something changed. */
  setPaths(peer: NodeId, news: PathNews): ReadonlySet<NodeId> {
    const changed = new Set<NodeId>();
    const entry = this.#entries.get(peer);
    if (entry === undefined || entry.role === "client") return changed;
    const up = new Set(news.up);
    const gone = news.reset ? [...entry.paths].filter((node) => !up.has(node)) : news.down;
    for (const node of gone) {
      if (!entry.paths.has(node)) continue;
      this.#unclaim(entry, node);
      entry.paths.delete(node);
      changed.add(node);
    }
    for (const node of up) {
      if (entry.paths.has(node) || node === peer || entry.paths.size >= this.#pathsMax) continue;
      this.#claim(entry, node);
      changed.add(node);
    }
    return changed;
  }

  #claim(entry: Entry, node: NodeId): void {
    entry.paths.add(node);
    const claims = this.#claims.get(node) ?? new Set();
    this.#claims.set(node, claims.add(entry));
  }

  #unclaim(entry: Entry, node: NodeId): void {
    const claims = this.#claims.get(node);
    claims?.delete(entry);
    if (claims?.size === 0) this.#claims.delete(node);
  }

  /** Live neighbours that say they are linked with `node`, in a steady order. */
  via(node: NodeId): readonly NodeId[] {
    const found: NodeId[] = [];
    for (const entry of this.#claims.get(node) ?? []) if (isLive(entry)) found.push(entry.peer);
    return found.sort();
  }
}

function newBudget(): Budget {
  return {
    messages: new TokenBucket(MESSAGES),
    recordsIn: new TokenBucket(RECORDS),
    recordsOut: new TokenBucket(RECORDS),
    dialMe: new TokenBucket(DIAL_ME),
  };
}

/** Heard lately, and not told to go. */
export function isLive(neighbour: Neighbour): boolean {
  return neighbour.health === "live" && !neighbour.isClosing;
}

/** Counts as a link: live, or not heard for a moment. */
export function isUsable(neighbour: Neighbour): boolean {
  return (neighbour.health === "live" || neighbour.health === "suspect") && !neighbour.isClosing;
}
