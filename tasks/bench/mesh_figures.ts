/** What is said of requests through one link, from what was measured. Pure. */
import { type Bar, type Figure, type FigureHead, figureOf } from "./figures.ts";
import type { LatencySamples, ThroughputResult } from "./jobs.ts";
import type { BareLinkTimes } from "./link_process.ts";
import type { ProcessMemory } from "./proc.ts";
import { differences, pairUp, percentile } from "./stats.ts";

const MIB = 1024 * 1024;
const SECTION = "mesh";

/** Rate of a large body, in MiB/s. */
const RATE_BAR: Bar = { kind: "at-least", value: 150 };
const NO_ERRORS: Bar = { kind: "at-most", value: 0, holds: "max" };
/** What others keep of their rate beside slow readers. */
const SHARE_BAR: Bar = { kind: "at-least", value: 0.9 };
const LISTED_BAR: Bar = { kind: "at-most", value: 2, holds: "max" };

/** The ways of a request, in the order of the targets. */
const WAYS = ["direct", "through the host", "through the link"] as const;

/** A series of samples that is looked at, and the bars on what host and link add to it together. */
export interface MeshView {
  readonly name: string;
  readonly take: (samples: LatencySamples) => readonly number[];
  readonly p50Bar?: Bar;
  readonly p99Bar?: Bar;
}

/** Each way by itself, and the differences within one round. */
export function latencyFigures(
  { name, take, p50Bar, p99Bar }: MeshView,
  rounds: readonly (readonly LatencySamples[])[],
): Figure[] {
  const samples = rounds.reduce((sum, round) => sum + take(round[0]!).length, 0);
  const shares = [["p50", 0.5, p50Bar], ["p99", 0.99, p99Bar]] as const;
  return shares.flatMap(([label, share, bar]) => {
    const make = (what: string, values: readonly number[], judged: { readonly bar?: Bar } = {}) =>
      figure({ name: `${name} ${label}, ${what}`, unit: "ms", ...judged }, values, samples);
    const series = WAYS.map((_, way) =>
      rounds.map((round) => percentile(take(round[way]!), share))
    );
    const [direct = [], host = [], link = []] = series;
    return [
      ...WAYS.map((way, index) => make(way, series[index]!)),
      make("added", differences(pairUp(direct, link)), bar === undefined ? {} : { bar }),
      make("added by the link alone", differences(pairUp(host, link))),
    ];
  });
}

/** A long load, and what both nodes took of the machine for it. */
export interface LoadRun {
  readonly clients: number;
  /** CPU time is that of the near node, then that of the host. */
  readonly result: ThroughputResult;
  /** Memory of the near node and of the host. */
  readonly before: readonly [near: ProcessMemory, host: ProcessMemory];
  readonly after: readonly [near: ProcessMemory, host: ProcessMemory];
}

/** Rate, errors, silence, CPU time and memory. */
export function loadFigures({ clients, result, before, after }: LoadRun): Figure[] {
  const { requests, errors, tookMs, p50Ms, p99Ms, longestGapMs, cpuMs } = result;
  const make = (head: Omit<FigureHead, "section">, value: number) =>
    figure({ ...head, name: `${clients} clients: ${head.name}` }, [value], requests);
  return [
    make({ name: "through the link", unit: "requests/s" }, requests / (tookMs / 1000)),
    make({ name: "errors", unit: "", bar: NO_ERRORS }, errors),
    make({ name: "longest time without an answer", unit: "ms" }, longestGapMs),
    make({ name: "p50", unit: "ms" }, p50Ms),
    make({ name: "p99", unit: "ms" }, p99Ms),
    ...["near node", "host"].flatMap((node, index) => [
      make(
        { name: `CPU per request, ${node}`, unit: "us" },
        (cpuMs[index] ?? 0) * 1000 / Math.max(1, requests),
      ),
      make({ name: `resident before, ${node}`, unit: "MiB" }, before[index]!.residentBytes / MIB),
      make({ name: `resident after, ${node}`, unit: "MiB" }, after[index]!.residentBytes / MIB),
    ]),
  ];
}

