/** How many requests go through the program, what each costs, and who else is heard meanwhile. */
import { type Bar, type Figure, type FigureHead, figureOf } from "./figures.ts";
import type { ProbeJob, ProbeResult, ThroughputResult } from "./jobs.ts";
import { LoadProcess } from "./load_process.ts";
import { Program, trivialEngine } from "./program.ts";
import { type Shape, STREAM_CHUNKS } from "./requests.ts";
import type { SectionContext } from "./section.ts";
import { pairUp, percentile, ratios } from "./stats.ts";

/** Share of the direct rate that is left at 64 clients; everybody shares the same cores. */
const RATIO_BAR: Bar = { kind: "at-least", value: 0.12 };
const PAGE_BAR: Bar = { kind: "at-most", value: 10 };
const NO_ERRORS: Bar = { kind: "at-most", value: 0, holds: "max" };

/** Pages asked for during the load, and how often: seldom enough not to be a load. */
const PROBE_PAUSE_MS = 4;
/** Time for a new generator's code to get warm. */
const WARMUP_MS = 1_000;
const WARMUP_CLIENTS = 16;

interface Mix {
  readonly name: string;
  readonly shape: Shape;
  readonly clients: number;
  readonly ratioBar?: Bar;
  /** On the 99th percentile of pages asked for meanwhile. */
  readonly pageBar?: Bar;
}

const MIXES: readonly Mix[] = [
  { name: "small, 16 clients", shape: "small", clients: 16 },
  {
    name: "small, 64 clients",
    shape: "small",
    clients: 64,
    ratioBar: RATIO_BAR,
    pageBar: PAGE_BAR,
  },
  { name: "64-chunk streams, 64 clients", shape: "stream", clients: 64, pageBar: PAGE_BAR },
  // As many as an engine computes at once, at the pace of a fast one: the program is mostly idle.
  { name: "paced streams, 4 clients", shape: "paced", clients: 4 },
];

/** One round of one mix. */
interface RoundResult {
  readonly direct: ThroughputResult;
  readonly through: ThroughputResult;
  /** Times of pages while the load goes through the program. */
  readonly modelsMs: readonly number[];
  readonly statusMs: readonly number[];
  /** Times of a page of the engine while the load goes there: what the busy machine alone takes. */
  readonly floorMs: readonly number[];
}

/** Measures rates. */
export async function measureThroughputs(context: SectionContext): Promise<Figure[]> {
  const { sizes, dir, tell } = context;
  await using program = await Program.start(await trivialEngine(dir));
  await using load = new LoadProcess();
  await using prober = new LoadProcess();
  const bench = new Bench(program, load, prober);
  tell("throughput: warming up");
  await bench.warmUp();
  const figures: Figure[] = [];
  for (const mix of MIXES) {
    const rounds: RoundResult[] = [];
    for (let round = 0; round < sizes.rounds; round += 1) {
      tell(`throughput: ${mix.name}, round ${round + 1} of ${sizes.rounds}`);
      rounds.push(await bench.round(mix, sizes.loadMs));
    }
    figures.push(...figuresOf(mix, rounds));
  }
  return figures;
}

class Bench {
  readonly #program: Program;
  readonly #load: LoadProcess;
  readonly #prober: LoadProcess;

  constructor(program: Program, load: LoadProcess, prober: LoadProcess) {
    this.#program = program;
    this.#load = load;
    this.#prober = prober;
  }

  async warmUp(): Promise<void> {
    for (const shape of ["small", "stream"] as const) {
      const mix = { name: "warm-up", shape, clients: WARMUP_CLIENTS };
      await this.#runLoad(mix, "engine", WARMUP_MS);
      await this.#runLoad(mix, "api", WARMUP_MS);
    }
    await this.#probePages(WARMUP_MS);
  }

  async round(mix: Mix, durationMs: number): Promise<RoundResult> {
    const { engine } = this.#program;
    const [direct, [floorMs = []]] = await Promise.all([
      this.#runLoad(mix, "engine", durationMs),
      this.#probe([{ target: engine, path: "/health" }], durationMs),
    ]);
    const [through, [modelsMs = [], statusMs = []]] = await Promise.all([
      this.#runLoad(mix, "api", durationMs),
      this.#probePages(durationMs),
    ]);
    return { direct, through, modelsMs, statusMs, floorMs };
  }

