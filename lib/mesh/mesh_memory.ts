/** What a node remembers of its mesh from one start to the next, as text (`<home>/mesh.json`). Pure. */
import { isJsonObject, type JsonValue } from "../base/json.ts";
import type { SavedPapers } from "./authority.ts";
import type { BootstrapPeer } from "./credentials.ts";
import { isKeyId, type MeshId } from "./ids.ts";
import { asPeer, peerJson } from "./paper_fields.ts";
import { PAPER_LIMITS, type PaperKind } from "./papers.ts";

/** Raised when what is written changes so that older programs must not read it. */
const FORMAT = 1;
/** As many as a node can hold. */
const REVOCATIONS_MAX = 1024;
/** Enough to find a mesh again of which many are gone. */
export const PEERS_KEPT_MAX = 256;
/** The largest text that {@link encodeMemory} makes, and some more. */
export const MEMORY_BYTES_MAX = 4 * 1024 * 1024;

/** The last mesh. */
export interface MeshMemory {
  readonly meshId: MeshId;
  readonly papers: SavedPapers;
  /** UDP port of the last start: whoever knew the node looks for it there. */
  readonly port: number | undefined;
  /** Where members were, the most useful first; what is beyond the limit is forgotten. */
  readonly peers: readonly BootstrapPeer[];
}

/** Writes a memory. */
export function encodeMemory({ meshId, papers, port, peers }: MeshMemory): string {
  const value = {
    format: FORMAT,
    mesh: meshId,
    certificate: papers.certificate,
    grant: papers.grant,
    revocations: papers.revocations.slice(0, REVOCATIONS_MAX),
    port,
    peers: peers.slice(0, PEERS_KEPT_MAX).map(peerJson),
  };
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** Reads a memory; single members that are damaged are left out. Undefined when the text is none at all. */
export function decodeMemory(text: string): MeshMemory | undefined {
  const value = parse(text);
  if (!isJsonObject(value) || value["format"] !== FORMAT) return undefined;
  const { mesh, port, revocations } = value;
  if (!isKeyId(mesh)) return undefined;
  return {
    meshId: mesh,
    papers: {
      certificate: asPaper("mesh-llm-certificate", value["certificate"]),
      grant: asPaper("mesh-llm-grant", value["grant"]),
      revocations: listOf(revocations, REVOCATIONS_MAX)
        .flatMap((jws) => asPaper("mesh-llm-revocation", jws) ?? []),
    },
    port: isPort(port) ? port : undefined,
    peers: listOf(value["peers"], PEERS_KEPT_MAX).flatMap((peer) => asPeer(peer) ?? []),
  };
}

function isPort(value: JsonValue | undefined): value is number {
  return typeof value === "number" && Number.isInteger(value) && value > 0 && value <= 65_535;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Who signed it is found out by who uses it. */
function asPaper(kind: PaperKind, value: JsonValue | undefined): string | undefined {
  const isPaper = typeof value === "string" && value.length <= PAPER_LIMITS[kind].charsMax;
  return isPaper ? value : undefined;
}

function listOf(value: JsonValue | undefined, sizeMax: number): readonly JsonValue[] {
  return Array.isArray(value) ? value.slice(0, sizeMax) : [];
}
