/** Where a node's UDP socket is: an IP literal with a port, never a name. */
import { isIPv4, isIPv6 } from "node:net";

/** An address to dial. */
export interface PeerAddress {
  /** IPv4 or IPv6 literal, without brackets. */
  readonly ip: string;
  readonly port: number;
}

/** "192.0.2.7:4433", "[2001:db8::7]:4433". */
export function formatAddress({ ip, port }: PeerAddress): string {
  return isIPv6(ip) ? `[${ip}]:${port}` : `${ip}:${port}`;
}

/** Reads what {@link formatAddress} writes; undefined for anything else, for port 0 and for addresses nobody has. */
export function parseAddress(text: string): PeerAddress | undefined {
  const parts = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([0-9.]{7,15})):([0-9]{1,5})$/.exec(text);
  if (parts === null) return undefined;
  const [, v6, v4, portText] = parts;
  const ip = v6 ?? v4 ?? "";
  const port = Number(portText);
  if (v6 === undefined ? !isIPv4(ip) : !isIPv6(ip)) return undefined;
  if (port < 1 || port > 65_535 || !isDialable(ip)) return undefined;
  return { ip, port };
}

/** Whether two addresses are written the same. */
export function sameAddress(a: PeerAddress, b: PeerAddress): boolean {
  return a.ip === b.ip && a.port === b.port;
}

/**
 * An address as a socket tells it: IPv4 on a socket for both kinds may come as `::ffff:a.b.c.d`, and a link-local
 * one names the interface, which means nothing to others.
 */
export function seenAddress(ip: string, port: number): PeerAddress {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(ip);
  return { ip: mapped?.[1] ?? ip.replace(/%.*$/, ""), port };
}

/** False for unspecified, multicast and broadcast addresses. */
function isDialable(ip: string): boolean {
  if (isIPv6(ip)) return ip !== "::" && !/^ff/i.test(ip);
  const first = Number(ip.split(".")[0]);
  return first !== 0 && first < 224;
}
