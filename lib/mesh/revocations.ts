/**
 * What was revoked in a mesh, and what that ends. Pure; signatures are checked before.
 *
 * The mesh key revokes anybody. An issuer revokes what it issued, and what hangs on that:
 *
 * - a serial ends the paper that has it, and every certificate and grant of those who came by that invite;
 * - a node ends its certificates and its grant, so all that it issued; by the mesh key also everybody who came by one of
 *   its invites or got a grant on a certificate by it, even when others have renewed their certificates since;
 *   `closes` ends an invite for new joiners only.
 *
 * Every book that heard the same revocations holds the same, in whatever order they came: where there are too many,
 * an order decides that all share.
 */
import type { Certificate, Grant, Invite, Revocation, Signed } from "./credentials.ts";
import { isSerialOf, issuerPart, type MeshId, type NodeId } from "./ids.ts";
import { CLOCK_SKEW_S } from "./papers.ts";
import { type Refusal, refusal } from "./refusal.ts";
import type { Verified } from "./trust.ts";

/**
 * A member that turns on the mesh can fill no more than its own share, and all together no more than theirs. In all
 * as many as the digest of a control message can name.
 */
const PER_ISSUER_MAX = 64;
const ISSUERS_MAX = 512;
const MESH_KEY_MAX = 512;

/** How an addition went. `full`: there are too many, and this one is not among those that are kept. */
export type Added = "added" | "known" | "full";

/** The revocations of one mesh. */
export class RevocationBook {
  readonly #meshId: MeshId;
  readonly #papers = new Map<string, Signed<Revocation>>();
  /** Revocations of each node. */
  readonly #nodes = new Map<NodeId, Revocation[]>();
  readonly #serials = new Set<string>();
  /** Invites that admit nobody more. */
  readonly #closed = new Set<string>();
  /** How the serials of nodes begin that the mesh key revoked. */
  readonly #revokedIssuers = new Set<string>();

  constructor(meshId: MeshId) {
    this.#meshId = meshId;
  }

