/**
 * The rings of tests, from the cheapest to the truest, and how each is run.
 *
 * @module
 */
import { SIDE_BY_SIDE } from "./side_by_side.ts";
import { importsOf } from "./sources.ts";

/** A set of tests that runs with the same permissions. */
export interface Ring {
  readonly name: "fast" | "contracts" | "system";
  /** Folder that holds it, and folders inside that belong to other rings. */
  readonly folder: string;
  readonly without: readonly string[];
  /** Arguments of `deno test`. */
  readonly flags: readonly string[];
  /** A run is ended after this long; several times what it takes on two cores. */
  readonly limitMs: number;
  /** Fewer tests than this cannot be right: a ring that finds nothing must not pass. */
  readonly floor: number;
  /**
   * Files of it that run in processes of their own, a few at a time, after all others; each with the reason why it
   * may. They begin in this order.
   */
  readonly sideBySide: ReadonlyMap<string, string>;
}

/** What one `deno test` has to do. */
export interface TestRun {
  /** For people: a ring, or one file of it. */
  readonly name: string;
  /** Arguments for `deno`, without those about the report. */
  readonly args: readonly string[];
  /** Test files that must have run when it has ended. */
  readonly files: readonly string[];
  readonly limitMs: number;
  readonly floor: number;
}

/** What a ring has to do: `first`, and when that has ended `sideBySide`. */
export interface RingRuns {
  readonly first: TestRun;
  readonly sideBySide: readonly TestRun[];
}

const MINUTE_MS = 60_000;
/** One file alone is ended after this long. */
const FILE_LIMIT_MS = 6 * MINUTE_MS;
const NONE: ReadonlyMap<string, string> = new Map();

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
    sideBySide: NONE,
  },
  {
    name: "contracts",
    folder: "tests/contracts",
    without: [],
    flags: ["--allow-all", "--parallel"],
    limitMs: 4 * MINUTE_MS,
    floor: 20,
    sideBySide: NONE,
  },
  {
    name: "system",
    folder: "tests/system",
    without: [],
    // One file after another: several engines at once on two cores would time each other out.
    flags: ["--allow-all"],
    limitMs: 20 * MINUTE_MS,
    floor: 100,
    sideBySide: SIDE_BY_SIDE,
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

/** The runs that go through `files`, the test files of `ring`. */
export function runsOf(ring: Ring, files: readonly string[]): RingRuns {
  const own = [...ring.sideBySide.keys()];
  const { name, folder, floor, limitMs } = ring;
  return {
    first: {
      name: `ring ${name}`,
      args: testArgs(ring, { ignored: [...ring.without, ...own], path: folder }),
      files: files.filter((file) => !ring.sideBySide.has(file)),
      limitMs,
      floor,
    },
    // A file of that name that is not there runs into its floor.
    sideBySide: own.map((file) => ({
      name: file,
      args: testArgs(ring, { ignored: [], path: file }),
      files: [file],
      limitMs: FILE_LIMIT_MS,
      floor: 1,
    })),
  };
}

function testArgs(
  { flags }: Ring,
  { ignored, path }: { readonly ignored: readonly string[]; readonly path: string },
): string[] {
  return [
    "test",
    "--no-prompt",
    "--no-check", // types are a gate of their own, `deno task check`
    ...flags,
    ...(ignored.length === 0 ? [] : [`--ignore=${ignored.join(",")}`]),
    path,
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
