/**
 * What a running node knows and may do in its mesh: its own papers, what was revoked, and whether it may issue. It
 * answers who may come in, and signs for others where it may: with the mesh key, or by its grant, so that a
 * mesh outlives its originator.
 */
import type { Clock } from "../base/clock.ts";
import { UserError } from "../base/errors.ts";
import { LruMap } from "../base/lru.ts";
import type { SecretSource } from "../base/rng.ts";
import {
  type BootstrapPeer,
  type Certificate,
  type Grant,
  type Invite,
  type Revocation,
  type Right,
  RIGHTS,
  type Signed,
} from "./credentials.ts";
import { isKeyId, issuerPart, type MeshId, type NodeId } from "./ids.ts";
import { Issuer } from "./issuer.ts";
import { PAPER_LIMITS } from "./papers.ts";
import { isRefusal, type Refusal, refusal } from "./refusal.ts";
import { type Added, canEnd, RevocationBook } from "./revocations.ts";
import { planRevocation, type RevokeSubject } from "./revoking.ts";
import type { Signer, Verifier } from "./signing.ts";
import { judgeTime, PaperTrust, type Verified } from "./trust.ts";

/** How long an invite holds when nothing is said. */
const INVITE_MS_DEFAULT = 7 * 86_400_000;
const INVITE_MS_MIN = 60_000;
/** A paper is renewed when so much of its life is left; earlier nobody renews it for somebody else. */
const RENEWAL_DUE = 1 / 3;
const RENEWAL_EARLIEST = 1 / 2;
/** Members whose grants are kept, to hand out the same one again. */
const GRANTS_MAX = 1024;

/** Papers that outlive the process. */
export interface SavedPapers {
  readonly certificate: string | undefined;
  readonly grant: string | undefined;
  readonly revocations: readonly string[];
}

/** Who the node is, and in which mesh. */
export interface MeshAuthorityOptions {
  readonly meshId: MeshId;
  /** The key of this node. */
  readonly node: Signer;
  /** The mesh key, on the originator. */
  readonly meshKey: Signer | undefined;
  readonly verifier: Verifier;
  readonly clock: Clock;
  readonly secrets: SecretSource;
  /** Grants nothing by itself: nobody but the originator invites. */
  readonly isClosed: boolean;
}

/** What {@link MeshAuthority.revoke} did. */
export interface RevokeResult {
  /** To be told to everybody. */
  readonly papers: readonly Signed<Revocation>[];
  /** New papers of those that are kept, for them, before the revocations are told. */
  readonly kept: readonly KeptMember[];
  /** Whose certificates, of those that were given, do not hold any more. */
  readonly ended: readonly NodeId[];
  /** Invites that admit nobody any more because of the nodes that came by them. */
  readonly closedInvites: readonly string[];
}

/** A member that stays although its issuer is revoked. */
export interface KeptMember {
  readonly certificate: Signed<Certificate>;
  readonly grant: Signed<Grant> | undefined;
}

/** The papers of one mesh, on one of its nodes. */
export class MeshAuthority {
  readonly #options: MeshAuthorityOptions;
  readonly #trust: PaperTrust;
  readonly #book: RevocationBook;
  readonly #grants = new LruMap<NodeId, Verified<Grant>>(GRANTS_MAX);
  #certificate: Verified<Certificate> | undefined;
  #grant: Verified<Grant> | undefined;

  private constructor(options: MeshAuthorityOptions) {
    this.#options = options;
    this.#trust = new PaperTrust(options);
    this.#book = new RevocationBook(options.meshId);
  }

  /** Takes up saved papers; those that do not hold any more are left out, and the sentences say why. */
  static async open(
    options: MeshAuthorityOptions,
    saved: SavedPapers = { certificate: undefined, grant: undefined, revocations: [] },
  ): Promise<{ readonly authority: MeshAuthority; readonly problems: readonly string[] }> {
    const authority = new MeshAuthority(options);
    const problems: string[] = [];
    const note = (taken: Refusal | string) => {
      if (typeof taken !== "string") problems.push(taken.message);
    };
    for (const jws of saved.revocations) note(await authority.addRevocation(jws));
    if (saved.grant !== undefined) note(await authority.takeGrant(saved.grant));
    if (saved.certificate !== undefined) note(await authority.takeCertificate(saved.certificate));
    return { authority, problems };
  }

  get meshId(): MeshId {
    return this.#options.meshId;
  }

  /** Own certificate, also when its time is over; undefined before there was one. */
  get certificate(): Signed<Certificate> | undefined {
    return this.#certificate;
  }

  /** Whether this node can turn invites into certificates, make invites and renew, now. */
  get isIssuer(): boolean {
    return this.#issuer() !== undefined;
  }

  /** Whether this node holds the mesh key. */
  get isOriginator(): boolean {
    return this.#options.meshKey !== undefined;
  }

