/** Where a node says it can be dialled: what the user advertises, what peers see, what the machine has. */
import { type PeerAddress, sameAddress } from "~/mesh/address.ts";

/** Addresses in a record or an invite; each costs the dialer a try. */
const ADDRESSES_MAX = 8;
/** Of what peers see, more would be guesses: NATs with a port per destination. */
const OBSERVED_MAX = 2;

/** Everything that is known. */
export interface AddressFacts {
  /** `--advertise`, resolved. */
  readonly advertised: readonly PeerAddress[];
  /** IP addresses of the machine's interfaces. */
  readonly interfaces: readonly string[];
  /** What each peer sees, in the order of the links. */
  readonly observed: readonly PeerAddress[];
  /** Port of the node's own socket. */
  readonly port: number;
}

/**
 * The addresses to give to others, best first: advertised ones, those of the machine that reach further
 * than itself, those that peers see, and loopback last, for peers on the same machine.
 */
export function ownAddresses(facts: AddressFacts): readonly PeerAddress[] {
  const own = facts.interfaces.map((ip) => ({ ip, port: facts.port }));
  const isLocal = ({ ip }: PeerAddress): boolean => ip.startsWith("127.") || ip === "::1";
  const far = own.filter((address) => !isLocal(address));
  const loopback = own.filter((address) => address.ip === "127.0.0.1");
  const seen = mostSeen(facts.observed.filter((address) => !isLocal(address)));
  const all = distinct([...facts.advertised, ...far, ...seen]);
  return [...all.slice(0, ADDRESSES_MAX - loopback.length), ...loopback];
}

/** Distinct addresses that most peers agree on. */
function mostSeen(observed: readonly PeerAddress[]): readonly PeerAddress[] {
  const count = (address: PeerAddress): number =>
    observed.filter((other) => sameAddress(other, address)).length;
  return distinct([...observed].sort((a, b) => count(b) - count(a))).slice(0, OBSERVED_MAX);
}

function distinct(addresses: readonly PeerAddress[]): PeerAddress[] {
  return addresses.filter((address, index) =>
    addresses.findIndex((other) => sameAddress(other, address)) === index
  );
}
