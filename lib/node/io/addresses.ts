/** Addresses of this machine, and of names that the user advertises. */
import { lookup } from "node:dns/promises";
import { messageOf, UserError } from "~/base/errors.ts";
import { formatAddress, parseAddress, type PeerAddress } from "~/mesh/address.ts";
import { parseAdvertised } from "../advertise.ts";

/** How long a name server may take. */
const RESOLVE_MS_MAX = 5_000;

/** IP addresses of the interfaces that are up, without link-local ones: those need a zone to be dialled. */
export function interfaceAddresses(): readonly string[] {
  return Deno.networkInterfaces().map(({ address }) => address)
    .filter((ip) => !/^fe80:/i.test(ip) && !ip.startsWith("169.254."));
}

/**
 * Addresses of `--advertise HOST[:PORT]`; names are looked up once, at the start.
 *
 * @param boundPort taken where the text names none
 * @throws {UserError} when it is no address, or the name means nothing
 */
export async function resolveAdvertised(text: string, boundPort: number): Promise<PeerAddress[]> {
  const given = parseAdvertised(text);
  if (given === undefined) throw unusable(text, "it must be HOST or HOST:PORT");
  const { host, isName, port = boundPort } = given;
  const ips = isName ? await lookUp(host, text) : [host];
  const addresses = ips.map((ip) => parseAddress(formatAddress({ ip, port })))
    .filter((address) => address !== undefined);
  if (addresses.length === 0) throw unusable(text, "nobody can dial that");
  return addresses;
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