/** Rates of a large body each way. */
export function transferFigures(
  name: string,
  { roundsMs, sizeBytes, isJudged }: {
    readonly roundsMs: readonly (readonly number[])[];
    readonly sizeBytes: number;
    /** Whether the rate through the link has a bar. */
    readonly isJudged: boolean;
  },
): Figure[] {
  return WAYS.map((way, index) =>
    figure(
      {
        name: `${name}, ${way}`,
        unit: "MiB/s",
        ...(isJudged && way === "through the link" ? { bar: RATE_BAR } : {}),
      },
      roundsMs.map((timesMs) => rateOf(sizeBytes, timesMs[index]!)),
      roundsMs.length,
    )
  );
}

/** What the link does without any HTTP around it. */
export function bareLinkFigures(times: BareLinkTimes, sizeBytes: number): Figure[] {
  const { smallMs, upMs, downMs } = times;
  const make = (name: string, tookMs: readonly number[]) =>
    figure(
      { name: `bare link, ${name}`, unit: "MiB/s", bar: RATE_BAR },
      tookMs.map((ms) => rateOf(sizeBytes, ms)),
      tookMs.length,
    );
  const small = (label: string, share: number) =>
    figure(
      { name: `bare link, small exchange ${label}`, unit: "ms" },
      [percentile(smallMs, share)],
      smallMs.length,
    );
  return [small("p50", 0.5), small("p99", 0.99), make("up", upMs), make("down", downMs)];
}

/** One round: the same load alone and beside readers that hardly read. */
export interface SlowRound {
  readonly alone: ThroughputResult;
  readonly beside: ThroughputResult;
}

/** What slow readers take from others, and what both nodes keep for them. */
export function slowFigures(
  rounds: readonly SlowRound[],
  memory: readonly (readonly [near: ProcessMemory, host: ProcessMemory])[],
): Figure[] {
  const samples = rounds.reduce((sum, { beside }) => sum + beside.requests, 0);
  const rate = ({ requests, tookMs }: ThroughputResult): number => requests / (tookMs / 1000);
  const make = (head: Omit<FigureHead, "section">, values: readonly number[]) =>
    figure({ ...head, name: `slow readers: ${head.name}` }, values, samples);
  return [
    make({ name: "others alone", unit: "requests/s" }, rounds.map(({ alone }) => rate(alone))),
    make(
      { name: "others kept", unit: "of 1", bar: SHARE_BAR },
      rounds.map(({ alone, beside }) => rate(beside) / Math.max(1, rate(alone))),
    ),
    make(
      { name: "errors of others", unit: "", bar: NO_ERRORS },
      rounds.map(({ alone, beside }) => alone.errors + beside.errors),
    ),
    ...["near node", "host"].map((node, index) =>
      make(
        { name: `resident meanwhile, ${node}`, unit: "MiB" },
        memory.map((both) => both[index]!.residentBytes / MIB),
      )
    ),
  ];
}

/** Starts of nodes that join. */
export function joinFigures(
  joins: readonly { readonly openMs: number; readonly listedMs: number }[],
): Figure[] {
  const make = (head: Omit<FigureHead, "section">, values: readonly number[]) =>
    figure(head, values, joins.length);
  return [
    make({ name: "join, door open", unit: "s" }, joins.map(({ openMs }) => openMs / 1000)),
    make(
      { name: "join, model listed after that", unit: "s", bar: LISTED_BAR },
      joins.map(({ listedMs }) => listedMs / 1000),
    ),
  ];
}

function rateOf(sizeBytes: number, tookMs: number): number {
  return sizeBytes / MIB / (tookMs / 1000);
}

function figure(
  head: Omit<FigureHead, "section">,
  values: readonly number[],
  samples: number,
): Figure {
  return figureOf({ section: SECTION, ...head }, { values, samples });
}
