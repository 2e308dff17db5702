/** Names that somebody may have meant. */

/** Longest name that is compared: the work grows with the square of the length. */
const COMPARED_CHARS_MAX = 100;
/** Suggestions shown at most: a list that is longer than that is not read. */
const SUGGESTIONS_MAX = 3;

/** The candidates that are a typo away from `name`, or contain it, best first. */
export function suggestNames(name: string, candidates: readonly string[]): string[] {
  const wanted = name.toLowerCase().slice(0, COMPARED_CHARS_MAX);
  const scored = candidates.map((candidate) => ({ candidate, score: score(wanted, candidate) }));
  // A third of the letters wrong is still a typo; more is another word.
  const near = scored.filter(({ score }) => score <= Math.max(2, wanted.length / 3));
  return near
    .sort((a, b) => a.score - b.score || a.candidate.localeCompare(b.candidate))
    .slice(0, SUGGESTIONS_MAX)
    .map(({ candidate }) => candidate);
}

function score(wanted: string, candidate: string): number {
  const other = candidate.toLowerCase().slice(0, COMPARED_CHARS_MAX);
  // Three letters, so that a lone "q" does not bring up half of the list.
  if (wanted.length >= 3 && other.includes(wanted)) return 1;
  return editDistance(wanted, other);
}

/** Letters to insert, delete or replace to get from one word to the other (Levenshtein). */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const replaced = previous[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, previous[column]! + 1, current[column - 1]! + 1));
    }
    previous = current;
  }
  return previous[b.length]!;
}
