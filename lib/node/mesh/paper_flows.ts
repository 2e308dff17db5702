/**
 * Papers that travel: revocations go to everybody, grants to those who may invite, certificates are renewed in time,
 * and what does not hold any more ends the links and records that hang on it.
 */
import { getLogger } from "@logtape/logtape";
import type { CancelTimer, Timers } from "~/base/clock.ts";
import { messageOf } from "~/base/errors.ts";
import { Lane } from "~/base/lane.ts";
import type { MeshAuthority, RevokeResult } from "~/mesh/authority.ts";
import type { Certificate, Signed } from "~/mesh/credentials.ts";
import { type NodeId, shortId } from "~/mesh/ids.ts";
import type { Link } from "~/mesh/link_ports.ts";
import { isRefusal, type Refusal } from "~/mesh/refusal.ts";
import type { RevokeSubject } from "~/mesh/revoking.ts";
import type { MeshSession, PaperMessage } from "./mesh_session.ts";

const log = getLogger(["mesh-llm", "mesh"]);

/** Between two looks for what expired or is to be renewed: certificates live for weeks. */
const AUDIT_MS = 60_000;
/** Papers of one peer that wait to be checked; more are dropped, and come again with a digest. */
const WAITING_MAX = 64;
/** Revocations in one message: as many as a message can hold. */
const REVOCATIONS_MAX = 1024;
/**
 * Papers of one link that nobody can have signed. An honest node passes on only what it has checked itself; clocks that
 * are apart make papers expired or not yet valid, never forged.
 */
const FORGED_MAX = 8;
/** Those who may stay have so long to show their new papers to everybody before the old ones are revoked. */
const KEEP_MS = 1_500;

/** What the flows work with. */
export interface PaperFlowsOptions {
  readonly authority: MeshAuthority;
  readonly session: MeshSession;
  readonly timers: Timers;
  /** A client has no record: it shows new papers on its links itself. */
  readonly isClient: boolean;
  /** Own papers or revocations changed: they are to be kept, and told. */
  readonly changed: () => void;
  /** The own certificate does not hold any more, and why. */
  readonly expelled: (why: Refusal) => void;
  /** Called after each look for what expired, about once a minute. */
  readonly looked: () => void;
}

/** What a revocation came to. */
export interface RevocationDone extends Pick<RevokeResult, "ended" | "closedInvites"> {
  /** Links of this node that were closed. */
  readonly closedLinks: number;
}

/** Handles papers of one mesh, one after another. */
export class PaperFlows {
  readonly #options: PaperFlowsOptions;
  readonly #lane = new Lane();
  readonly #waiting = new Map<NodeId, number>();
  readonly #forged = new WeakMap<Link, number>();
  /** What clients have shown since their handshakes. */
  readonly #shown = new WeakMap<Link, Signed<Certificate>>();
  #isRenewed = false;
  #audit: CancelTimer | undefined;
  #isClosed = false;
  #endWait: () => void = () => {};

  constructor(options: PaperFlowsOptions) {
    this.#options = options;
    this.#auditLater();
  }

