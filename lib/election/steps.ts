/** Numbers in coarse steps: what goes into a record must not change with every breath, as each change is told to all. */

/**
 * The step that stands for `value`: a power of `ratio`, at most `value`. It is kept while the value stays near
 * it, so that one that trembles around a border changes nothing.
 *
 * @param previous the step told last; 0 for none
 * @param ratio between two steps, above 1
 * @param slack share by which the value may leave its step downwards before the step follows, 0 to 1
 */
export function steadyStep(
  value: number,
  previous: number,
  { ratio, slack }: { readonly ratio: number; readonly slack: number },
): number {
  if (!(value > 0)) return 0;
  const isNear = value >= previous * (1 - slack) && value < previous * ratio * (1 + slack / 2);
  if (previous > 0 && isNear) return previous;
  // The logarithm of an exact power may come out a hair below it.
  return ratio ** Math.floor(Math.log(value) / Math.log(ratio) + 1e-9);
}

/** `share` (0 to 1) in quarters, kept while it is less than a sixth away from the quarter told last. */
export function steadyQuarter(share: number, previous: number): number {
  if (Math.abs(share - previous) < 1 / 6) return previous;
  return Math.round(Math.min(1, Math.max(0, share)) * 4) / 4;
}
