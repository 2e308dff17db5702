/**
 * Checks that every file of the program has a test of its own, and that there is at least as much test as
 * program.
 *
 * @module
 */
import { countFilledLines, decidesNothing } from "../sources.ts";
import { nearestTest, reach, readEdges } from "./reach.ts";
import type { Files } from "./reach.ts";

/**
 * Parts that are tested through the whole that they belong to: the file, and the test that proves it. Needed
 * only where no test imports or mirrors the file; an entry that is not needed, or not true, is an error.
 */
export const TESTED_BY: Readonly<Record<string, string>> = {
  "lib/cli/commands/serve.ts": "tests/system/node/shutdown_test.ts",
  "lib/cli/compose_mesh.ts": "tests/system/node/mesh_join_test.ts",
  "lib/cli/main.ts": "tests/system/node/commands_test.ts",
  "lib/mesh/io/quic_connection.ts": "tests/contracts/transport_quic_test.ts",
  "lib/mesh/io/quic_stream.ts": "tests/contracts/transport_quic_test.ts",
  "lib/proxy/rest_search.ts": "tests/proxy/continuation_test.ts",
  "lib/proxy/io/engine_connection.ts": "tests/contracts/upstream_http_test.ts",
};

/**
 * Complaints about files of `lib/` that no test, contract or test support imports, that no test file mirrors
 * (`lib/proxy/x.ts` by `tests/proxy/x_test.ts` or `tests/system/proxy/x_test.ts`; `io/` may be left out), and
 * that are not listed in {@link TESTED_BY}.
 */
export function findUntested(files: Files, testedBy = TESTED_BY): string[] {
  const edges = readEdges(files);
  const touched = new Set<string>();
  for (const [path, list] of edges) {
    if (path.startsWith("tests/")) { for (const edge of list) touched.add(edge.path); }
  }
  const complaints: string[] = [];
  for (const [path, text] of files) {
    if (!path.startsWith("lib/") || !path.endsWith(".ts")) continue;
    const tested = touched.has(path) || mirrorsOf(path).some((mirror) => files.has(mirror));
    const proof = testedBy[path];
    if (tested && proof !== undefined) {
      complaints.push(`${path}: has a test of its own now: take it off TESTED_BY`);
    } else if (proof !== undefined && !reach([proof], edges).has(path)) {
      complaints.push(`${path}: ${proof} does not lead to it: correct TESTED_BY`);
    } else if (!tested && proof === undefined && !decidesNothing(text)) {
      complaints.push(
        `${path}: no test is about it: write ${
          mirrorsOf(path)[0]
        }, or name the test of the whole ` +
          `that it is part of in TESTED_BY (nearest: ${nearestTest(path, edges) ?? "none"})`,
      );
    }
  }
  for (const path of Object.keys(testedBy)) {
    if (!files.has(path)) complaints.push(`${path}: is gone: take it off TESTED_BY`);
  }
  return complaints;
}

function mirrorsOf(path: string): string[] {
  const inside = path.replace(/^lib\//, "").replace(/\.ts$/, "_test.ts");
  const flat = inside.replace(/(^|\/)io\//, "$1");
  return [...new Set([inside, flat])].flatMap((each) => [
    `tests/${each}`,
    `tests/system/${each}`,
    `tests/contracts/${each}`,
  ]);
}

/** Filled lines of program and tests. */
export interface Volume {
  readonly programLines: number;
  readonly testLines: number;
}

/** Counts the TypeScript of the program (tasks included) and of its tests. */
export function measureVolume(files: Files): Volume {
  let programLines = 0;
  let testLines = 0;
  for (const [path, text] of files) {
    if (!path.endsWith(".ts")) continue;
    if (path.startsWith("tests/")) testLines += countFilledLines(text);
    else programLines += countFilledLines(text);
  }
  return { programLines, testLines };
}
