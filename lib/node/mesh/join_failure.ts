/** One sentence for the person whose join failed: what an issuer said, or that nobody could be reached. Pure. */
import { UserError } from "~/base/errors.ts";
import { RefusedError } from "~/mesh/handshake.ts";
import { RaceLostError } from "./dial_race.ts";

/** What says most comes first; what only the moment or one peer is to blame for comes last. */
const RANKS: Readonly<Record<string, number>> = { revoked: 0, expired: 0, version: 1 };
const RANK_OTHER = 2;
const RANK_OF_THE_MOMENT = 3;
const OF_THE_MOMENT = new Set(["busy", "full", "mesh", "self"]);
/** These say no more than that nobody was reached. */
const UNREACHED = new Set(["lost", "timeout", "protocol"]);

/**
 * Makes the sentence.
 *
 * @param error what the race over the peers of the token ended with
 * @param peerCount how many it named, this node not counted
 */
export function joinFailure(error: unknown, peerCount: number): unknown {
  if (!(error instanceof RaceLostError)) return error;
  if (peerCount === 0) {
    return new UserError("Cannot join: the token names only this node itself", { cause: error });
  }
  const [refused] = refusalsIn(error).filter(({ code, byPeer }) => byPeer || !UNREACHED.has(code))
    .toSorted((a, b) => rank(a) - rank(b));
  if (refused !== undefined) {
    return new UserError(`Cannot join: ${refused.message}`, { cause: error });
  }
  const who = peerCount === 1 ? "the one peer" : `any of the ${peerCount} peers`;
  return new UserError(`Cannot join: cannot reach ${who} of the token (${error.message})`, {
    cause: error,
  });
}

function rank({ code }: RefusedError): number {
  return RANKS[code] ?? (OF_THE_MOMENT.has(code) ? RANK_OF_THE_MOMENT : RANK_OTHER);
}

function refusalsIn(error: unknown): readonly RefusedError[] {
  if (error instanceof RefusedError) return [error];
  return error instanceof RaceLostError ? error.causes.flatMap(refusalsIn) : [];
}