  /** Takes a verified revocation of this mesh. */
  add(revocation: Signed<Revocation>): Added {
    const { serial, issuer } = revocation.paper;
    if (this.#papers.has(serial)) return "known";
    this.#papers.set(serial, revocation);
    const byMeshKey = issuer === this.#meshId;
    if (byMeshKey) {
      this.#bound(MESH_KEY_MAX, (paper) => paper.issuer === issuer);
    } else {
      this.#bound(PER_ISSUER_MAX, (paper) => paper.issuer === issuer);
      this.#bound(ISSUERS_MAX, (paper) => paper.issuer !== this.#meshId);
    }
    this.#index();
    return this.#papers.has(serial) ? "added" : "full";
  }

  /** Forgets those whose own time is over: by then all that they ended has expired. */
  prune(nowMs: number): void {
    const before = this.#papers.size;
    for (const [serial, { paper }] of this.#papers) {
      if (paper.expiresUnixS < nowMs / 1000 - CLOCK_SKEW_S) this.#papers.delete(serial);
    }
    if (this.#papers.size !== before) this.#index();
  }

  /** All revocations, as they travel. */
  list(): readonly Signed<Revocation>[] {
    return [...this.#papers.values()];
  }

  /** Serials of all revocations, to compare with a peer's. */
  serials(): readonly string[] {
    return [...this.#papers.keys()];
  }

  /** Revocations that a peer with these serials lacks. */
  missingFrom(serials: Iterable<string>): readonly Signed<Revocation>[] {
    const theirs = new Set(serials);
    return this.list().filter(({ paper }) => !theirs.has(paper.serial));
  }

  /** Whether no paper of this node can hold any more, whoever signs it: the mesh key revoked it. */
  isNodeRevoked(node: NodeId): boolean {
    return this.#nodes.get(node)?.some(({ issuer }) => issuer === this.#meshId) ?? false;
  }

  /** Why a certificate does not count any more; undefined when it does. */
  judgeCertificate({ paper, grant }: Verified<Certificate>): Refusal | undefined {
    const { serial, inviteSerial, subject, issuer } = paper;
    if (this.#isEnded(serial) || this.#isEnded(inviteSerial)) return revoked("The certificate");
    if (this.#cameByRevoked(inviteSerial)) return revoked("The issuer of the invite it came by");
    const isNodeRevoked = this.#nodes.get(subject)?.some((by) =>
      this.#reaches(by, inviteSerial) || by.issuer === issuer
    );
    if (isNodeRevoked) return revoked("The node");
    return this.#judgeIssuer(grant);
  }

  /** Why an invite admits nobody any more; undefined when it does. */
  judgeInvite({ paper, grant }: Verified<Invite>): Refusal | undefined {
    const isOver = this.#isEnded(paper.serial) || this.#closed.has(paper.serial);
    return isOver ? revoked("The invite token") : this.#judgeIssuer(grant);
  }

  /** Why a grant does not count any more; undefined when it does. */
  judgeGrant({ serial, subject, inviteSerial, certifier }: Grant): Refusal | undefined {
    const isOver = this.#isEnded(serial) || this.#isEnded(inviteSerial) ||
      this.#cameByRevoked(inviteSerial) || this.#revokedIssuers.has(certifier) ||
      this.#nodes.get(subject)?.some((by) =>
          this.#reaches(by, inviteSerial) || issuerPart(by.issuer) === certifier
        ) === true;
    return isOver ? revoked("The grant") : undefined;
  }

  #judgeIssuer(grant: Signed<Grant> | undefined): Refusal | undefined {
    if (grant === undefined || this.judgeGrant(grant.paper) === undefined) return undefined;
    return revoked("The issuer");
  }

  #isEnded(serial: string | undefined): boolean {
    return serial !== undefined && this.#serials.has(serial);
  }

  /** Whether who revoked a node may end a paper of it that came by this invite. */
  #reaches({ issuer }: Revocation, inviteSerial: string | undefined): boolean {
    if (issuer === this.#meshId) return true;
    return inviteSerial !== undefined && isSerialOf(inviteSerial, issuer);
  }

  /** Whether the mesh key revoked the node that signed this invite. */
  #cameByRevoked(inviteSerial: string | undefined): boolean {
    return inviteSerial !== undefined && this.#revokedIssuers.has(issuerPart(inviteSerial));
  }

  /** Keeps `sizeMax` of those that are `meant`: serials before nodes, since they end more, then what ends last. */
  #bound(sizeMax: number, meant: (paper: Revocation) => boolean): void {
    const all = this.list().map(({ paper }) => paper).filter(meant);
    if (all.length <= sizeMax) return;
    all.sort((a, b) =>
      rank(a) - rank(b) || b.expiresUnixS - a.expiresUnixS || (a.serial < b.serial ? -1 : 1)
    );
    for (const { serial } of all.slice(sizeMax)) this.#papers.delete(serial);
  }

  #index(): void {
    this.#nodes.clear();
    this.#serials.clear();
    this.#closed.clear();
    this.#revokedIssuers.clear();
    for (const { paper } of this.#papers.values()) {
      const { revoked } = paper;
      if (revoked.kind === "serial") {
        this.#serials.add(revoked.serial);
        continue;
      }
      if (revoked.closes !== undefined) this.#closed.add(revoked.closes);
      this.#nodes.set(revoked.nodeId, [...this.#nodes.get(revoked.nodeId) ?? [], paper]);
      if (paper.issuer === this.#meshId) this.#revokedIssuers.add(issuerPart(revoked.nodeId));
    }
  }
}

/** Whether a revocation by `issuer` would end this certificate as it stands. */
export function canEnd(
  issuer: MeshId | NodeId,
  { paper, grant }: Verified<Certificate>,
): boolean {
  if (issuer === paper.meshId || issuer === paper.issuer) return true;
  const serials = [paper.inviteSerial, grant?.paper.inviteSerial];
  return serials.some((serial) => serial !== undefined && isSerialOf(serial, issuer)) ||
    grant?.paper.certifier === issuerPart(issuer);
}

function revoked(what: string): Refusal {
  return refusal("revoked", `${what} was revoked`);
}

function rank({ revoked: { kind } }: Revocation): number {
  return kind === "serial" ? 0 : 1;
}
