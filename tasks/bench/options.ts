/** The command line of the bench, and how much is measured. Pure. */
import { parseFlags } from "../lib/parse_flags.ts";

/** Parts of the bench, in the order they run. */
export const SECTIONS = ["start", "memory", "latency", "throughput", "mesh", "decode"] as const;
/** A part of the bench. */
export type Section = typeof SECTIONS[number];

/** How often and how long is measured. All counts are for one round and one target. */
export interface Sizes {
  readonly rounds: number;
  /** Requests before anything is measured, so that both sides run compiled code. */
  readonly warmupRequests: number;
  readonly smallRequests: number;
  readonly streamRequests: number;
  readonly pacedRequests: number;
  readonly loadMs: number;
  readonly idleMs: number;
  /** Processes whose memory is measured, one after another. */
  readonly processes: number;
  readonly starts: number;
  readonly decodePairs: number;
  /** Pairs before: they fill the prompt cache, and each token is a call of code that has to get warm. */
  readonly decodeWarmupPairs: number;
  /** The long load through one link. */
  readonly meshLoadMs: number;
  /** Large bodies each way. */
  readonly transfers: number;
  readonly joins: number;
}

/** What the caller asked for. */
export interface BenchOptions {
  readonly sections: readonly Section[];
  readonly sizes: Sizes;
  /** JSON lines on stdout instead of the table. */
  readonly isJson: boolean;
  /** Exit status 1 when a bar is missed. */
  readonly isCheck: boolean;
  readonly wantsHelp: boolean;
}

/** About nine minutes on two cores. */
const FULL: Sizes = {
  rounds: 5,
  warmupRequests: 1500,
  smallRequests: 1000,
  streamRequests: 300,
  pacedRequests: 8,
  loadMs: 3000,
  idleMs: 5000,
  processes: 3,
  starts: 5,
  decodePairs: 20,
  decodeWarmupPairs: 10,
  meshLoadMs: 60_000,
  transfers: 9,
  joins: 7,
};

/** Some two minutes; good for comparing before and after, not for reporting. */
const QUICK: Sizes = {
  rounds: 3,
  warmupRequests: 500,
  smallRequests: 300,
  streamRequests: 100,
  pacedRequests: 3,
  loadMs: 1000,
  idleMs: 2000,
  processes: 1,
  starts: 2,
  decodePairs: 5,
  decodeWarmupPairs: 2,
  meshLoadMs: 5_000,
  transfers: 3,
  joins: 3,
};

/** More rounds than this say nothing new. */
const ROUNDS_MAX = 50;

/** What `--help` prints. */
export const USAGE = [
  "deno task bench [flags]",
  "",
  "  --quick         some two minutes: fewer rounds, shorter",
  `  --only A,B      some of ${SECTIONS.join(", ")}`,
  `  --rounds N      rounds of each measurement, 1 to ${ROUNDS_MAX}`,
  "  --json          JSON lines on stdout instead of the table",
  "  --check         exit status 1 when a bar is missed",
];

/**
 * Parses the command line.
 *
 * @throws {SyntaxError} when something is not understood
 */
export function parseOptions(args: readonly string[]): BenchOptions {
  const values = parseFlags(args, FLAGS);
  const sizes = values.quick === true ? QUICK : FULL;
  return {
    sections: parseSections(values.only),
    sizes: values.rounds === undefined ? sizes : { ...sizes, rounds: parseRounds(values.rounds) },
    isJson: values.json === true,
    isCheck: values.check === true,
    wantsHelp: values.help === true,
  };
}

const FLAGS = {
  quick: { type: "boolean" },
  json: { type: "boolean" },
  check: { type: "boolean" },
  help: { type: "boolean", short: "h" },
  only: { type: "string" },
  rounds: { type: "string" },
} as const;

function parseSections(only: string | undefined): readonly Section[] {
  if (only === undefined) return SECTIONS;
  const asked = only.split(",").map((name) => name.trim()).filter((name) => name !== "");
  const unknown = asked.find((name) => !SECTIONS.some((section) => section === name));
  if (unknown !== undefined || asked.length === 0) {
    throw new SyntaxError(
      `Cannot measure "${unknown ?? only}": wanted some of ${SECTIONS.join(", ")}`,
    );
  }
  return SECTIONS.filter((section) => asked.includes(section));
}

function parseRounds(text: string): number {
  const rounds = Number(text);
  if (Number.isInteger(rounds) && rounds >= 1 && rounds <= ROUNDS_MAX) return rounds;
  throw new SyntaxError(`Cannot run ${text} rounds: wanted a whole number from 1 to ${ROUNDS_MAX}`);
}
