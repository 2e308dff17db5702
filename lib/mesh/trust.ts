/**
 * Who vouches for a paper: the chain from the mesh key over a grant to whoever signed it, checked offline. What
 * never changes (form, signatures, chain) is kept by the bytes of the paper, so that a paper seen again costs
 * nothing; what changes (time, revocations) is judged each time by {@link judgeTime} and `revocations.ts`.
 */
import { LruMap } from "../base/lru.ts";
import type { Grant, Invite, Signed } from "./credentials.ts";
import { isKeyId, type MeshId, shortId } from "./ids.ts";
import {
  CLOCK_SKEW_S,
  PAPER_LIMITS,
  type PaperFault,
  type PaperKind,
  type PaperKinds,
  type ReadPaper,
  readPaper,
} from "./papers.ts";
import { isRefusal, type Refusal, refusal, type RefusalCode } from "./refusal.ts";
import { peekPayload, type Verifier } from "./signing.ts";

/** Papers whose chain is known to hold: two of each node of the largest mesh, 4 MiB at most. */
const KNOWN_MAX = 2048;

/** A paper whose chain holds, with the grant of its issuer. */
export interface Verified<T> extends Signed<T> {
  /** Undefined when the mesh key signed. */
  readonly grant: Signed<Grant> | undefined;
}

/** Checks papers of one mesh. */
export class PaperTrust {
  readonly meshId: MeshId;
  readonly #verifier: Verifier;
  readonly #known = new LruMap<string, Verified<PaperKinds[PaperKind]>>(KNOWN_MAX);

  constructor(options: { readonly meshId: MeshId; readonly verifier: Verifier }) {
    this.meshId = options.meshId;
    this.#verifier = options.verifier;
  }

  /** The paper when form, mesh and chain are right, whatever the time is and whatever was revoked. */
  async read<K extends PaperKind>(
    kind: K,
    jws: string,
  ): Promise<Verified<PaperKinds[K]> | Refusal> {
    const key = `${kind} ${jws}`;
    const known = this.#known.get(key);
    // The kind is part of the key, so what is kept under it is of that kind.
    if (known !== undefined) return known as Verified<PaperKinds[K]>;
    const verified = await this.#verify(kind, jws);
    if (!isRefusal(verified)) this.#known.set(key, verified);
    return verified;
  }

  async #verify<K extends PaperKind>(
    kind: K,
    jws: string,
  ): Promise<Verified<PaperKinds[K]> | Refusal> {
    const read = readUnverified(kind, jws);
    if (isRefusal(read)) return read;
    const { paper, grantJws } = read;
    const grant = await this.#grantOf(kind, read);
    if (grant !== undefined && isRefusal(grant)) return grant;
    const isSigned = await this.#verifier.verify(jws, { type: kind, id: paper.issuer });
    if (isSigned === undefined) {
      const by = grantJws === undefined ? "its mesh" : `node ${shortId(paper.issuer)}`;
      return refused(kind, `is not signed by ${by}, or was changed on the way`);
    }
    return { jws, paper, grant };
  }

  async #grantOf(
    kind: PaperKind,
    { paper, grantJws }: ReadPaper<PaperKinds[PaperKind]>,
  ): Promise<Signed<Grant> | Refusal | undefined> {
    if (paper.meshId !== this.meshId) {
      const [found, wanted] = [shortId(paper.meshId), shortId(this.meshId)];
      return refusal("mesh", `The ${NAMES[kind]} is for mesh ${found}, not for mesh ${wanted}`);
    }
    if (grantJws === undefined) return undefined;
    const grant = await this.read("mesh-llm-grant", grantJws);
    if (isRefusal(grant)) return refused(kind, `comes with a bad grant: ${grant.message}`);
    if (grant.paper.subject === paper.issuer) return grant;
    return refused(kind, "comes with a grant of somebody else than its issuer");
  }
}

/**
 * Reads and verifies an invite as a person hands it in; blanks around it are taken away.
 *
 * @param options.meshId the mesh that this node is in, if any: the invite must be for it
 */
