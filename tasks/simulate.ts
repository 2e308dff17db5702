/**
 * `deno task simulate`: plays scenarios on simulated meshes and prints how long it takes until all agree, or until
 * a model that is asked for has a host (election-…).
 *
 * @module
 */
import { ELECTION_SCENARIOS, playElection } from "./lib/simulation/election/scenarios.ts";
import { print, runMain } from "./lib/entry.ts";
import { parseCount } from "./lib/parse_count.ts";
import { parseFlags } from "./lib/parse_flags.ts";
import { play, SCENARIOS } from "./lib/simulation/scenarios.ts";
import { tableOf, Tally } from "./lib/simulation/table.ts";
import { World } from "./lib/simulation/world.ts";

const USAGE = [
  "deno task simulate [flags]",
  "",
  "  --nodes N        members, 3 to 128 (default 32)",
  "  --clients N      clients besides (default 8)",
  "  --seeds S        runs of each scenario, each with its own seed (default 5)",
  "  --from SEED      the first seed (default 1)",
  `  --scenario NAME  one of start, story, ${Object.keys(SCENARIOS).join(", ")},`,
  `                   ${Object.keys(ELECTION_SCENARIOS).join(", ")} (default: all)`,
];

interface Options {
  readonly nodes: number;
  readonly clients: number;
  readonly seeds: number;
  readonly from: number;
  readonly scenarios: readonly string[];
}

/** @throws {SyntaxError} when something is not understood */
function parseOptions(args: readonly string[]): Options | undefined {
  const options = {
    nodes: { type: "string", default: "32" },
    clients: { type: "string", default: "8" },
    seeds: { type: "string", default: "5" },
    from: { type: "string", default: "1" },
    scenario: { type: "string" },
    help: { type: "boolean", short: "h" },
  } as const;
  const values = parseFlags(args, options);
  if (values.help === true) return undefined;
  const all = ["start", ...Object.keys(SCENARIOS), ...Object.keys(ELECTION_SCENARIOS)];
  const { scenario } = values;
  if (scenario !== undefined && ![...all, "story"].includes(scenario)) {
    throw new SyntaxError(`Cannot play "${scenario}": wanted one of story, ${all.join(", ")}`);
  }
  return {
    nodes: parseCount("--nodes", values.nodes, [3, 128]),
    clients: parseCount("--clients", values.clients, [0, 128]),
    seeds: parseCount("--seeds", values.seeds, [1, 100_000]),
    from: parseCount("--from", values.from, [0, 0xffff_ffff]),
    scenarios: scenario === undefined ? all : [scenario],
  };
}

function main(args: readonly string[]): number {
  const options = parseOptions(args);
  if (options === undefined) {
    print(USAGE);
    return 0;
  }
  const tallies = options.scenarios.map((scenario) => {
    const tally = new Tally(scenario);
    for (let seed = options.from; seed < options.from + options.seeds; seed += 1) {
      const { nodes, clients } = options;
      const plan = { seed, members: nodes, clients, cone: 0.25, symmetric: 0.1 };
      const isElection = Object.hasOwn(ELECTION_SCENARIOS, scenario);
      tally.add(
        seed,
        isElection ? playElection(scenario, { seed, nodes }) : play(new World(plan), scenario),
      );
    }
    return tally;
  });
  print(tableOf(tallies));
  return tallies.every(({ faults }) => faults.length === 0) ? 0 : 1;
}

if (import.meta.main) await runMain(main);
