/** How fast tokens of a real model come through the program, and what each costs it. */
import { AnnouncedChild } from "./announced_child.ts";
import { type Bar, type Figure, figureOf } from "./figures.ts";
import type { DecodeSample } from "./jobs.ts";
import { LoadProcess } from "./load_process.ts";
import { Program, realEngine } from "./program.ts";
import type { SectionContext } from "./section.ts";
import { pairUp, ratios } from "./stats.ts";

const FORWARDER = new URL("./forwarder.ts", import.meta.url).pathname;
const SPEED_BAR: Bar = { kind: "at-least", value: 0.97 };
const CPU_BAR: Bar = { kind: "at-most", value: 100 };

/** Tokens of each answer. */
const TOKENS = 64;

/** The same work each time: no chance, no early end. */
const BODY = {
  messages: [{
    role: "user",
    content: "Tell a long story about a ship that sails around the world.",
  }],
  temperature: 0,
  max_tokens: TOKENS,
  ignore_eos: true,
  stream: true,
} as const;

/** The same answers three ways. */
export interface DecodeWays {
  readonly direct: readonly DecodeSample[];
  readonly through: readonly DecodeSample[];
  /** Through a program that only forwards bytes: what a token costs at least. */
  readonly bare: readonly DecodeSample[];
}

/** Measures decoding, in rounds: with the engine itself, through the program, and through bare forwarding. */
export async function measureDecode({ sizes, dir, tell }: SectionContext): Promise<Figure[]> {
  await using program = await Program.start(await realEngine(dir));
  await using load = new LoadProcess();
  await using forwarder = await AnnouncedChild.start([FORWARDER, String(program.engine.port)]);
  tell(`decode: ${sizes.decodePairs} rounds of ${TOKENS} tokens`);
  const { samples: [direct = [], through = [], bare = []] } = await load.run({
    kind: "decode",
    ways: [
      { target: program.engine, cpuPid: program.pid },
      { target: program.api, cpuPid: program.pid },
      { target: { ...program.engine, port: Number(forwarder.line) }, cpuPid: forwarder.pid },
    ],
    body: BODY,
    warmupRounds: sizes.decodeWarmupPairs,
    rounds: sizes.decodePairs,
  });
  return figuresOf({ direct, through, bare });
}

/** Speeds, their ratio pair by pair, and the cost of a token. */
export function figuresOf({ direct, through, bare }: DecodeWays): Figure[] {
  const make = (name: string, unit: string, values: readonly number[], bar?: Bar) =>
    figureOf(
      { section: "decode", name, unit, ...(bar === undefined ? {} : { bar }) },
      { values, samples: through.length },
    );
  return [
    make("direct", "tokens/s", direct.map(speedOf)),
    make("through", "tokens/s", through.map(speedOf)),
    make(
      "share of direct",
      "",
      ratios(pairUp(direct.map(speedOf), through.map(speedOf))),
      SPEED_BAR,
    ),
    make(
      "share of direct, whole answers",
      "",
      // Time is the inverse of speed, so direct goes over through.
      ratios(pairUp(through.map(({ totalMs }) => totalMs), direct.map(({ totalMs }) => totalMs))),
    ),
    make("CPU per token", "us", through.map(costOf), CPU_BAR),
    make("CPU per token, bare forwarding", "us", bare.map(costOf)),
  ];
}

/** Microseconds of CPU time for each token. */
function costOf({ cpuMs, tokens }: DecodeSample): number {
  return cpuMs * 1000 / tokens;
}

/** Tokens a second, after the first. */
function speedOf({ tokens, decodeMs }: DecodeSample): number {
  return (tokens - 1) / (decodeMs / 1000);
}
