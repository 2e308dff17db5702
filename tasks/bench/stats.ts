/** Order statistics for measurements that are noisy and few. Pure. */

/** The lowest, the middle and the highest of several values. */
export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/**
 * The value below or at which `share` of all values lie, by nearest rank: always one that was measured.
 *
 * @param share more than 0, at most 1: 0.99 for the 99th percentile
 * @throws {RangeError} when there are no values or `share` is out of range
 */
export function percentile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new RangeError("Cannot take a percentile: there are no values");
  if (!(share > 0 && share <= 1)) {
    throw new RangeError(`Cannot take a percentile: share is ${share}, wanted above 0 up to 1`);
  }
  const sorted = sort(values);
  return sorted[Math.ceil(share * sorted.length) - 1]!;
}

/**
 * The middle value; of an even number the mean of the two in the middle.
 *
 * @throws {RangeError} when there are no values
 */
export function median(values: readonly number[]): number {
  if (values.length === 0) throw new RangeError("Cannot take a median: there are no values");
  const sorted = sort(values);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * Lowest, middle and highest.
 *
 * @throws {RangeError} when there are no values
 */
export function spread(values: readonly number[]): Spread {
  return {
    min: percentile(values, Number.MIN_VALUE),
    median: median(values),
    max: percentile(values, 1),
  };
}

/** What was measured twice, at nearly the same moment: the machine's mood is the same for both. */
export interface Pair {
  readonly direct: number;
  readonly through: number;
}

/** Joins two series by position. @throws {RangeError} when their lengths differ */
export function pairUp(direct: readonly number[], through: readonly number[]): Pair[] {
  if (direct.length !== through.length) {
    throw new RangeError(`Cannot pair ${direct.length} values with ${through.length}`);
  }
  return direct.map((value, index) => ({ direct: value, through: through[index]! }));
}

/** What the way through the program costs, pair by pair. */
export function differences(pairs: readonly Pair[]): number[] {
  return pairs.map(({ direct, through }) => through - direct);
}

/** What is left on the way through the program, pair by pair: 1 is everything. */
export function ratios(pairs: readonly Pair[]): number[] {
  return pairs.map(({ direct, through }) => through / direct);
}

function sort(values: readonly number[]): Float64Array {
  return Float64Array.from(values).sort();
}
