/**
 * Slots of a model are in two pools: this node's own, for which clients here and peers wait in one line,
 * and those of other nodes, which have lines of their own: here it is only counted what this node sent
 * them. A client's request waits for both and takes what is free first; which of two free ones is preferred is
 * the caller's to say, who knows which target it would rather ask.
 *
 * @module
 */
import type { AdmissionDesk, Ticket } from "./admission_desk.ts";
import { DoorError } from "./errors.ts";
import type { Target } from "./ports.ts";

/** Where a request may be computed. */
export type Pool = "here" | "elsewhere";

/** The right to send a request to a target of the pool. */
export interface Admitted {
  readonly pool: Pool;
  readonly ticket: Ticket;
}

/** The pool of a target. */
export function poolOf(target: Target): Pool {
  return target.isRemote === true ? "elsewhere" : "here";
}

/**
 * Waits for a slot of any of the targets.
 *
 * @param options.preferred the pool to take when both have a free slot. @default {"here"}
 * @param options.isContinuation for the rest of an answer: before new requests. @default {false}
 * @param options.peer the node that asks; undefined for callers of this node
 * @throws as {@link AdmissionDesk.acquire}, when no pool can be waited for
 */
export async function admit(
  desk: AdmissionDesk,
  modelId: string,
  options: {
    readonly targets: readonly Target[];
    readonly signal: AbortSignal;
    readonly preferred?: Pool | undefined;
    readonly isContinuation?: boolean | undefined;
    readonly peer?: string | undefined;
  },
): Promise<Admitted> {
  const { targets, signal, preferred = "here", isContinuation = false, peer } = options;
  const here = slotsOf(targets, "here");
  const elsewhere = slotsOf(targets, "elsewhere");
  const enter = async (pool: Pool, until = signal): Promise<Admitted> => {
    const slots = pool === "here" ? here : elsewhere;
    const line = lineOf(pool, modelId);
    const waiting = { slots, line, signal: until, isContinuation, peer };
    return { pool, ticket: await desk.acquire(modelId, waiting) };
  };
  if (elsewhere === 0) return await enter("here");
  if (here === 0) return await enter("elsewhere");
  const free = (["here", "elsewhere"] as const).filter((pool) =>
    desk.isFree(lineOf(pool, modelId), pool === "here" ? here : elsewhere)
  );
  const [first] = free.includes(preferred) ? [preferred] : free;
  return first === undefined ? await enterBoth(enter, signal) : await enter(first);
}

function lineOf(pool: Pool, modelId: string): string {
  return `${pool} ${modelId}`;
}

function slotsOf(targets: readonly Target[], pool: Pool): number {
  return targets.reduce((sum, target) => poolOf(target) === pool ? sum + target.slots : sum, 0);
}

async function enterBoth(
  enter: (pool: Pool, until: AbortSignal) => Promise<Admitted>,
  signal: AbortSignal,
): Promise<Admitted> {
  const leave = new AbortController();
  const until = AbortSignal.any([signal, leave.signal]);
  const tries = [enter("here", until), enter("elsewhere", until)];
  try {
    const first = await Promise.any(tries);
    for (const other of tries) {
      // Both may have been granted at once.
      other.then(({ ticket }) => ticket !== first.ticket && ticket.release(), () => {});
    }
    return first;
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof AggregateError ? soonest(error.errors) : error;
  } finally {
    leave.abort();
  }
}

/** The refusal that lets the client come back first. */
function soonest(errors: readonly unknown[]): unknown {
  const retryOf = (error: unknown): number =>
    error instanceof DoorError ? error.facts.retryAfterS ?? Infinity : Infinity;
  return errors.toSorted((a, b) => retryOf(a) - retryOf(b))[0];
}
