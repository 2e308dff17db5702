/** Whom an invite names: where those who come with it can begin. Pure. */
import type { BootstrapPeer, Role } from "~/mesh/credentials.ts";
import type { MemberView } from "~/mesh/membership_ports.ts";
import type { NodeRecord } from "~/mesh/record.ts";

/** Peers named in an invite. */
export const INVITE_PEERS_MAX = 4;

/** What the choice looks at. */
export interface BootstrapFacts {
  readonly own: BootstrapPeer;
  /** How this node acts: nobody hangs on a client. */
  readonly role: Role;
  readonly dialable: NodeRecord["dialable"];
  /** Members that are here. */
  readonly members: readonly MemberView[];
  /** Members may not admit anybody: only this node does. */
  readonly isClosed: boolean;
}

/**
 * All that an invite could name, the best first: this node, then members who may invite and can be dialled. A node
 * that cannot be dialled names itself after others, for those who are near it.
 */
export function bootstrapPeers(facts: BootstrapFacts): readonly BootstrapPeer[] {
  const { own, role, dialable, members, isClosed } = facts;
  const others = isClosed ? [] : members.filter(canAdmit)
    .toSorted((a, b) => Number(isProved(b)) - Number(isProved(a)))
    .map(({ record: { record: { node, leafHash, addresses } } }) => ({
      nodeId: node,
      leafHash,
      addresses,
    }));
  if (role === "client") return others;
  if (dialable !== "no") return [own, ...others];
  const before = others.slice(0, INVITE_PEERS_MAX - 1);
  return [...before, own, ...others.slice(before.length)];
}

function canAdmit({ health, record: { record, certificate } }: MemberView): boolean {
  return health === "live" && record.dialable !== "no" && record.addresses.length > 0 &&
    certificate.paper.rights.includes("invite");
}

function isProved({ record: { record } }: MemberView): boolean {
  return record.dialable === "yes";
}
