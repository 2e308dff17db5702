import { createHash } from "node:crypto";
import type { SecretSource } from "~/base/rng.ts";
import { MeshAuthority, type SavedPapers } from "~/mesh/authority.ts";
import {
  type BootstrapPeer,
  type Certificate,
  type Grant,
  RIGHTS,
  type Signed,
} from "~/mesh/credentials.ts";
import { issuerPart, type NodeId } from "~/mesh/ids.ts";
import { Issuer } from "~/mesh/issuer.ts";
import { isRefusal, type Refusal } from "~/mesh/refusal.ts";
import type { Signer, Verifier } from "~/mesh/signing.ts";
import { PaperTrust, type Verified } from "~/mesh/trust.ts";
import { standInId, standInSigner, standInVerifier } from "./stand_in_signer.ts";
import { VirtualTime } from "./virtual_time.ts";

/** Milliseconds of a day. */
export const DAY_MS = 86_400_000;

/** Bytes that are the same in every run, and no two times the same. */
export class CountedSecrets implements SecretSource {
  #count = 0;

  bytes(length: number): Uint8Array<ArrayBuffer> {
    const digest = createHash("sha256").update(`secret ${this.#count++}`).digest();
    return new Uint8Array(digest.subarray(0, length));
  }
}

/** A mesh on paper: a mesh key, nodes by name, a clock that is told to move. */
export class PaperMesh {
  readonly time = new VirtualTime();
  readonly secrets = new CountedSecrets();
  readonly verifier: Verifier = standInVerifier;
  readonly meshKey: Signer;

  constructor(name = "mesh") {
    this.meshKey = standInSigner(standInId(name));
  }

  get meshId(): string {
    return this.meshKey.id;
  }

  /** Issues as the mesh key. */
  originator(): Issuer {
    return this.#issuer(this.meshKey, undefined);
  }

  /** Issues as the node with this name, which the mesh key granted it. */
  async grantee(
    name: string,
    fields: Partial<Pick<Grant, "inviteSerial" | "certifier">> = {},
  ): Promise<{ id: NodeId; grant: Verified<Grant>; issuer: Issuer }> {
    const grant = await this.originator().grant({
      subject: standInId(name),
      inviteSerial: undefined,
      certifier: issuerPart(this.meshId),
      ...fields,
    });
    return { id: standInId(name), grant, issuer: this.issuerWith(name, grant) };
  }

  /** Issues as the node with this name, with a grant that may be anybody's. */
  issuerWith(name: string, grant: Signed<Grant>): Issuer {
    return this.#issuer(standInSigner(standInId(name)), grant);
  }

  trust(): PaperTrust {
    return new PaperTrust({ meshId: this.meshId, verifier: this.verifier });
  }

  /** What the node with this name knows. `isOriginator`: it holds the mesh key. */
  async authority(
    name: string,
    options: {
      readonly isOriginator?: boolean;
      readonly isClosed?: boolean;
      readonly saved?: SavedPapers;
    } = {},
  ): Promise<MeshAuthority> {
    const { authority } = await MeshAuthority.open({
      meshId: this.meshId,
      node: standInSigner(standInId(name)),
      meshKey: options.isOriginator === true ? this.meshKey : undefined,
      verifier: this.verifier,
      clock: this.time,
      secrets: this.secrets,
      isClosed: options.isClosed ?? false,
    }, options.saved);
    return authority;
  }

  #issuer(signer: Signer, grant: Signed<Grant> | undefined): Issuer {
    const { meshId, time, secrets } = this;
    return new Issuer({ meshId, signer, grant, clock: time, secrets });
  }
}

/** Where joiners begin in tests. */
export function bootstrapPeer(name: string, addresses = 1): BootstrapPeer {
  return {
    nodeId: standInId(name),
    leafHash: standInId(`leaf of ${name}`),
    addresses: Array.from(
      { length: addresses },
      (_, n) => ({ ip: `192.0.2.${n + 1}`, port: 4433 }),
    ),
  };
}

/** A member's certificate by this issuer, from an invite of the same unless told otherwise. */
export function memberBy(
  issuer: Issuer,
  subject: NodeId,
  inviteSerial = issuer.freshSerial(),
): Promise<Verified<Certificate>> {
  return issuer.certificate({ subject, rights: RIGHTS, inviteSerial });
}

/** The answer, or a failure with the sentence of the refusal. */
export function accepted<T extends object>(answer: T | Refusal): T {
  if (isRefusal(answer)) throw new Error(`Refused: ${answer.code}: ${answer.message}`);
  return answer;
}

/** The code of a refusal; "accepted" when it is none. */
export function codeOf(answer: Verified<unknown> | Signed<unknown> | Refusal | undefined): string {
  return answer !== undefined && isRefusal(answer) ? answer.code : "accepted";
}