  /** What to write into the home. */
  papers(): SavedPapers {
    return {
      certificate: this.#certificate?.jws,
      grant: this.#grant?.jws,
      revocations: this.#book.list().map(({ jws }) => jws),
    };
  }

  /** The certificate, when it is one of this mesh for `node` that holds now. */
  async checkCertificate(jws: string, node: NodeId): Promise<Verified<Certificate> | Refusal> {
    const read = await this.#trust.read("mesh-llm-certificate", jws);
    if (isRefusal(read)) return read;
    if (read.paper.subject !== node) {
      return refusal("certificate", "The certificate is for another node");
    }
    return this.#judgeCertificate(read) ?? read;
  }

  /** The invite, when this mesh takes it now. */
  async checkInvite(jws: string): Promise<Verified<Invite> | Refusal> {
    const read = await this.#trust.read("mesh-llm-invite", jws);
    if (isRefusal(read)) return read;
    return judgeTime("mesh-llm-invite", read, this.#nowMs()) ?? this.#book.judgeInvite(read) ??
      read;
  }

  /** Turns an invite into a certificate for `joiner`, with the rights that it says. */
  async admit(inviteJws: string, joiner: NodeId): Promise<Signed<Certificate> | Refusal> {
    const issuer = this.#issuer();
    if (issuer === undefined) return refusal("invite", "This node may not admit others");
    if (!isKeyId(joiner)) return refusal("certificate", "The joiner has no node id");
    if (joiner === this.#options.node.id) return refusal("self", "This is the node itself");
    const invite = await this.checkInvite(inviteJws);
    if (isRefusal(invite)) return invite;
    const { rights, serial } = invite.paper;
    const made = await issuer.certificate({ subject: joiner, rights, inviteSerial: serial });
    return this.#judgeCertificate(made) ?? made;
  }

  /**
   * Makes an invite.
   *
   * @throws {UserError} when this node may not invite, or the time is out of bounds
   */
  async makeInvite(
    { rights, expiresInMs = INVITE_MS_DEFAULT, peers }: {
      readonly rights: readonly Right[];
      readonly expiresInMs?: number;
      /** Where joiners can begin; at least one. */
      readonly peers: readonly BootstrapPeer[];
    },
  ): Promise<Signed<Invite>> {
    const issuer = this.#mustIssue("make an invite");
    const maxMs = PAPER_LIMITS["mesh-llm-invite"].lifeS * 1000;
    if (!(expiresInMs >= INVITE_MS_MIN && expiresInMs <= maxMs)) {
      throw new UserError("Cannot make an invite: it must expire in one minute to 365 days");
    }
    const usable = peers.filter(({ addresses }) => addresses.length > 0);
    if (usable.length === 0) {
      throw new UserError("Cannot make an invite: no address is known where joiners could begin");
    }
    const ordered = RIGHTS.filter((right) => right === "request" || rights.includes(right));
    return await issuer.invite({ rights: ordered, peers: usable }, Math.floor(expiresInMs / 1000));
  }

  /** Why the own certificate does not hold now; undefined when it does. */
  judgeOwn(): Refusal | undefined {
    if (this.#certificate === undefined) {
      return refusal("certificate", "There is no certificate yet");
    }
    return this.#judgeCertificate(this.#certificate);
  }

  /** Whether it is time to renew the own certificate; on the originator, which has all by itself, its grant too. */
  isRenewalDue(): boolean {
    const isDue = (paper: Signed<Certificate | Grant> | undefined) =>
      paper === undefined || lifeLeft(paper, this.#nowMs()) <= RENEWAL_DUE;
    if (this.isOriginator) return isDue(this.#certificate) || isDue(this.#grant);
    return this.#certificate !== undefined && isDue(this.#certificate);
  }

  /**
   * Renews the own papers where this node may: with the mesh key (that is how a mesh begins) or by its grant. Where
   * it may not, an issuer must be asked: false.
   */
  async renewOwn(): Promise<boolean> {
    const issuer = this.#issuer();
    if (issuer === undefined) return false;
    const subject = this.#options.node.id;
    const own = this.#certificate?.paper;
    if (own === undefined && !this.isOriginator) return false;
    const rights = own?.rights ?? RIGHTS;
    const inviteSerial = own?.inviteSerial;
    if (this.isOriginator) {
      // Kept beside the mesh key, so that the node can still invite when that is put away.
      this.#grant = await issuer.grant({
        subject,
        inviteSerial,
        certifier: issuerPart(this.meshId),
      });
    }
    const fresh = await issuer.certificate({ subject, rights, inviteSerial });
    if (this.#judgeCertificate(fresh) !== undefined) return false;
    this.#certificate = fresh;
    return true;
  }

  /** Renews the certificate of another node: the same rights, the same way in. */
  async renew(jws: string, node: NodeId): Promise<Signed<Certificate> | Refusal> {
    const issuer = this.#issuer();
    if (issuer === undefined) return refusal("certificate", "This node may not renew certificates");
    const old = await this.checkCertificate(jws, node);
    if (isRefusal(old)) return old;
    if (lifeLeft(old, this.#nowMs()) > RENEWAL_EARLIEST) {
      return refusal("busy", "The certificate holds for long enough");
    }
    const { rights } = old.paper;
    // What the mesh key issued by itself has no invite; by somebody else it hangs on that one from now on.
    const inviteSerial = old.paper.inviteSerial ?? issuer.freshSerial();
    return await issuer.certificate({ subject: node, rights, inviteSerial });
  }

  /** Takes a certificate for this node: from the invite, or renewed. "known": the own one is as good. */
  async takeCertificate(jws: string): Promise<"taken" | "known" | Refusal> {
    const fresh = await this.checkCertificate(jws, this.#options.node.id);
    if (isRefusal(fresh)) return fresh;
    const own = this.#certificate;
    if (own !== undefined && !this.#mayReplace(own, fresh)) return "known";
    if (own !== undefined && this.#judgeCertificate(own) === undefined) {
      const isLess = own.paper.rights.some((right) => !fresh.paper.rights.includes(right));
      if (isLess || fresh.paper.expiresUnixS <= own.paper.expiresUnixS) return "known";
    }
    this.#certificate = fresh;
    return "taken";
  }

  /**
   * Whoever signs the own certificate can end it. So nobody may come to that by sending one unasked, but those who
   * could end the old one anyway; and when it has to be renewed by others, it goes on hanging on the same invite.
   */
  #mayReplace(own: Verified<Certificate>, { paper }: Verified<Certificate>): boolean {
    if (canEnd(paper.issuer, own)) return true;
    const { inviteSerial } = own.paper;
    const isSameWay = inviteSerial === undefined || inviteSerial === paper.inviteSerial;
    return isSameWay && this.isRenewalDue() && !this.isIssuer;
  }

  /** Takes a grant for this node. "known": the own one is as good. */
  async takeGrant(jws: string): Promise<"taken" | "known" | Refusal> {
    const fresh = await this.#trust.read("mesh-llm-grant", jws);
    if (isRefusal(fresh)) return fresh;
    if (fresh.paper.subject !== this.#options.node.id) {
      return refusal("certificate", "The grant is for another node");
    }
    const fault = this.#judgeGrant(fresh);
    if (fault !== undefined) return fault;
    const own = this.#grant;
    if (this.#holds(own) && own.paper.expiresUnixS >= fresh.paper.expiresUnixS) return "known";
    this.#grant = fresh;
    return "taken";
  }

  /**
   * The grant that a member is to have: on the originator of a mesh that is not closed, for whoever has the right to
   * invite; undefined otherwise. The same one while it holds.
   */
  async grantFor(certificateJws: string, node: NodeId): Promise<string | undefined> {
    const { meshKey, isClosed } = this.#options;
    const certificate = await this.checkCertificate(certificateJws, node);
    if (isClosed || meshKey === undefined || isRefusal(certificate)) return undefined;
    if (!certificate.paper.rights.includes("invite")) return undefined;
    const known = this.#grants.get(node);
    if (this.#holds(known) && lifeLeft(known, this.#nowMs()) > RENEWAL_DUE) return known.jws;
    return (await this.#grantMember(this.#issuerBy(meshKey), certificate)).jws;
  }

  /** Takes in a revocation that somebody signed. */
  async addRevocation(jws: string): Promise<Added | Refusal> {
    const read = await this.#trust.read("mesh-llm-revocation", jws);
    if (isRefusal(read)) return read;
    const nowMs = this.#nowMs();
    this.#book.prune(nowMs);
    return judgeTime("mesh-llm-revocation", read, nowMs) ?? this.#book.add(read);
  }

  /** Whether a node is out of the mesh for good: no certificate of it holds, whoever signs it. */
  isRevoked(node: NodeId): boolean {
    return this.#book.isNodeRevoked(node);
  }

  /** Serials of all revocations that are known, to compare with a peer's. */
  revocationSerials(): readonly string[] {
    return this.#book.serials();
  }

  /** Revocations that a peer with these serials lacks. */
  revocationsBeyond(serials: Iterable<string>): readonly string[] {
    return this.#book.missingFrom(serials).map(({ jws }) => jws);
  }

  /**
   * Revokes a node, or what a serial names.
   *
   * @param options.certificates of everybody who is known: they tell who came by what
   * @param options.keep signs anew what a revoked issuer issued
   * @throws {UserError} when this node may not
   */
  async revoke(
    subject: RevokeSubject,
    options: { readonly certificates: readonly string[]; readonly keep: boolean },
  ): Promise<RevokeResult> {
    const issuer = this.#mustIssue("revoke anything");
    const before = await this.#holding(options.certificates);
    const plan = planRevocation(subject, {
      meshId: this.meshId,
      issuer: issuer.id,
      self: this.#options.node.id,
      certificates: before.map(({ paper }) => paper),
    });
    const papers: Signed<Revocation>[] = [];
    for (const revoked of plan) {
      const paper = await issuer.revocation({ revoked });
      if (this.#book.add(paper) === "full") {
        throw new UserError("Cannot revoke: this mesh has as many revocations as it can hold");
      }
      papers.push(paper);
    }
    const nodes = plan.filter((revoked) => revoked.kind === "node");
    const named = new Set(nodes.map(({ nodeId }) => nodeId));
    const serial = "serial" in subject ? subject.serial : undefined;
    const hit = before.filter((certificate) => this.#judgeCertificate(certificate) !== undefined);
    const spared = options.keep
      ? hit.filter(({ paper }) => !named.has(paper.subject) && paper.inviteSerial !== serial)
      : [];
    return {
      papers,
      kept: await this.#signAnew(issuer, spared),
      ended: hit.filter((one) => !spared.includes(one)).map(({ paper }) => paper.subject),
      closedInvites: [...new Set(nodes.flatMap(({ closes }) => closes ?? []))],
    };
  }

  async #signAnew(
    issuer: Issuer,
    certificates: readonly Verified<Certificate>[],
  ): Promise<readonly KeptMember[]> {
    const kept: KeptMember[] = [];
    for (const { paper: { subject, rights } } of certificates) {
      // A serial of our own: what hung on the old one is cut off from it.
      const inviteSerial = issuer.freshSerial();
      const certificate = await issuer.certificate({ subject, rights, inviteSerial });
      const mayGrant = this.isOriginator && !this.#options.isClosed && rights.includes("invite");
      const grant = mayGrant ? await this.#grantMember(issuer, certificate) : undefined;
      kept.push({ certificate, grant });
    }
    return kept;
  }

  /** A grant hangs on the certificate that it is given for; a node that renewed itself stays where it hung. */
  async #grantMember(
    issuer: Issuer,
    { paper, grant }: Verified<Certificate>,
  ): Promise<Verified<Grant>> {
    const isSelfMade = paper.issuer === paper.subject && grant !== undefined;
    const made = await issuer.grant({
      subject: paper.subject,
      inviteSerial: paper.inviteSerial,
      certifier: isSelfMade ? grant.paper.certifier : issuerPart(paper.issuer),
    });
    this.#grants.set(paper.subject, made);
    return made;
  }

  async #holding(certificates: readonly string[]): Promise<readonly Verified<Certificate>[]> {
    const holding: Verified<Certificate>[] = [];
    for (const jws of certificates) {
      const read = await this.#trust.read("mesh-llm-certificate", jws);
      if (!isRefusal(read) && this.#judgeCertificate(read) === undefined) holding.push(read);
    }
    return holding;
  }

  #judgeCertificate(certificate: Verified<Certificate>): Refusal | undefined {
    return judgeTime("mesh-llm-certificate", certificate, this.#nowMs()) ??
      this.#book.judgeCertificate(certificate);
  }

  #judgeGrant(grant: Verified<Grant>): Refusal | undefined {
    return judgeTime("mesh-llm-grant", grant, this.#nowMs()) ??
      this.#book.judgeGrant(grant.paper);
  }

  #holds(grant: Verified<Grant> | undefined): grant is Verified<Grant> {
    return grant !== undefined && this.#judgeGrant(grant) === undefined;
  }

  #mustIssue(what: string): Issuer {
    const issuer = this.#issuer();
    if (issuer !== undefined) return issuer;
    throw new UserError(
      `Cannot ${what}: the originator of the mesh has not allowed it to this node`,
    );
  }

  #issuer(): Issuer | undefined {
    const { meshKey, node } = this.#options;
    if (meshKey !== undefined) return this.#issuerBy(meshKey);
    return this.#holds(this.#grant) ? this.#issuerBy(node, this.#grant) : undefined;
  }

  #issuerBy(signer: Signer, grant?: Signed<Grant>): Issuer {
    const { meshId, clock, secrets } = this.#options;
    return new Issuer({ meshId, signer, grant, clock, secrets });
  }

  #nowMs(): number {
    return this.#options.clock.wallMs();
  }
}

/** Part of a paper's life that is left, 0 to 1, counting the day that it is dated back. */
function lifeLeft({ paper }: Signed<Certificate | Grant>, nowMs: number): number {
  const wholeS = paper.expiresUnixS - paper.issuedUnixS;
  return (paper.expiresUnixS - nowMs / 1000) / wholeS;
}
