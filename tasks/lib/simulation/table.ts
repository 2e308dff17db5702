/** Adds up what simulations came to, and writes it as a table. */
import type { Outcome } from "./scenarios.ts";

/** The runs of one scenario. */
export class Tally {
  readonly scenario: string;
  /** What went wrong, with the seed to repeat it. */
  readonly faults: string[] = [];
  readonly #outcomes: Outcome[] = [];

  constructor(scenario: string) {
    this.scenario = scenario;
  }

  add(seed: number, outcome: Outcome): void {
    this.#outcomes.push(outcome);
    this.faults.push(...faultsOf(outcome).map((fault) => `seed ${seed}: ${fault}`));
  }

  /** The columns of the table. */
  row(): readonly string[] {
    const took = this.#outcomes.flatMap(({ steps }) =>
      steps.flatMap((step) => typeof step.took === "number" ? [step.took] : [])
    ).sort((a, b) => a - b);
    const mean = (of: (outcome: Outcome) => number): number =>
      this.#outcomes.reduce((sum, outcome) => sum + of(outcome), 0) / this.#outcomes.length;
    return [
      this.scenario,
      String(this.#outcomes.length),
      seconds(took[Math.floor(took.length / 2)]),
      seconds(took.at(-1)),
      String(this.faults.length),
      String(this.#outcomes.reduce((sum, { falseDeaths }) => sum + falseDeaths.length, 0)),
      mean(({ messagesPerNodeMinute }) => messagesPerNodeMinute).toFixed(0),
      (mean(({ bytesPerNodeMinute }) => bytesPerNodeMinute) / 1000).toFixed(1),
    ];
  }
}

/** What must not happen and did. */
export function faultsOf({ steps, falseDeaths }: Outcome): readonly string[] {
  return [
    ...steps.flatMap(({ what, took }) => typeof took === "string" ? [`${what}: ${took}`] : []),
    ...falseDeaths,
  ];
}

const HEAD = [
  "scenario",
  "seeds",
  "p50 s",
  "max s",
  "faults",
  "false deaths",
  "messages/node/min",
  "kB/node/min",
];
/** Faults that are written out. */
const FAULTS_SHOWN = 20;

/** The table, then the faults. */
export function tableOf(tallies: readonly Tally[]): readonly string[] {
  const rows = [HEAD, ...tallies.map((tally) => tally.row())];
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)
    ).join("  ")
  );
  const faults = tallies.flatMap((tally) =>
    tally.faults.map((fault) => `${tally.scenario}, ${fault}`)
  );
  const rest = faults.length - FAULTS_SHOWN;
  return [
    ...lines,
    ...faults.slice(0, FAULTS_SHOWN),
    ...(rest > 0 ? [`and ${rest} faults more`] : []),
  ];
}

function seconds(ms: number | undefined): string {
  return ms === undefined ? "-" : (ms / 1000).toFixed(2);
}
