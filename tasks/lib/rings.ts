/**
 * The rings of tests, from the cheapest to the truest, and how each is run.
 *
 * @module
 */
import { importsOf } from "./sources.ts";

/** A set of tests that runs with the same permissions. */
export interface Ring {
  readonly name: "fast" | "contracts" | "system";
  /** Folder that holds it, and folders inside that belong to other rings. */
  readonly folder: string;
  readonly without: readonly string[];
  /** Arguments of `deno test`. */
  readonly flags: readonly string[];
  /** The ring is ended after this long; several times what it takes on two cores. */
  readonly limitMs: number;
  /** Fewer tests than this cannot be right: a ring that finds nothing must not pass. */
  readonly floor: number;
}

const MINUTE_MS = 60_000;

/** In the order in which they run. */
export const RINGS: readonly Ring[] = [
  {
    name: "fast",
    folder: "tests",
    without: ["tests/system", "tests/contracts"],
    // Read permission only: a test of pure code that opens a socket or starts a timer process fails.
    flags: ["--allow-read", "--parallel"],
    limitMs: 4 * MINUTE_MS,
    floor: 900,
  },
  {
    name: "contracts",
    folder: "tests/contracts",
    without: [],
    flags: ["--allow-all", "--parallel"],
    limitMs: 4 * MINUTE_MS,
    floor: 20,
  },
  {
    name: "system",
    folder: "tests/system",
    without: [],
    // One file after another: several engines at once on two cores would time each other out.
    flags: ["--allow-all"],
    limitMs: 20 * MINUTE_MS,
    floor: 100,
  },
];

/**
 * The rings that a command line names; all without names.
 *
 * @throws {SyntaxError} when there is no ring of a name
 */
export function chooseRings(args: readonly string[]): readonly Ring[] {
  for (const arg of args) {
    if (!RINGS.some(({ name }) => name === arg)) {
      const names = RINGS.map(({ name }) => name).join(", ");
      throw new SyntaxError(`Cannot run tests "${arg}": wanted none or some of ${names}`);
    }
  }
  return RINGS.filter(({ name }) => args.length === 0 || args.includes(name));
}

/** Arguments for `deno` that run `ring` and write its report to `junitPath`. */
export function ringArgs(ring: Ring, junitPath: string): string[] {
  return [
    "test",
    "--no-prompt",
    "--no-check", // types are a gate of their own, `deno task check`
    ...ring.flags,
    `--junit-path=${junitPath}`,
    ...(ring.without.length === 0 ? [] : [`--ignore=${ring.without.join(",")}`]),
    ring.folder,
  ];
}

/** Of `files` (relative to the repository), the test files that belong to `ring`. */
export function filesOf(ring: Ring, files: readonly string[]): string[] {
  const inside = (file: string, folder: string) => file.startsWith(`${folder}/`);
  return files.filter((file) =>
    file.endsWith("_test.ts") && inside(file, ring.folder) &&
    !ring.without.some((folder) => inside(file, folder))
  );
}

/**
 * Of the test files in `sources` (text by path), those that ran. A report names the files in which tests are
 * written, and a contract suite is written beside the test files that call it.
 */
export function filesThatRan(
  sources: ReadonlyMap<string, string>,
  reported: ReadonlySet<string>,
): string[] {
  return [...sources].filter(([path, text]) =>
    reported.has(path) ||
    importsOf(path, text).some((edge) => !edge.path.endsWith("_test.ts") && reported.has(edge.path))
  ).map(([path]) => path);
}