export async function openInvite(
  text: string,
  options: {
    readonly verifier: Verifier;
    readonly nowMs: number;
    readonly meshId?: MeshId | undefined;
  },
): Promise<Verified<Invite> | Refusal> {
  const jws = text.trim();
  const mesh = peekPayload(jws, PAPER_LIMITS["mesh-llm-invite"].charsMax)?.["mesh"];
  const named = isKeyId(mesh) ? mesh : undefined;
  const meshId = options.meshId ?? named;
  // Without a mesh it is no invite, but the reader knows best what to call it.
  const trust = new PaperTrust({ meshId: meshId ?? "", verifier: options.verifier });
  const invite = await trust.read("mesh-llm-invite", jws);
  if (isRefusal(invite)) return invite;
  return judgeTime("mesh-llm-invite", invite, options.nowMs) ?? invite;
}

/** Why a paper does not count at `nowMs`; undefined when it does. A paper ends with the grant that it hangs on. */
export function judgeTime<K extends PaperKind>(
  kind: K,
  { paper, grant }: Verified<PaperKinds[K]>,
  nowMs: number,
): Refusal | undefined {
  const nowS = nowMs / 1000;
  if (paper.issuedUnixS > nowS + CLOCK_SKEW_S) {
    const from = dateOf(paper.issuedUnixS);
    return refusal("expired", `The ${NAMES[kind]} holds from ${from} only: check the clocks`);
  }
  if (paper.expiresUnixS < nowS - CLOCK_SKEW_S) {
    return refusal("expired", `The ${NAMES[kind]} expired on ${dateOf(paper.expiresUnixS)}`);
  }
  if (grant === undefined) return undefined;
  // A revocation stays in force: what it ended would come back when its issuer's grant runs out.
  if (kind === "mesh-llm-revocation") {
    if (paper.issuedUnixS <= grant.paper.expiresUnixS) return undefined;
    return refusal("expired", "The revocation is younger than the grant of its issuer");
  }
  return judgeTime("mesh-llm-grant", { ...grant, grant: undefined }, nowMs);
}

const NAMES: Readonly<Record<PaperKind, string>> = {
  "mesh-llm-grant": "grant",
  "mesh-llm-invite": "invite token",
  "mesh-llm-certificate": "certificate",
  "mesh-llm-revocation": "revocation",
};

function readUnverified<K extends PaperKind>(
  kind: K,
  jws: string,
): ReadPaper<PaperKinds[K]> | Refusal {
  const { charsMax } = PAPER_LIMITS[kind];
  if (jws.length > charsMax) {
    return refused(kind, `is malformed: it has ${jws.length} characters, ${charsMax} at most`);
  }
  const payload = peekPayload(jws, charsMax);
  const read = payload === undefined ? "malformed" : readPaper(kind, payload);
  return typeof read === "string" ? faulty(kind, read) : read;
}

function faulty(kind: PaperKind, fault: PaperFault): Refusal {
  switch (fault) {
    case "malformed":
      return refused(
        kind,
        // Others come from programs, this one through the hands of people.
        kind === "mesh-llm-invite" ? "is malformed, perhaps not copied whole" : "is malformed",
      );
    case "version":
      return refusal(
        "version",
        `The ${NAMES[kind]} is of a version that this program does not know: use a newer mesh-llm`,
      );
    case "scope":
      return refused(kind, "claims more than its issuer may");
  }
}

function refused(kind: PaperKind, what: string): Refusal {
  const code: RefusalCode = kind === "mesh-llm-invite" ? "invite" : "certificate";
  return refusal(code, `The ${NAMES[kind]} ${what}`);
}

/** "2026-11-25 18:00 UTC" */
function dateOf(unixS: number): string {
  const date = new Date(unixS * 1000);
  // Years beyond what dates can hold.
  if (Number.isNaN(date.getTime())) return "a day beyond all calendars";
  return `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}
