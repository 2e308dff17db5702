/** Decides what to sign when somebody is to be revoked. Pure. */
import { UserError } from "../base/errors.ts";
import type { Certificate, Revoked } from "./credentials.ts";
import { isSerialOf, type MeshId, type NodeId, shortId } from "./ids.ts";

/** What is to end: a node, or an invite, certificate or grant by its serial. */
export type RevokeSubject = { readonly node: NodeId } | { readonly serial: string };

/** Who revokes, and what it knows. */
export interface RevokerFacts {
  readonly meshId: MeshId;
  /** The mesh id, or the id of the node that holds a grant. */
  readonly issuer: MeshId | NodeId;
  /** This node. */
  readonly self: NodeId;
  /** Certificates of all members and clients that are known. */
  readonly certificates: readonly Certificate[];
}

/**
 * What the revocations must name.
 *
 * @throws {UserError} when the issuer may not revoke it, or would end itself
 */
export function planRevocation(subject: RevokeSubject, facts: RevokerFacts): readonly Revoked[] {
  return "node" in subject ? planNode(subject.node, facts) : planSerial(subject.serial, facts);
}

function planNode(node: NodeId, facts: RevokerFacts): readonly Revoked[] {
  refuseSelf(node === facts.self);
  const known = facts.certificates.filter((paper) => paper.subject === node);
  const own = known.filter((paper) => isOwn(paper, facts));
  if (own.length === 0 && !hasMeshKey(facts)) {
    const why = known.length === 0
      ? "it is not known here"
      : `it came by somebody else (${shortId(known[0]?.inviteSerial ?? facts.meshId)})`;
    throw new UserError(
      `Cannot revoke node ${node}: ${why}, and this node may revoke only what it issued; ` +
        "ask the originator of the mesh",
    );
  }
  const serials = new Set(own.map((paper) => paper.inviteSerial));
  if (serials.size === 0) serials.add(undefined);
  return [...serials].map((serial) => revokedNode(node, serial, facts));
}

function planSerial(serial: string, facts: RevokerFacts): readonly Revoked[] {
  if (!hasMeshKey(facts) && !isSerialOf(serial, facts.issuer)) {
    throw new UserError(
      `Cannot revoke ${serial}: somebody else issued it, and this node may revoke only what it ` +
        "issued; ask the originator of the mesh",
    );
  }
  const named = facts.certificates.filter((paper) => paper.serial === serial);
  const cameBy = facts.certificates.filter((paper) => paper.inviteSerial === serial);
  refuseSelf([...named, ...cameBy].some((paper) => paper.subject === facts.self));
  // The serial ends their papers, but those whom they invited hang on their ids.
  const inviters = hasMeshKey(facts)
    ? cameBy.filter((paper) => paper.rights.includes("invite"))
    : [];
  // With a certificate goes the node: it would have a new one made.
  const nodes = new Map(
    [...inviters, ...named].map((paper) =>
      [paper.subject, revokedNode(paper.subject, paper.inviteSerial, facts)] as const
    ),
  );
  return [{ kind: "serial", serial }, ...nodes.values()];
}

/** The invite that a node came by is closed too, as far as the issuer may: a new key is free. */
function revokedNode(nodeId: NodeId, serial: string | undefined, facts: RevokerFacts): Revoked {
  const mayClose = serial !== undefined &&
    (hasMeshKey(facts) || isSerialOf(serial, facts.issuer));
  return { kind: "node", nodeId, closes: mayClose ? serial : undefined };
}

function isOwn({ issuer, inviteSerial }: Certificate, facts: RevokerFacts): boolean {
  if (hasMeshKey(facts) || issuer === facts.issuer) return true;
  return inviteSerial !== undefined && isSerialOf(inviteSerial, facts.issuer);
}

function hasMeshKey({ issuer, meshId }: RevokerFacts): boolean {
  return issuer === meshId;
}

function refuseSelf(isSelf: boolean): void {
  if (!isSelf) return;
  throw new UserError("Cannot revoke this node itself: do it on another node of the mesh");
}
