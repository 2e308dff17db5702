/**
 * `deno task soak`: ends hosts under load again and again, and prints what their clients saw. Real processes with the
 * scripted engine of the tests; one mesh for all rounds.
 *
 * @module
 */
import { parseArgs } from "node:util";
import {
  KilledHosts,
  type RoundOptions,
  type RoundResult,
  WHOLE_ANSWER,
} from "#support/killed_host.ts";
import { quantile } from "#support/stream_load.ts";
import { print, runMain } from "../lib/entry.ts";
import { parseCount } from "../lib/parse_count.ts";

const VICTIMS = ["engine", "host", "host in order"] as const;
const USAGE = [
  "deno task soak [flags]",
  "",
  "  --rounds N      ends of each kind (default 10)",
  "  --streams N     streams at once, 1 to 64 (default 64)",
  "  --unstreamed N  requests without a stream meanwhile, 0 to 64 (default 8)",
  `  --victim NAME   one of ${VICTIMS.join(", ")} (default: all)`,
];

interface Options {
  readonly rounds: number;
  readonly streams: number;
  readonly unstreamed: number;
  readonly victims: readonly RoundOptions["victim"][];
}

/** @throws {SyntaxError} when something is not understood */
function parseOptions(args: readonly string[]): Options | undefined {
  const options = {
    rounds: { type: "string", default: "10" },
    streams: { type: "string", default: "64" },
    unstreamed: { type: "string", default: "8" },
    victim: { type: "string" },
    help: { type: "boolean", short: "h" },
  } as const;
  let values;
  try {
    values = parseArgs({ args: [...args], strict: true, options }).values;
  } catch (cause) {
    throw new SyntaxError(`Cannot parse the flags: ${(cause as Error).message}`, { cause });
  }
  if (values.help === true) return undefined;
  const { victim } = values;
  const victims = VICTIMS.filter((name) => victim === undefined || victim === name);
  if (victims.length === 0) {
    throw new SyntaxError(`Cannot end "${victim}": wanted one of ${VICTIMS.join(", ")}`);
  }
  return {
    victims,
    rounds: parseCount("--rounds", values.rounds, [1, 10_000]),
    streams: parseCount("--streams", values.streams, [1, 64]),
    unstreamed: parseCount("--unstreamed", values.unstreamed, [0, 64]),
  };
}

/** What all rounds of one kind came to. */
class Tally {
  readonly #victim: string;
  readonly #pauses: number[] = [];
  #rounds = 0;
  #streams = 0;
  #continued = 0;
  #broken = 0;
  #wrong = 0;
  #requests = 0;
  #failed = 0;

  constructor(victim: string) {
    this.#victim = victim;
  }

  add({ streams, statuses }: RoundResult): void {
    this.#rounds += 1;
    for (const { text, isDone, continuedOn, pauseMs } of streams) {
      this.#streams += 1;
      if (!isDone) this.#broken += 1;
      else if (text !== WHOLE_ANSWER) this.#wrong += 1;
      if (continuedOn === undefined) continue;
      this.#continued += 1;
      this.#pauses.push(pauseMs);
    }
    this.#requests += statuses.length;
    this.#failed += statuses.filter((status) => status !== 200).length;
  }

  get isGood(): boolean {
    return this.#broken + this.#wrong + this.#failed === 0;
  }

  row(): readonly (string | number)[] {
    const pauses = [0.5, 0.99, 1].map((part) => Math.round(quantile(this.#pauses, part)));
    return [
      this.#victim,
      this.#rounds,
      this.#streams,
      this.#continued,
      this.#broken,
      this.#wrong,
      ...pauses,
      `${this.#failed}/${this.#requests}`,
    ];
  }
}

const COLUMNS = [
  "ended",
  "rounds",
  "streams",
  "continued",
  "broken",
  "wrong text",
  "pause p50 ms",
  "p99",
  "max",
  "unstreamed failed",
];

function tableOf(tallies: readonly Tally[]): readonly string[] {
  const rows = [COLUMNS, ...tallies.map((tally) => tally.row().map(String))];
  const widths = COLUMNS.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows.map((row) => row.map((cell, i) => cell.padStart(widths[i] ?? 0)).join("  "));
}

async function main(args: readonly string[]): Promise<number> {
  const options = parseOptions(args);
  if (options === undefined) {
    print(USAGE);
    return 0;
  }
  const { rounds, streams, unstreamed } = options;
  const tallies: Tally[] = [];
  await using mesh = await KilledHosts.start();
  for (const victim of options.victims) {
    const tally = new Tally(victim);
    tallies.push(tally);
    for (let round = 0; round < rounds; round += 1) {
      tally.add(await mesh.round({ streams, unstreamed, victim }));
      await mesh.restore();
    }
  }
  print(tableOf(tallies));
  return tallies.every(({ isGood }) => isGood) ? 0 : 1;
}

if (import.meta.main) await runMain(main);
