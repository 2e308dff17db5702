/** Lines of a file at most, tests included. About 150 is the aim. Functions: see `tasks/lint_size.ts`. */
export const FILE_LINES_MAX = 500;

/** Sizes of many files. */
export interface SizeReport {
  readonly files: number;
  readonly medianLines: number;
  readonly largestLines: number;
  readonly complaints: readonly string[];
}

/** Measures `files` (content by path) and complains about those beyond the limit. */
export function measureSizes(files: ReadonlyMap<string, string>): SizeReport {
  const sizes = [...files].map(([path, text]) => ({ path, lines: countLines(text) }))
    .sort((a, b) => a.lines - b.lines);
  return {
    files: sizes.length,
    medianLines: sizes[Math.floor(sizes.length / 2)]?.lines ?? 0,
    largestLines: sizes.at(-1)?.lines ?? 0,
    complaints: sizes.filter(({ lines }) => lines > FILE_LINES_MAX).map(({ path, lines }) =>
      `${path}: ${lines} lines, the limit is ${FILE_LINES_MAX}: cut it along its subjects`
    ),
  };
}

function countLines(text: string): number {
  return text.split("\n").length - (text.endsWith("\n") ? 1 : 0);
}
