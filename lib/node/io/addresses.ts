/** Addresses of this machine, and of names that the user advertises. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { messageOf, UserError } from "~/base/errors.ts";
import { parseAddress, type PeerAddress } from "~/mesh/address.ts";

/** How long a name server may take. */
const RESOLVE_MS_MAX = 5_000;

/** IP addresses of the interfaces that are up, without link-local ones: those need a zone to be dialled. */
export function interfaceAddresses(): readonly string[] {
  return Deno.networkInterfaces().map(({ address }) => address)
    .filter((ip) => !/^fe80:/i.test(ip) && !ip.startsWith("169.254."));
}

/**
 * Reads `--advertise HOST[:PORT]`; names are looked up once, at the start.
 *
 * @param port taken where the text names none
 * @throws {UserError} when it is no address, or the name means nothing
 */
export async function resolveAdvertised(text: string, port: number): Promise<PeerAddress[]> {
  const parts = /^(?:\[([^\]]+)\]|([^:\s]+))(?::([0-9]{1,5}))?$/.exec(text);
  const bare = isIP(text) === 6 ? text : undefined;
  const host = bare ?? parts?.[1] ?? parts?.[2];
  if (host === undefined) throw unusable(text, "it must be HOST or HOST:PORT");
  const portText = bare === undefined ? parts?.[3] ?? String(port) : String(port);
  const ips = isIP(host) === 0 ? await lookUp(host, text) : [host];
  const addresses = ips.map((ip) =>
    parseAddress(isIP(ip) === 6 ? `[${ip}]:${portText}` : `${ip}:${portText}`)
  );
  const usable = addresses.filter((address) => address !== undefined);
  if (usable.length === 0) throw unusable(text, "nobody can dial that");
  return usable;
}

async function lookUp(host: string, text: string): Promise<string[]> {
  const late = Promise.withResolvers<never>();
  const limit = setTimeout(
    () => late.reject(new Error("the name server does not answer")),
    RESOLVE_MS_MAX,
  );
  try {
    const found = await Promise.race([lookup(host, { all: true }), late.promise]);
    return found.map(({ address }) => address);
  } catch (error) {
    throw unusable(text, messageOf(error));
  } finally {
    clearTimeout(limit);
  }
}

function unusable(text: string, why: string): UserError {
  return new UserError(`Cannot advertise "${text}": ${why}`, { exitCode: 2 });
}
