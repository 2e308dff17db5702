/** Reads the tokens that a person hands in: which meshes they lead into. */
import type { Invite, Signed } from "~/mesh/credentials.ts";
import type { MeshId } from "~/mesh/ids.ts";
import { PAPER_LIMITS } from "~/mesh/papers.ts";
import { isRefusal } from "~/mesh/refusal.ts";
import { peekPayload, type Verifier } from "~/mesh/signing.ts";
import { openInvite } from "~/mesh/trust.ts";

/** A mesh that tokens lead into. */
export interface WayIn {
  readonly meshId: MeshId;
  /** Those that hold, in the order in which they were given. */
  readonly invites: readonly Signed<Invite>[];
  /** Why none holds, when none does: then only what the node kept of this mesh can lead into it. */
  readonly problem: string | undefined;
}

/** What tokens come to. */
export interface ReadTokens {
  /** One for each mesh. */
  readonly ways: readonly WayIn[];
  /** Why tokens cannot be used, each once. */
  readonly problems: readonly string[];
}

/**
 * Reads tokens.
 *
 * @param options.kept the mesh whose papers this node has: a token for it that expired is no reason to stay outside
 */
export async function readTokens(
  tokens: readonly string[],
  { verifier, nowMs, kept }: {
    readonly verifier: Verifier;
    readonly nowMs: number;
    readonly kept: MeshId | undefined;
  },
): Promise<ReadTokens> {
  const ways = new Map<MeshId, WayIn>();
  const problems = new Set<string>();
  for (const token of tokens) {
    const read = await openInvite(token, { verifier, nowMs });
    if (!isRefusal(read)) {
      const { meshId } = read.paper;
      const invites = [...ways.get(meshId)?.invites ?? [], read];
      ways.set(meshId, { meshId, invites, problem: undefined });
      continue;
    }
    problems.add(read.message);
    if (kept === undefined || read.code !== "expired" || meshOf(token) !== kept) continue;
    if (!ways.has(kept)) ways.set(kept, { meshId: kept, invites: [], problem: read.message });
  }
  return { ways: [...ways.values()], problems: [...problems] };
}

/** Unverified: it only says which of our own papers to look at. */
function meshOf(token: string): unknown {
  return peekPayload(token.trim(), PAPER_LIMITS["mesh-llm-invite"].charsMax)?.["mesh"];
}
