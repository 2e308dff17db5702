/** What the bench reports: figures with their bars, as JSON lines and as a table. Pure. */
import { type Spread, spread } from "./stats.ts";

/** What a figure has to hold. */
export interface Bar {
  readonly kind: "at-most" | "at-least";
  readonly value: number;
  /** Which of the three values has to hold it. @default {"median"} */
  readonly holds?: keyof Spread;
}

/** One measured quantity. */
export interface Figure extends Spread {
  readonly section: string;
  readonly name: string;
  readonly unit: string;
  /** How many values the spread is taken over. */
  readonly rounds: number;
  /** How many single measurements are behind all of them. */
  readonly samples: number;
  readonly bar?: Bar;
}

/** What is known of a figure before it was measured. */
export interface FigureHead {
  readonly section: string;
  readonly name: string;
  readonly unit: string;
  readonly bar?: Bar;
}

/** Makes a figure of one value per round. `samples`: measurements in all. */
export function figureOf(
  head: FigureHead,
  { values, samples }: { readonly values: readonly number[]; readonly samples: number },
): Figure {
  return { ...head, ...spread(values), rounds: values.length, samples };
}

/** Whether a figure holds its bar; undefined when it has none. */
export function passes({ bar, ...figure }: Figure): boolean | undefined {
  if (bar === undefined) return undefined;
  const value = figure[bar.holds ?? "median"];
  return bar.kind === "at-most" ? value <= bar.value : value >= bar.value;
}

/** Names of the figures that miss their bars. */
export function missed(figures: readonly Figure[]): string[] {
  return figures.filter((figure) => passes(figure) === false)
    .map(({ section, name }) => `${section}: ${name}`);
}

/** One line of JSON, for machines. */
export function jsonLineOf(figure: Figure): string {
  const isPassed = passes(figure);
  return JSON.stringify({
    kind: "figure",
    ...figure,
    ...(isPassed === undefined ? {} : { pass: isPassed }),
  });
}

const COLUMNS = ["", "min", "median", "max", "", "bar", "", "rounds", "samples"];
/** Columns with words; all others hold numbers and end at one edge. */
const TEXT_COLUMNS: ReadonlySet<number> = new Set([0, 4, 5, 6]);

/** A table for people, a block for each section. */
export function tableOf(figures: readonly Figure[]): string[] {
  const rows = [COLUMNS, ...figures.map(rowOf)];
  const widths = COLUMNS.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const print = (row: readonly string[]): string =>
    row.map((cell, column) =>
      TEXT_COLUMNS.has(column) ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
    ).join("  ").trimEnd();
  const lines = [print(COLUMNS)];
  let section: string | undefined;
  for (const [index, figure] of figures.entries()) {
    if (figure.section !== section) lines.push(figure.section);
    section = figure.section;
    lines.push(print(rows[index + 1]!));
  }
  return lines;
}

function rowOf(figure: Figure): string[] {
  const { name, min, median, max, unit, bar, rounds, samples } = figure;
  const isPassed = passes(figure);
  return [
    `  ${name}`,
    formatNumber(min),
    formatNumber(median),
    formatNumber(max),
    unit,
    bar === undefined ? "" : formatBar(bar),
    isPassed === undefined ? "" : isPassed ? "pass" : "FAIL",
    String(rounds),
    String(samples),
  ];
}

function formatBar({ kind, value, holds = "median" }: Bar): string {
  const sign = kind === "at-most" ? "<=" : ">=";
  return `${holds === "median" ? "" : `${holds} `}${sign} ${value}`;
}

/** Three digits that mean something, and whole numbers whole. */
export function formatNumber(value: number): string {
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1);
  return value.toFixed(size >= 1 ? 2 : 3);
}
