/**
 * Papers that travel: revocations go to everybody, grants to those who may invite, certificates are renewed in time,
 * and what does not hold any more ends the links and records that hang on it.
 */
import { getLogger } from "@logtape/logtape";
import type { CancelTimer, Timers } from "~/base/clock.ts";
import { messageOf } from "~/base/errors.ts";
import { Lane } from "~/base/lane.ts";
import type { MeshAuthority, RevokeResult } from "~/mesh/authority.ts";
import { type NodeId, shortId } from "~/mesh/ids.ts";
import type { Link } from "~/mesh/link_ports.ts";
import { isRefusal } from "~/mesh/refusal.ts";
import type { RevokeSubject } from "~/mesh/revoking.ts";
import type { MeshSession, PaperMessage } from "./mesh_session.ts";

const log = getLogger(["mesh-llm", "mesh"]);

/** Between two looks for what expired or is to be renewed: certificates live for weeks. */
const AUDIT_MS = 60_000;
/** Papers of one peer that wait to be checked; more are dropped, and come again with a digest. */
const WAITING_MAX = 64;
/** Revocations in one message. */
const REVOCATIONS_MAX = 256;

/** What the flows work with. */
export interface PaperFlowsOptions {
  readonly self: NodeId;
  readonly authority: MeshAuthority;
  readonly session: MeshSession;
  readonly timers: Timers;
  /** Own papers or revocations changed: they are to be kept, and told. */
  readonly changed: () => void;
  /** The own certificate does not hold any more, and why. */
  readonly expelled: (why: string) => void;
}

/** Handles papers of one mesh, one after another. */
export class PaperFlows {
  readonly #options: PaperFlowsOptions;
  readonly #lane = new Lane();
  readonly #waiting = new Map<NodeId, number>();
  #audit: CancelTimer | undefined;
  #isClosed = false;

  constructor(options: PaperFlowsOptions) {
    this.#options = options;
    this.#auditLater();
  }

  /** A peer has a link: it may be due a grant. */
  onLinkUp(link: Link): void {
    void this.#run("a grant", async () => {
      const grant = await this.#options.authority.grantFor(
        link.peer.certificate.jws,
        link.peer.nodeId,
      );
      if (grant !== undefined) link.send({ t: "grant", grant });
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
   * @returns how many links of this node were closed
   * @throws {UserError} when this node may not
   */
  async revoke(subject: RevokeSubject, keep: boolean): Promise<number> {
    const { authority, session } = this.#options;
    const links = session.table.all().length;
    const result = await this.#lane.run(() =>
      authority.revoke(subject, { certificates: this.#certificates(), keep })
    );
    this.#handOut(result);
    this.#spread(undefined);
    await this.#enforce();
    return links - session.table.all().length;
  }

  /** Looks now for what does not hold any more. */
  enforce(): Promise<void> {
    return this.#run("what was revoked", () => this.#enforce());
  }

  /** Ends it. */
  close(): void {
    this.#isClosed = true;
    this.#audit?.();
  }

  async #take(link: Link, message: PaperMessage): Promise<void> {
    const { authority, changed } = this.#options;
    switch (message.t) {
      case "grant":
        if (await authority.takeGrant(message.grant) === "taken") changed();
        return;
      case "renew": {
        const renewed = await authority.renew(link.peer.certificate.jws, link.peer.nodeId);
        if (!isRefusal(renewed)) link.send({ t: "renewed", certificate: renewed.jws });
        return;
      }
      case "renewed":
        if (await authority.takeCertificate(message.certificate) === "taken") changed();
        return;
      case "revocations":
        return await this.#takeRevocations(link.peer.nodeId, message.papers);
    }
  }

  async #takeRevocations(from: NodeId, papers: readonly string[]): Promise<void> {
    let added = 0;
    for (const jws of papers.slice(0, REVOCATIONS_MAX)) {
      if (await this.#options.authority.addRevocation(jws) === "added") added += 1;
    }
    if (added === 0) return;
    this.#spread(from);
    await this.#enforce();
  }

  /** The machine passes on what it did not know yet. */
  #spread(from: NodeId | undefined): void {
    const { authority, session, changed } = this.#options;
    session.tell({ kind: "revocations", from, serials: authority.revocationSerials() });
    changed();
  }

  #handOut({ kept }: RevokeResult): void {
    const { session } = this.#options;
    for (const { certificate, grant } of kept) {
      const link = session.table.get(certificate.paper.subject);
      link?.send({ t: "renewed", certificate: certificate.jws });
      if (grant !== undefined) link?.send({ t: "grant", grant: grant.jws });
    }
  }

  async #enforce(): Promise<void> {
    const { authority, session, self, expelled } = this.#options;
    const own = authority.certificate;
    if (own !== undefined) {
      const fault = await authority.checkCertificate(own.jws, self);
      if (isRefusal(fault)) return expelled(fault.message);
    }
    for (const [node, jws] of this.#papersOfOthers()) {
      const fault = await authority.checkCertificate(jws, node);
      if (!isRefusal(fault) || this.#isClosed) continue;
      log.info("Node {node} is out of the mesh: {why}", {
        node: shortId(node),
        why: fault.message,
      });
      session.tell({
        kind: "revoked",
        node,
        reason: fault.code === "expired" ? "expired" : "revoked",
      });
    }
  }

  /** Of links, and of records, which are the newer where there are both. */
  #papersOfOthers(): ReadonlyMap<NodeId, string> {
    const { session } = this.#options;
    const links = session.table.all().map(({ peer }) =>
      [peer.nodeId, peer.certificate.jws] as const
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
    const { authority, session, changed } = this.#options;
    if (!authority.isRenewalDue()) return;
    if (await authority.renewOwn()) return changed();
    for (const link of session.table.all()) {
      if (link.peer.certificate.paper.rights.includes("invite")) link.send({ t: "renew" });
    }
  }

  #auditLater(): void {
    this.#audit = this.#options.timers.after(AUDIT_MS, () => {
      void this.#run("what expired", async () => {
        await this.#enforce();
        await this.#renewIfDue();
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
