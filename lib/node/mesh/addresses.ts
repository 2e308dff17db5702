/** Where a node says it can be dialled: what the user advertises, what peers see, what the machine has. */
import { formatAddress, type PeerAddress, sameAddress } from "~/mesh/address.ts";
import type { NodeRecord } from "~/mesh/record.ts";

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
 * than itself, those that peers see, and loopback last, for peers on the same machine. A machine has many that
 * lead nowhere, of containers and tunnels, so those that peers see keep their room.
 */
export function ownAddresses(facts: AddressFacts): readonly PeerAddress[] {
  const own = facts.interfaces.map((ip) => ({ ip, port: facts.port }));
  const loopback = distinct(own.filter((address) => address.ip === "127.0.0.1"));
  const observed = facts.observed.filter((address) => !isLocal(address));
  const isSeen = (address: PeerAddress): boolean =>
    observed.some((other) => sameAddress(other, address));
  const far = own.filter((address) => !isLocal(address));
  const first = distinct([
    ...facts.advertised,
    ...far.filter(isSeen),
    ...far.filter((address) => !isSeen(address)),
  ]);
  const seen = mostSeen(observed)
    .filter((address) => !first.some((other) => sameAddress(other, address)));
  return [...first.slice(0, ADDRESSES_MAX - loopback.length - seen.length), ...seen, ...loopback];
}

/**
 * Whether others can dial this node. Nobody tells a node that a dial at it failed: what shows that there is a
 * translation of addresses in between is that most peers see it at an address that its machine has not.
 *
 * @param wasReached somebody came in whom the node had not dialled, nor asked to dial
 */
export function dialableOf(
  { advertised, interfaces, observed }: AddressFacts,
  wasReached: boolean,
): NodeRecord["dialable"] {
  if (wasReached) return "yes";
  const far = observed.filter((address) => !isLocal(address));
  const foreign = far.filter(({ ip }) => !interfaces.includes(ip));
  return advertised.length === 0 && foreign.length * 2 > far.length ? "no" : "unknown";
}

/** Loopback is another machine's for everybody else. */
function isLocal({ ip }: PeerAddress): boolean {
  return ip.startsWith("127.") || ip === "::1";
}

/** Distinct addresses that most peers agree on; their order does not hang on that of the links. */
function mostSeen(observed: readonly PeerAddress[]): readonly PeerAddress[] {
  const count = (address: PeerAddress): number =>
    observed.filter((other) => sameAddress(other, address)).length;
  return distinct(
    [...observed].sort((a, b) =>
      count(b) - count(a) || (formatAddress(a) < formatAddress(b) ? -1 : 1)
    ),
  ).slice(0, OBSERVED_MAX);
}

function distinct(addresses: readonly PeerAddress[]): PeerAddress[] {
  return addresses.filter((address, index) =>
    addresses.findIndex((other) => sameAddress(other, address)) === index
  );
}
