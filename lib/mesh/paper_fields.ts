/** Reads single members of a signed payload, each within its bounds; undefined for anything else. */
import { isJsonObject, type JsonObject, type JsonValue } from "../base/json.ts";
import { formatAddress, parseAddress, type PeerAddress } from "./address.ts";
import { type BootstrapPeer, type Right, RIGHTS } from "./credentials.ts";
import { isKeyId, isSerial } from "./ids.ts";

/** Year 36000: whatever is later is no date. */
const UNIX_S_MAX = 2 ** 40;
/** Rights that later versions add are skipped, within reason. */
const RIGHTS_MAX = 16;
/** How many peers an invite may name, and how many addresses each. */
export const PEERS_MAX = 4;
export const PEER_ADDRESSES_MAX = 8;
/** "[" + 45 + "]:65535" */
const ADDRESS_CHARS_MAX = 53;

/** A time in Unix seconds. */
export function asUnixS(value: JsonValue | undefined): number | undefined {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) return undefined;
  return value >= 0 && value <= UNIX_S_MAX ? value : undefined;
}

/** A serial, or none: `"malformed"` when there is something else. */
export function asSerialIfAny(value: JsonValue | undefined): string | undefined | "malformed" {
  return value === undefined || isSerial(value) ? value : "malformed";
}

/** Rights in their own order, `request` among them. */
export function asRights(value: JsonValue | undefined): readonly Right[] | undefined {
  if (!isList(value, RIGHTS_MAX)) return undefined;
  const rights = RIGHTS.filter((right) => value.includes(right));
  return rights.includes("request") ? rights : undefined;
}

/** Addresses to dial, at least one. */
function asAddresses(value: JsonValue | undefined): readonly PeerAddress[] | undefined {
  if (!isList(value, PEER_ADDRESSES_MAX)) return undefined;
  const addresses = value.flatMap((text) => {
    const isText = typeof text === "string" && text.length <= ADDRESS_CHARS_MAX;
    return (isText ? parseAddress(text) : undefined) ?? [];
  });
  return addresses.length === value.length ? addresses : undefined;
}

/** The peers of an invite, at least one. */
export function asPeers(value: JsonValue | undefined): readonly BootstrapPeer[] | undefined {
  if (!isList(value, PEERS_MAX)) return undefined;
  const peers = value.flatMap((peer) => asPeer(peer) ?? []);
  return peers.length === value.length ? peers : undefined;
}

/** A peer and where it is, as {@link peerJson} writes it. */
export function asPeer(value: JsonValue): BootstrapPeer | undefined {
  if (!isJsonObject(value)) return undefined;
  const { id, hash } = value;
  const addresses = asAddresses(value["at"]);
  // A SHA-256 is written like a key: 32 bytes.
  if (!isKeyId(id) || !isKeyId(hash) || addresses === undefined) return undefined;
  return { nodeId: id, addresses, leafHash: hash };
}

/** Writes a peer. */
export function peerJson({ nodeId, leafHash, addresses }: BootstrapPeer): JsonObject {
  return {
    id: nodeId,
    hash: leafHash,
    at: addresses.slice(0, PEER_ADDRESSES_MAX).map(formatAddress),
  };
}

function isList(value: JsonValue | undefined, sizeMax: number): value is readonly JsonValue[] {
  return Array.isArray(value) && value.length > 0 && value.length <= sizeMax;
}
