/** Which model to serve when nobody named one. */
import { STARTER } from "./catalogue.ts";

/** A model on disk, with what decides. */
export interface Candidate {
  readonly id: string;
  readonly parameterCount: number;
  readonly sizeBytes: number;
  /** False for models that answer with vectors, or not at all. */
  readonly isChatModel: boolean;
}

/**
 * The best model that fits: the one with the most parameters, of equals the finer quantised one. The
 * starter model only when nothing else fits; undefined when not even that is there.
 *
 * @param fits whether there is a memory plan for a candidate; asked best first, until one does
 */
export function chooseBest<T extends Candidate>(
  candidates: readonly T[],
  fits: (candidate: T) => boolean,
): T | undefined {
  const order = candidates
    .filter((candidate) => candidate.isChatModel)
    .sort((a, b) =>
      Number(a.id === STARTER.name) - Number(b.id === STARTER.name) ||
      b.parameterCount - a.parameterCount || b.sizeBytes - a.sizeBytes ||
      a.id.localeCompare(b.id)
    );
  return order.find((candidate) => fits(candidate));
}
