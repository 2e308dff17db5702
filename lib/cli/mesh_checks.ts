/** What `doctor` says about the mesh: of a running node, or of what the home remembers. Pure. */
import type { StatusSnapshot } from "~/api/ports.ts";
import { formatDurationS } from "~/base/duration.ts";
import { UserError } from "~/base/errors.ts";
import { decodeMemory, type MeshMemory } from "~/mesh/mesh_memory.ts";
import { PAPER_LIMITS, readPaper } from "~/mesh/papers.ts";
import { peekPayload } from "~/mesh/signing.ts";
import { meshLine } from "./mesh_output.ts";

/** Who is there, by which port, and whom this node hears badly. */
export function describeMesh(status: StatusSnapshot): string {
  const { peer_port: port, peers } = status;
  const away = peers.filter(({ state }) => state !== "live").length;
  return meshLine(status) +
    (port === null ? "" : `, links on UDP port ${port}`) +
    (away === 0 ? "" : `; nothing is heard of ${away} of the peers now`);
}

/**
 * What the next start without a token finds.
 *
 * @param text content of `mesh.json`; undefined when there is none
 * @throws {UserError} when it cannot go back into its mesh, with what to do
 */
export function describeMemory(text: string | undefined, nowUnixS: number): string {
  if (text === undefined) return "none yet: the next start begins one, or joins one with --join";
  const memory = decodeMemory(text);
  if (memory === undefined) {
    throw new UserError(
      "mesh.json is damaged: the next start puts it aside; join with --join TOKEN",
    );
  }
  const places = `${memory.peers.length} known ${memory.peers.length === 1 ? "peer" : "peers"}`;
  const endS = certificateEndOf(memory);
  if (endS === undefined) return `${memory.meshId}, ${places}`;
  if (endS > nowUnixS) {
    return `${memory.meshId}, certificate for ${formatDurationS(endS - nowUnixS)} more, ${places}`;
  }
  throw new UserError(
    `the certificate for mesh ${memory.meshId} has expired: join again with --join TOKEN ` +
      "(where the mesh began, a start renews it)",
  );
}

function certificateEndOf({ papers: { certificate } }: MeshMemory): number | undefined {
  if (certificate === undefined) return undefined;
  const payload = peekPayload(certificate, PAPER_LIMITS["mesh-llm-certificate"].charsMax);
  const read = payload === undefined ? undefined : readPaper("mesh-llm-certificate", payload);
  return typeof read === "object" ? read.paper.expiresUnixS : undefined;
}