  /** A peer has a link: it may be due a grant, or have been revoked while it came in. */
  onLinkUp(link: Link): void {
    void this.#run("a grant", async () => {
      const { authority, session } = this.#options;
      const { nodeId, certificate } = link.peer;
      const fault = await authority.checkCertificate(certificate.jws, nodeId);
      if (isRefusal(fault) && session.table.get(nodeId) === link) {
        return this.#turnOut(nodeId, fault);
      }
      const grant = await authority.grantFor(certificate.jws, nodeId);
      if (grant !== undefined) link.send({ t: "grant", grant });
      // Its handshake may have been under way when there was a new one.
      if (this.#isRenewed) this.#show([link]);
      await this.#renewIfDue();
    });
  }

  /** A peer sent a paper. */
  onMessage(link: Link, message: PaperMessage): void {
    const { nodeId } = link.peer;
    const waiting = this.#waiting.get(nodeId) ?? 0;
    if (waiting >= WAITING_MAX) return;
    this.#waiting.set(nodeId, waiting + 1);
    void this.#run(message.t, () => this.#take(link, message)).finally(() => {
      const left = (this.#waiting.get(nodeId) ?? 1) - 1;
      if (left > 0) this.#waiting.set(nodeId, left);
      else this.#waiting.delete(nodeId);
    });
  }

  /**
   * Revokes, tells everybody, and closes what hangs on it.
   *
   * @throws {UserError} when this node may not
   */
  async revoke(subject: RevokeSubject, keep: boolean): Promise<RevocationDone> {
    return await this.#lane.run(async () => {
      const { ended, closedInvites } = await this.#revoke(subject, keep);
      return { ended, closedInvites, closedLinks: await this.#enforce() };
    });
  }

  async #revoke(subject: RevokeSubject, keep: boolean): Promise<RevokeResult> {
    try {
      const certificates = this.#certificates();
      const result = await this.#options.authority.revoke(subject, { certificates, keep });
      if (this.#handOut(result)) await this.#wait(KEEP_MS);
      return result;
    } finally {
      // Also what was signed before the rest failed.
      this.#spread(undefined);
    }
  }

  /** Ends it. */
  close(): void {
    this.#isClosed = true;
    this.#audit?.();
    this.#endWait();
  }

  async #wait(delayMs: number): Promise<void> {
    if (this.#isClosed) return;
    await new Promise<void>((resolve) => {
      const cancel = this.#options.timers.after(delayMs, resolve);
      this.#endWait = () => {
        cancel();
        resolve();
      };
    });
  }

  async #take(link: Link, message: PaperMessage): Promise<void> {
    const { authority, session, changed } = this.#options;
    switch (message.t) {
      case "grant":
        if (this.#isTaken(link, await authority.takeGrant(message.grant))) changed();
        return;
      case "renew": {
        // A link outlives the certificate that it was made with.
        const { jws } = session.member(link.peer.nodeId)?.record.certificate ??
          this.#certificateOf(link);
        const renewed = await authority.renew(jws, link.peer.nodeId);
        if (!isRefusal(renewed)) link.send({ t: "renewed", certificate: renewed.jws });
        return;
      }
      case "renewed":
        if (this.#isTaken(link, await authority.takeCertificate(message.certificate))) {
          this.#onRenewed();
        }
        return;
      case "certificate":
        return await this.#takeShown(link, message.certificate);
      case "revocations":
        return await this.#takeRevocations(link, message.papers);
    }
  }

  /** A client shows its certificate: whatever holds may keep its link. */
  async #takeShown(link: Link, jws: string): Promise<void> {
    if (link.peer.role !== "client") return;
    const certificate = await this.#options.authority.checkCertificate(jws, link.peer.nodeId);
    if (isRefusal(certificate)) this.#isTaken(link, certificate);
    else this.#shown.set(link, certificate);
  }

  #certificateOf(link: Link): Signed<Certificate> {
    return this.#shown.get(link) ?? link.peer.certificate;
  }

  #onRenewed(): void {
    this.#isRenewed = true;
    this.#show(this.#options.session.table.all());
    this.#options.changed();
  }

  #show(links: readonly Link[]): void {
    const { authority: { certificate }, isClient } = this.#options;
    if (!isClient || certificate === undefined) return;
    for (const link of links) link.send({ t: "certificate", certificate: certificate.jws });
  }

  async #takeRevocations(link: Link, papers: readonly string[]): Promise<void> {
    let added = 0;
    for (const jws of papers.slice(0, REVOCATIONS_MAX)) {
      // A peer that is sent away costs no more signatures.
      if (this.#isClosed || link.health === "closed") break;
      if (this.#isTaken(link, await this.#options.authority.addRevocation(jws))) added += 1;
    }
    if (added === 0) return;
    this.#spread(link.peer.nodeId);
    await this.#enforce();
  }

  /** Whether a paper is news; a peer that sends too many forged ones loses its link. */
  #isTaken(link: Link, answer: string | Refusal): boolean {
    if (typeof answer === "string") return answer === "taken" || answer === "added";
    if (answer.code !== "certificate") return false;
    const { nodeId } = link.peer;
    const forged = (this.#forged.get(link) ?? 0) + 1;
    this.#forged.set(link, forged);
    if (forged !== FORGED_MAX) return false;
    log.warn("Node {node} sends forged papers, its link is closed: {why}", {
      node: shortId(nodeId),
      why: answer.message,
    });
    this.#options.session.table.drop(nodeId, "protocol");
    return false;
  }

  /** The machine passes on what it did not know yet. */
  #spread(from: NodeId | undefined): void {
    const { authority, session, changed } = this.#options;
    session.tell({ kind: "revocations", from, serials: authority.revocationSerials() });
    changed();
  }

  /** Whether anybody gets new papers. */
  #handOut({ kept }: RevokeResult): boolean {
    const { session } = this.#options;
    for (const { certificate, grant } of kept) {
      const link = session.table.get(certificate.paper.subject);
      if (link === undefined) continue;
      link.send({ t: "renewed", certificate: certificate.jws });
      if (grant !== undefined) link.send({ t: "grant", grant: grant.jws });
      // What it shows is looked at only when all is revoked.
      if (link.peer.role === "client") this.#shown.set(link, certificate);
    }
    return kept.length > 0;
  }

  /** Ends what does not hold any more; returns how many links that were. */
  async #enforce(): Promise<number> {
    const { authority, session, expelled } = this.#options;
    // Before there is a certificate there is nothing to lose.
    const ownFault = authority.certificate === undefined ? undefined : authority.judgeOwn();
    if (ownFault !== undefined) {
      if (!this.#isClosed) expelled(ownFault);
      return 0;
    }
    let closed = 0;
    for (const [node, jws] of this.#papersOfOthers()) {
      const fault = await authority.checkCertificate(jws, node);
      if (!isRefusal(fault) || this.#isClosed) continue;
      if (session.table.get(node) !== undefined) closed += 1;
      this.#turnOut(node, fault);
    }
    return closed;
  }

  #turnOut(node: NodeId, fault: Refusal): void {
    log.info("Node {node} is out of the mesh: {why}", { node: shortId(node), why: fault.message });
    const reason = fault.code === "expired" ? "expired" : "revoked";
    this.#options.session.turnOut(node, reason);
  }

  /** Of links, and of records, which are the newer where there are both. */
  #papersOfOthers(): ReadonlyMap<NodeId, string> {
    const { session } = this.#options;
    const links = session.table.all().map((link) =>
      [link.peer.nodeId, this.#certificateOf(link).jws] as const
    );
    const records = session.records().map((signed) =>
      [signed.record.node, signed.certificate.jws] as const
    );
    return new Map([...links, ...records]);
  }

  #certificates(): readonly string[] {
    const own = this.#options.authority.certificate;
    return [...this.#papersOfOthers().values(), ...(own === undefined ? [] : [own.jws])];
  }

  async #renewIfDue(): Promise<void> {
    const { authority, session } = this.#options;
    if (!authority.isRenewalDue()) return;
    if (await authority.renewOwn()) return this.#onRenewed();
    for (const link of session.table.all()) {
      if (link.peer.certificate.paper.rights.includes("invite")) link.send({ t: "renew" });
    }
  }

  #auditLater(): void {
    this.#audit = this.#options.timers.after(AUDIT_MS, () => {
      void this.#run("what expired", async () => {
        // First: after a long sleep a node that may renew is not out, only late.
        await this.#renewIfDue();
        await this.#enforce();
        if (!this.#isClosed) this.#options.looked();
      });
      this.#auditLater();
    });
  }

  async #run(what: string, step: () => Promise<void>): Promise<void> {
    try {
      await this.#lane.run(async () => {
        if (!this.#isClosed) await step();
      });
    } catch (error) {
      log.error("Cannot handle {what}: {reason}", { what, reason: messageOf(error) });
    }
  }
}
