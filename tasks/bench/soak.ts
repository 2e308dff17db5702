/**
 * `deno task soak`: ends hosts under load again and again, and prints what their clients saw. Real processes, one mesh
 * for all rounds; the scripted engine of the tests, or llama.cpp with the starter model, which counts.
 *
 * @module
 */
import {
  type HostEngine,
  KilledHosts,
  type RoundResult,
  type Victim,
} from "#support/killed_host.ts";
import { quantile } from "#support/stream_load.ts";
import { print, runMain, tell } from "../lib/entry.ts";
import { parseCount } from "../lib/parse_count.ts";
import { parseFlags } from "../lib/parse_flags.ts";

const VICTIMS: readonly Victim[] = ["engine", "host", "host in order"];
/** What each engine has to do: the real one answers eight at once, and computes. */
const DEFAULTS = {
  fake: { streams: 64, unstreamed: 8, streamsMax: 64 },
  real: { streams: 4, unstreamed: 2, streamsMax: 8 },
};
/** A line on standard error after so many rounds. */
const PROGRESS_ROUNDS = 10;
const USAGE = [
  "deno task soak [flags]",
  "",
  "  --rounds N      ends of each kind (default 10)",
  "  --engine NAME   fake, the scripted one, or real, llama.cpp (default fake)",
  "  --streams N     streams at once, 1 to 64 (default 64), of a real engine 1 to 8 (default 4)",
  "  --unstreamed N  requests without a stream meanwhile, 0 to 64 (default 8, or 2)",
  `  --victim NAME   one of ${VICTIMS.join(", ")} (default: all)`,
];

interface Options {
  readonly engine: HostEngine;
  readonly rounds: number;
  readonly streams: number;
  readonly unstreamed: number;
  readonly victims: readonly Victim[];
}

/** @throws {SyntaxError} when something is not understood */
function parseOptions(args: readonly string[]): Options | undefined {
  const options = {
    rounds: { type: "string", default: "10" },
    engine: { type: "string", default: "fake" },
    streams: { type: "string" },
    unstreamed: { type: "string" },
    victim: { type: "string" },
    help: { type: "boolean", short: "h" },
  } as const;
  const values = parseFlags(args, options);
  if (values.help === true) return undefined;
  const { victim, engine } = values;
  if (engine !== "fake" && engine !== "real") {
    throw new SyntaxError(`Cannot use --engine ${engine}: wanted fake or real`);
  }
  const usual = DEFAULTS[engine];
  const { streams = String(usual.streams), unstreamed = String(usual.unstreamed) } = values;
  const victims = VICTIMS.filter((name) => victim === undefined || victim === name);
  if (victims.length === 0) {
    throw new SyntaxError(`Cannot end "${victim}": wanted one of ${VICTIMS.join(", ")}`);
  }
  return {
    engine,
    victims,
    rounds: parseCount("--rounds", values.rounds, [1, 10_000]),
    streams: parseCount("--streams", streams, [1, usual.streamsMax]),
    unstreamed: parseCount("--unstreamed", unstreamed, [0, 64]),
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

  add({ streams, unstreamed }: RoundResult, model: string): void {
    this.#rounds += 1;
    for (const { isBroken, fault, errors, continuedOn, pauseMs } of streams) {
      this.#streams += 1;
      if (isBroken) this.#broken += 1;
      if (fault !== undefined) this.#wrong += 1;
      if (isBroken || fault !== undefined) tell(`${this.#victim}: ${fault ?? errors.join()}`);
      if (continuedOn === undefined) continue;
      this.#continued += 1;
      this.#pauses.push(pauseMs);
    }
    this.#requests += unstreamed.length;
    this.#failed += unstreamed.filter((told) => told !== `200 ${model}`).length;
  }

  /** One line about how far it is. */
  progress(): string {
    return `${this.#victim}: ${this.#rounds} rounds, ${this.#continued} of ${this.#streams} streams continued, ` +
      `${this.#broken} broken, ${this.#wrong} wrong, ${this.#failed} unstreamed failed`;
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
  "wrong",
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
  const { engine, rounds, streams, unstreamed } = options;
  const tallies: Tally[] = [];
  await using mesh = await KilledHosts.start(engine);
  for (const victim of options.victims) {
    const tally = new Tally(victim);
    tallies.push(tally);
    for (let round = 1; round <= rounds; round += 1) {
      tally.add(await mesh.round({ streams, unstreamed, victim }), mesh.model);
      await mesh.restore();
      if (round % PROGRESS_ROUNDS === 0) tell(tally.progress());
    }
  }
  print(tableOf(tallies));
  return tallies.every(({ isGood }) => isGood) ? 0 : 1;
}

if (import.meta.main) await runMain(main);
