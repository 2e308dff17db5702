/** Writes papers: by the mesh key, or by a node with the grant that lets it. */
import { Buffer } from "node:buffer";
import type { Clock } from "../base/clock.ts";
import { assert } from "../base/errors.ts";
import type { SecretSource } from "../base/rng.ts";
import type {
  BootstrapPeer,
  Certificate,
  Grant,
  Invite,
  PaperBase,
  Revocation,
  Signed,
} from "./credentials.ts";
import { type MeshId, serialOf } from "./ids.ts";
import { PEER_ADDRESSES_MAX, PEERS_MAX } from "./paper_fields.ts";
import { BACKDATE_S, PAPER_LIMITS, type PaperKind, type PaperKinds, writePaper } from "./papers.ts";
import type { Signer } from "./signing.ts";
import type { Verified } from "./trust.ts";

const SERIAL_RANDOM_BYTES = 8;
/** How many addresses of each peer an invite names: fewer from try to try, until it is short enough. */
const ADDRESS_STEPS = [PEER_ADDRESSES_MAX, 4, 3, 2, 1];

/** Who signs. */
export interface IssuerOptions {
  readonly meshId: MeshId;
  /** The mesh key, or the key of the node that holds `grant`. */
  readonly signer: Signer;
  readonly grant: Signed<Grant> | undefined;
  readonly clock: Clock;
  readonly secrets: SecretSource;
}

/** What is particular to a paper. */
type Fields<K extends PaperKind> = Omit<PaperKinds[K], keyof PaperBase>;

/** Signs papers. What it may sign is decided before. */
export class Issuer {
  readonly #options: IssuerOptions;

  constructor(options: IssuerOptions) {
    this.#options = options;
  }

  /** The mesh id, or the id of the node that holds the grant. */
  get id(): string {
    return this.#options.signer.id;
  }

  /** A serial that nothing has yet. */
  freshSerial(): string {
    const random = Buffer.from(this.#options.secrets.bytes(SERIAL_RANDOM_BYTES));
    return serialOf(this.id, random.toString("base64url"));
  }

  /** Only the mesh key's count. */
  grant(fields: Fields<"mesh-llm-grant">): Promise<Verified<Grant>> {
    return this.#issue("mesh-llm-grant", fields);
  }

  certificate(fields: Fields<"mesh-llm-certificate">): Promise<Verified<Certificate>> {
    return this.#issue("mesh-llm-certificate", fields);
  }

  revocation(fields: Fields<"mesh-llm-revocation">): Promise<Verified<Revocation>> {
    return this.#issue("mesh-llm-revocation", fields);
  }

  /**
   * An invite that is short enough to be handed on as one line. Of what does not fit, the last addresses of
   * each peer are left out first, then the last peers.
   */
  async invite(fields: Fields<"mesh-llm-invite">, lifeS: number): Promise<Verified<Invite>> {
    for (const peers of shorterAndShorter(fields.peers.slice(0, PEERS_MAX))) {
      const invite = await this.#issue("mesh-llm-invite", { ...fields, peers }, lifeS);
      if (invite.jws.length <= PAPER_LIMITS["mesh-llm-invite"].charsMax) return invite;
    }
    assert(false, "an invite with one address fits into its limit");
  }

  async #issue<K extends PaperKind>(
    kind: K,
    fields: Fields<K>,
    lifeS: number = PAPER_LIMITS[kind].lifeS,
  ): Promise<Verified<PaperKinds[K]>> {
    const { meshId, signer, grant, clock } = this.#options;
    const nowS = Math.floor(clock.wallMs() / 1000);
    // Nothing holds longer than the grant that it hangs on; but what was revoked stays revoked.
    const isBound = grant !== undefined && kind !== "mesh-llm-revocation";
    const latestS = isBound ? grant.paper.expiresUnixS : Infinity;
    const base: PaperBase = {
      meshId,
      issuer: signer.id,
      issuedUnixS: nowS - BACKDATE_S,
      expiresUnixS: Math.min(nowS + lifeS, latestS),
      serial: this.freshSerial(),
    };
    // A paper is its base and what is particular to it, which the compiler cannot see for a kind yet open.
    const paper = { ...base, ...fields } as PaperKinds[K];
    const jws = await signer.sign(kind, writePaper(kind, { paper, grantJws: grant?.jws }));
    return { jws, paper, grant };
  }
}

function* shorterAndShorter(
  peers: readonly BootstrapPeer[],
): Generator<readonly BootstrapPeer[]> {
  const cut = (count: number): readonly BootstrapPeer[] =>
    peers.map((peer) => ({ ...peer, addresses: peer.addresses.slice(0, count) }));
  for (const count of ADDRESS_STEPS) yield cut(count);
  for (let count = peers.length - 1; count > 0; count--) yield cut(1).slice(0, count);
}
