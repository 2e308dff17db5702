/** Addresses that a person gives for this node: what others dial where this machine cannot know it. */
import { isIPv4, isIPv6 } from "node:net";
import { formatAddress, parseAddress } from "~/mesh/address.ts";

/** A host as it was given; names are resolved by the node when it starts. */
export interface AdvertisedHost {
  /** IP literal without brackets, or a name. */
  readonly host: string;
  readonly isName: boolean;
  /** Absent: the port to which this node is bound. */
  readonly port: number | undefined;
}

/** A record holds no more addresses than this. */
export const ADVERTISED_MAX = 8;
/** Longest DNS name in text (RFC 1035, section 3.1). */
const NAME_CHARS_MAX = 253;
/** "host", "host:port", "[v6]", "[v6]:port"; a v6 literal without brackets has more colons. */
const HOST_PORT = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+))(?::([0-9]{1,5}))?$/;
/** RFC 1123, section 2.1: letters, digits and hyphens between dots; the last label has a letter. */
const NAME =
  /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*(?=[a-z0-9-]*[a-z])[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.?$/i;

/** Reads "HOST" or "HOST:PORT"; undefined for what nobody could dial. */
export function parseAdvertised(text: string): AdvertisedHost | undefined {
  if (isIPv6(text)) return literal(text, undefined);
  const parts = HOST_PORT.exec(text);
  if (parts === null) return undefined;
  const [, v6, other = "", portText] = parts;
  const port = portText === undefined ? undefined : Number(portText);
  if (port !== undefined && (port < 1 || port > 65_535)) return undefined;
  if (v6 !== undefined) return isIPv6(v6) ? literal(v6, port) : undefined;
  if (isIPv4(other)) return literal(other, port);
  if (other.length > NAME_CHARS_MAX || !NAME.test(other)) return undefined;
  return { host: other, isName: true, port };
}

/** Any port will do to ask whether the address is one that can be dialled. */
function literal(ip: string, port: number | undefined): AdvertisedHost | undefined {
  const isDialable = parseAddress(formatAddress({ ip, port: port ?? 1 })) !== undefined;
  return isDialable ? { host: ip, isName: false, port } : undefined;
}
