/** What one request costs more through the program than without it. */
import { type Bar, type Figure, figureOf } from "./figures.ts";
import type { LatencyResult, LatencySamples } from "./jobs.ts";
import { LoadProcess } from "./load_process.ts";
import { Program, trivialEngine } from "./program.ts";
import type { Shape } from "./requests.ts";
import type { SectionContext } from "./section.ts";
import { differences, pairUp, percentile } from "./stats.ts";
import { warmUp } from "./warm_up.ts";

/** Bars on what is added, in milliseconds. */
const SMALL_P50: Bar = { kind: "at-most", value: 0.5 };
const SMALL_P99: Bar = { kind: "at-most", value: 2 };
const STREAM_TOTAL_P50: Bar = { kind: "at-most", value: 1 };

/** A series of samples that is looked at, and the bars on what the program adds to it. */
interface View {
  readonly name: string;
  readonly shape: Shape;
  readonly take: (samples: LatencySamples) => readonly number[];
  readonly p50Bar?: Bar;
  readonly p99Bar?: Bar;
}

const VIEWS: readonly View[] = [
  {
    name: "small completion",
    shape: "small",
    take: ({ totalMs }) => totalMs,
    p50Bar: SMALL_P50,
    p99Bar: SMALL_P99,
  },
  { name: "64-chunk stream, first", shape: "stream", take: ({ firstMs }) => firstMs },
  {
    name: "64-chunk stream, total",
    shape: "stream",
    take: ({ totalMs }) => totalMs,
    p50Bar: STREAM_TOTAL_P50,
  },
  { name: "paced stream, first", shape: "paced", take: ({ firstMs }) => firstMs },
  { name: "paced stream, lag of a chunk", shape: "paced", take: ({ lagMs }) => lagMs },
];

/** Measures latencies. */
export async function measureLatencies({ sizes, dir, tell }: SectionContext): Promise<Figure[]> {
  await using program = await Program.start(await trivialEngine(dir));
  await using load = new LoadProcess();
  const requests: Readonly<Record<Shape, number>> = {
    small: sizes.smallRequests,
    stream: sizes.streamRequests,
    paced: sizes.pacedRequests,
  };
  tell("latency: warming up");
  await warmUp(load, { targets: [program.engine, program.api], loadMs: sizes.loadMs });
  const figures: Figure[] = [];
  for (const shape of ["small", "stream", "paced"] as const) {
    tell(`latency: ${shape}, ${sizes.rounds} rounds of ${requests[shape]} requests each way`);
    const result = await load.run({
      kind: "latency",
      targets: [program.engine, program.api],
      shape,
      // Streams take longer, and paced ones run code that is warm already.
      warmupRequests: shape === "paced" ? 2 : sizes.warmupRequests,
      rounds: sizes.rounds,
      requests: requests[shape],
    });
    for (const view of VIEWS) {
      if (view.shape === shape) figures.push(...figuresOf(view, result));
    }
  }
  return figures;
}

/** Direct, through and added, at the median and at the 99th percentile. */
export function figuresOf(view: View, { rounds }: LatencyResult): Figure[] {
  const { name, take } = view;
  const shares = [["p50", 0.5, view.p50Bar], ["p99", 0.99, view.p99Bar]] as const;
  const samples = rounds.reduce((sum, round) => sum + take(round[0]!).length, 0);
  return shares.flatMap(([label, share, bar]) => {
    const [direct, through] = [0, 1].map((target) =>
      rounds.map((round) => percentile(take(round[target]!), share))
    );
    const head = (what: string) => ({
      section: "latency",
      name: `${name} ${label}, ${what}`,
      unit: "ms",
    });
    const added = differences(pairUp(direct!, through!));
    return [
      figureOf(head("direct"), { values: direct!, samples }),
      figureOf(head("through"), { values: through!, samples }),
      figureOf({ ...head("added"), ...(bar === undefined ? {} : { bar }) }, {
        values: added,
        samples,
      }),
    ];
  });
}
