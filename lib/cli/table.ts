/** Tables for people: aligned columns, and nothing in them that a terminal would obey. */

/** Control characters, marks that change the direction of writing, separators of lines. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
/** Longer words from elsewhere are cut. */
const WORD_CHARS_MAX = 120;

/** What others say about themselves, safe to print: one line of bounded length. */
export function printable(text: string): string {
  const clean = text.replace(UNPRINTABLE, "?");
  return clean.length <= WORD_CHARS_MAX ? clean : `${clean.slice(0, WORD_CHARS_MAX - 1)}…`;
}

/** Lines with the head first; columns are as wide as their widest cell, the last one is not filled up. */
export function formatTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): readonly string[] {
  const lines = [head, ...rows.map((row) => row.map(printable))];
  const widths = head.map((_, column) =>
    Math.max(...lines.map((cells) => (cells[column] ?? "").length))
  );
  return lines.map((cells) =>
    cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()
  );
}
