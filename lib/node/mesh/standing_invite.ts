/**
 * The invite that this node has at hand: printed at the start, shown in the status. Made anew when the peers in it are
 * not where it says any more, when it could name more of them, when it was revoked, or when half of its time is over.
 */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "~/base/errors.ts";
import { INVITE_PEERS_MAX } from "./bootstrap_peers.ts";
import { Lane } from "~/base/lane.ts";
import { formatAddress } from "~/mesh/address.ts";
import { type BootstrapPeer, type Invite, RIGHTS, type Signed } from "~/mesh/credentials.ts";
import { isRefusal } from "~/mesh/refusal.ts";
import type { MeshLife } from "./mesh_life.ts";

const log = getLogger(["mesh-llm", "mesh"]);

/** What the invite is made by. */
export type InviteMaker = Pick<MeshLife, "bootstrapPeers" | "makeInvite" | "role"> & {
  readonly authority: Pick<MeshLife["authority"], "isIssuer" | "checkInvite">;
};

/** Keeps one invite. */
export class StandingInvite {
  readonly #maker: InviteMaker;
  readonly #nowUnixS: () => number;
  readonly #onFirst: (token: string) => void;
  readonly #lane = new Lane();
  #invite: Signed<Invite> | undefined;
  /** Whom it names. */
  #named: readonly BootstrapPeer[] = [];

  /** @param options.onFirst called once, when this node can invite for the first time */
  constructor(
    maker: InviteMaker,
    options: { readonly nowUnixS: () => number; readonly onFirst: (token: string) => void },
  ) {
    this.#maker = maker;
    this.#nowUnixS = options.nowUnixS;
    this.#onFirst = options.onFirst;
  }

  /** The invite; undefined while this node may not invite. */
  get current(): Signed<Invite> | undefined {
    return this.#mayInvite ? this.#invite : undefined;
  }

  /** Looks whether a new one is due. Never rejects. */
  refresh(): Promise<void> {
    return this.#lane.run(async () => {
      try {
        await this.#refresh();
      } catch (error) {
        log.warn("Cannot make an invite token: {reason}", { reason: messageOf(error) });
      }
    });
  }

  /** Nobody hangs on a client: who came by its token would be alone as soon as it is gone. */
  get #mayInvite(): boolean {
    return this.#maker.role === "member" && this.#maker.authority.isIssuer;
  }

  async #refresh(): Promise<void> {
    if (!this.#mayInvite) return;
    const candidates = this.#maker.bootstrapPeers();
    const isGood = this.#invite !== undefined && !this.#isHalfOver(this.#invite) &&
      stillLeads(this.#named, candidates) && await this.#admits(this.#invite);
    if (isGood) return;
    const isFirst = this.#invite === undefined;
    this.#named = candidates.slice(0, INVITE_PEERS_MAX);
    this.#invite = await this.#maker.makeInvite(RIGHTS, undefined, this.#named);
    if (isFirst) this.#onFirst(this.#invite.jws);
  }

  /** A node that came by it and was revoked has closed it for all others. */
  async #admits({ jws }: Signed<Invite>): Promise<boolean> {
    return !isRefusal(await this.#maker.authority.checkInvite(jws));
  }

  #isHalfOver({ paper }: Signed<Invite>): boolean {
    return this.#nowUnixS() > (paper.issuedUnixS + paper.expiresUnixS) / 2;
  }
}

/**
 * Whether all who are named are still where they were, this node first, and nobody is missing for whom there is room:
 * members come and go, and their order means nothing.
 */
function stillLeads(
  named: readonly BootstrapPeer[],
  candidates: readonly BootstrapPeer[],
): boolean {
  if (named.length < Math.min(INVITE_PEERS_MAX, candidates.length)) return false;
  const now = new Set(candidates.map(keyOf));
  return named.every((peer) => now.has(keyOf(peer)));
}

function keyOf({ nodeId, leafHash, addresses }: BootstrapPeer): string {
  return [nodeId, leafHash, ...addresses.map(formatAddress).sort()].join(" ");
}
