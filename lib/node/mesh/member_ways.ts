/**
 * The ways to other members: over their own link, or over one neighbour that passes requests on. Each way is one
 * upstream that lives as long as the way does, so that what runs on it is counted in one place.
 */
import type { NodeId } from "~/mesh/ids.ts";
import { type Link, LinkClosedError, type LinkHealth, type PeerStream } from "~/mesh/link_ports.ts";
import type { MemberView } from "~/mesh/membership_ports.ts";
import type { Silence } from "~/proxy/patience.ts";
import { PeerUpstream } from "~/proxy/peer_upstream.ts";
import type { RelayWay } from "~/proxy/peer_relay.ts";
import type { RemoteHost } from "../mesh_routing.ts";

/** A neighbour that answers so much sooner takes the place of the one that passes on now. */
const NEARER = { factor: 0.5, atLeastMs: 2 };

/** What the ways are read from. */
export interface MemberWaysOptions {
  readonly members: () => readonly MemberView[];
  readonly link: (peer: NodeId) => Link | undefined;
  /** A request goes to a member over somebody else: a link of its own would be better. */
  readonly wantDirect: (peer: NodeId) => void;
}

/** Where requests can be sent in the mesh. */
export class MemberWays {
  readonly #options: MemberWaysOptions;
  /** By node and the neighbour that passes on, if any. */
  readonly #upstreams = new Map<string, PeerUpstream>();
  readonly #listeners = new Map<NodeId, Set<(silence: Silence) => void>>();
  /** The neighbour that passes on to each node. */
  readonly #chosen = new Map<NodeId, NodeId>();
  /** What was found for these members: every request asks several times. */
  #found:
    | { readonly members: readonly MemberView[]; readonly hosts: readonly RemoteHost[] }
    | undefined;

  constructor(options: MemberWaysOptions) {
    this.#options = options;
  }

  /**
   * Members that serve something or are about to, with the way to each. The same array until the members change:
   * `members` gives another one then.
   */
  remotes(): readonly RemoteHost[] {
    const members = this.#options.members();
    if (this.#found?.members === members) return this.#found.hosts;
    const used = new Set<string>();
    const hosts = members.flatMap((member) => {
      const { serving, loading } = member.record.record;
      if (serving.length === 0 && loading.length === 0) return [];
      const host = this.#hostOf(member, used);
      return host === undefined ? [] : [host];
    });
    for (const key of this.#upstreams.keys()) if (!used.has(key)) this.#upstreams.delete(key);
    const asked = new Set(hosts.map(({ nodeId }) => nodeId));
    for (const node of this.#chosen.keys()) if (!asked.has(node)) this.#chosen.delete(node);
    this.#found = { members, hosts };
    return hosts;
  }

  /** The neighbour over which requests go to a member; undefined when it has a link, or nobody leads to it. */
  relayOf(member: MemberView): NodeId | undefined {
    return member.isDirect ? undefined : this.#nearest(member);
  }

  /** The way for requests that are passed on: a live link of our own with a member, nothing else. */
  wayTo(peer: NodeId): RelayWay | undefined {
    const link = this.#options.link(peer);
    if (link?.health !== "live" || link.peer.role === "client") return undefined;
    return {
      openStream: () => link.openStream(),
      onSilence: (listener) => this.#watch(peer, listener),
    };
  }

  /** A link changed its health, or is gone. */
  onHealth(peer: NodeId, health: LinkHealth): void {
    if (health !== "live") this.#tell(peer, health === "suspect" ? "suspect" : "silent");
  }

  /** Nothing was heard of a link for a moment. */
  onQuiet(peer: NodeId): void {
    this.#tell(peer, "quiet");
  }

  #tell(peer: NodeId, silence: Silence): void {
    for (const listener of [...this.#listeners.get(peer) ?? []]) listener(silence);
  }

  #hostOf(member: MemberView, used: Set<string>): RemoteHost | undefined {
    const { node, record, health } = member;
    const via = this.relayOf(member);
    if (via !== undefined) this.#chosen.set(node, via);
    else if (member.isDirect) this.#chosen.delete(node);
    else return undefined;
    const key = via === undefined ? node : `${node} ${via}`;
    used.add(key);
    const upstream = this.#upstreams.get(key) ?? this.#upstreamOf(node, via);
    this.#upstreams.set(key, upstream);
    const { link } = this.#options;
    return {
      nodeId: node,
      serving: record.record.serving,
      loading: record.record.loading,
      upstream,
      get rttMs() {
        return link(via ?? node)?.rttMs;
      },
      isSuspect: health === "suspect",
    };
  }

  /**
   * The neighbour that answers soonest; the one of before stays while others are not much better: round trips vary from
   * one to the next, and each change of the way splits the count of what runs on it.
   */
  #nearest({ node, via }: MemberView): NodeId | undefined {
    const rtt = (peer: NodeId): number => this.#options.link(peer)?.rttMs ?? Number.MAX_VALUE;
    const [best] = [...via].sort((a, b) => rtt(a) - rtt(b));
    const chosen = this.#chosen.get(node);
    if (best === undefined || chosen === undefined || !via.includes(chosen)) return best;
    const isNearer = rtt(best) < rtt(chosen) * NEARER.factor &&
      rtt(chosen) - rtt(best) >= NEARER.atLeastMs;
    return isNearer ? best : chosen;
  }

  #upstreamOf(node: NodeId, via: NodeId | undefined): PeerUpstream {
    const next = via ?? node;
    return new PeerUpstream({
      nodeId: node,
      isRelayed: via !== undefined,
      openStream: () => this.#open(node, next),
      onSilence: (listener) => this.#watch(next, listener),
    });
  }

  #open(node: NodeId, next: NodeId): Promise<PeerStream> {
    if (node !== next) this.#options.wantDirect(node);
    const link = this.#options.link(next);
    if (link === undefined) return Promise.reject(new LinkClosedError("The link is gone"));
    return link.openStream();
  }

  #watch(peer: NodeId, listener: (silence: Silence) => void): () => void {
    const link = this.#options.link(peer);
    if (link === undefined || link.health === "silent" || link.health === "closed") {
      listener("silent");
      return () => {};
    }
    if (link.health === "suspect") listener("suspect");
    const listeners = this.#listeners.get(peer) ?? new Set();
    this.#listeners.set(peer, listeners);
    // Wrapped: one function may watch twice.
    const own = (silence: Silence): void => listener(silence);
    listeners.add(own);
    return () => {
      listeners.delete(own);
      if (listeners.size === 0 && this.#listeners.get(peer) === listeners) {
        this.#listeners.delete(peer);
      }
    };
  }
}
