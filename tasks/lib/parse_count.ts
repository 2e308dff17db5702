/** Numbers of flags, as the programs of tasks/ take them. */

/**
 * Reads a whole number.
 *
 * @throws {SyntaxError} that names what was found and what was wanted
 */
export function parseCount(
  flag: string,
  text: string,
  [min, max]: readonly [number, number],
): number {
  const count = Number(text);
  if (/^\d{1,10}$/.test(text) && count >= min && count <= max) return count;
  throw new SyntaxError(`Cannot use ${flag} ${text}: wanted a number from ${min} to ${max}`);
}