  async #runLoad(mix: Mix, way: "engine" | "api", durationMs: number): Promise<ThroughputResult> {
    return await this.#load.run({
      kind: "throughput",
      target: this.#program[way],
      shape: mix.shape,
      clients: mix.clients,
      durationMs,
      cpuPids: [this.#program.pid],
    });
  }

  async #probePages(durationMs: number): Promise<ProbeResult["pagesMs"]> {
    const { api, console } = this.#program;
    const pages = [{ target: api, path: "/v1/models" }, { target: console, path: "/api/status" }];
    return await this.#probe(pages, durationMs);
  }

  async #probe(pages: ProbeJob["pages"], durationMs: number): Promise<ProbeResult["pagesMs"]> {
    const job = { kind: "probe", pages, durationMs, pauseMs: PROBE_PAUSE_MS } as const;
    return (await this.#prober.run(job)).pagesMs;
  }
}

/** Rates, their ratio, errors, cost of a request, and the pages at 64 clients. */
export function figuresOf(mix: Mix, rounds: readonly RoundResult[]): Figure[] {
  const rates = (way: "direct" | "through") =>
    rounds.map((round) => round[way].requests / (round[way].tookMs / 1000));
  const samples = rounds.reduce((sum, { through }) => sum + through.requests, 0);
  const pairs = pairUp(rates("direct"), rates("through"));
  const cpuUs = rounds.map(({ through }) =>
    (through.cpuMs[0] ?? 0) * 1000 / Math.max(1, through.requests)
  );
  const make = (head: Omit<FigureHead, "section">, values: readonly number[]) =>
    figureOf({ section: "throughput", ...head, name: `${mix.name}: ${head.name}` }, {
      values,
      samples,
    });
  return [
    make({ name: "direct", unit: "requests/s" }, rates("direct")),
    make({ name: "through", unit: "requests/s" }, rates("through")),
    make(
      {
        name: "share of direct",
        unit: "",
        ...(mix.ratioBar === undefined ? {} : { bar: mix.ratioBar }),
      },
      ratios(pairs),
    ),
    make({ name: "through, p50", unit: "ms" }, rounds.map(({ through }) => through.p50Ms)),
    make({ name: "through, p99", unit: "ms" }, rounds.map(({ through }) => through.p99Ms)),
    make({ name: "CPU per request", unit: "us" }, cpuUs),
    ...(mix.shape === "small" ? [] : [
      make({ name: "CPU per chunk", unit: "us" }, cpuUs.map((us) => us / STREAM_CHUNKS)),
    ]),
    make(
      { name: "errors", unit: "", bar: NO_ERRORS },
      rounds.map(({ direct, through }) => direct.errors + through.errors),
    ),
    ...pageFigures(
      mix,
      { what: "/v1/models meanwhile", bar: mix.pageBar },
      rounds.map(({ modelsMs }) => modelsMs),
    ),
    ...pageFigures(
      mix,
      { what: "/api/status meanwhile", bar: mix.pageBar },
      rounds.map(({ statusMs }) => statusMs),
    ),
    ...pageFigures(
      mix,
      { what: "page of the engine, direct", bar: undefined },
      rounds.map(({ floorMs }) => floorMs),
    ),
  ];
}

function pageFigures(
  mix: Mix,
  { what, bar }: { readonly what: string; readonly bar: Bar | undefined },
  rounds: readonly (readonly number[])[],
): Figure[] {
  const samples = rounds.reduce((sum, round) => sum + round.length, 0);
  const make = (label: string, share: number, judged: { readonly bar?: Bar }) =>
    figureOf(
      { section: "throughput", name: `${mix.name}: ${what}, ${label}`, unit: "ms", ...judged },
      { values: rounds.map((round) => percentile(round, share)), samples },
    );
  return [make("p50", 0.5, {}), make("p99", 0.99, bar === undefined ? {} : { bar })];
}
