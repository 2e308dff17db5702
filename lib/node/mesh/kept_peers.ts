/** Peers that are kept for the next start: who is here first, then who was. Pure. */
import type { BootstrapPeer } from "~/mesh/credentials.ts";
import type { NodeId } from "~/mesh/ids.ts";
import type { MemberView } from "~/mesh/membership_ports.ts";
import type { SignedRecord } from "~/mesh/record.ts";

/** Enough to find a mesh again of which most are gone. */
const KEPT_PEERS_MAX = 64;

/** Where peers are known from. */
export interface KnownPeers {
  /** Members that are here. */
  readonly members: readonly MemberView[];
  /** Records of members, here or not. */
  readonly records: readonly SignedRecord[];
  /** What was kept before, and what the invite named: the only trace of members that are away for days. */
  readonly before: readonly BootstrapPeer[];
  readonly self: NodeId;
  /** Whether a node was revoked for good. */
  readonly isRevoked: (node: NodeId) => boolean;
}

/** Each peer once, with what is newest of it; who said goodbye may come back, and comes last. */
export function keptPeers(
  { members, records, before, self, isRevoked }: KnownPeers,
): BootstrapPeer[] {
  const direct = members.filter(({ isDirect }) => isDirect);
  const others = members.filter(({ isDirect }) => !isDirect);
  const known = [...direct, ...others].map(({ record }) => record);
  const all = [...known, ...records].filter(({ record }) => !record.isLeaving)
    .map(({ record: { node, leafHash, addresses, dialable } }) => ({
      peer: { nodeId: node, leafHash, addresses },
      isReachable: dialable !== "no",
    }));
  const ordered = [
    ...all.filter(({ isReachable }) => isReachable),
    ...all.filter(({ isReachable }) => !isReachable),
  ].map(({ peer }) => peer);
  const found = new Map<NodeId, BootstrapPeer>();
  for (const peer of [...ordered, ...before]) {
    const isUsable = peer.nodeId !== self && peer.addresses.length > 0 &&
      !isRevoked(peer.nodeId);
    if (isUsable && !found.has(peer.nodeId)) found.set(peer.nodeId, peer);
  }
  return [...found.values()].slice(0, KEPT_PEERS_MAX);
}
