/**
 * Checks that every file of the program has a test of its own, and that there is at least as much test as
 * program.
 *
 * @module
 */
import { countFilledLines, decidesNothing, importsOf } from "../sources.ts";
import type { Files } from "./reach.ts";

/** Files without a test of their own, each with the reason. An entry that is not needed is an error. */
export const TESTED_ELSEWHERE: Readonly<Record<string, string>> = {};

/**
 * Complaints about files of `lib/` that no test, contract or test support imports and that no test file
 * mirrors (`lib/proxy/x.ts` by `tests/proxy/x_test.ts` or `tests/system/proxy/x_test.ts`; `io/` may be left out).
 */
export function findUntested(files: Files, elsewhere = TESTED_ELSEWHERE): string[] {
  const touched = new Set<string>();
  for (const [path, text] of files) {
    if (!path.startsWith("tests/") || !path.endsWith(".ts")) continue;
    for (const edge of importsOf(path, text)) touched.add(edge.path);
  }
  const complaints: string[] = [];
  for (const [path, text] of files) {
    if (!path.startsWith("lib/") || !path.endsWith(".ts")) continue;
    const tested = touched.has(path) || mirrorsOf(path).some((mirror) => files.has(mirror));
    const listed = Object.hasOwn(elsewhere, path);
    if (!tested && !listed && !decidesNothing(text)) {
      complaints.push(`${path}: no test is about it: write ${mirrorsOf(path)[0]}`);
    }
    if (tested && listed) complaints.push(`${path}: has a test now: take it off TESTED_ELSEWHERE`);
  }
  for (const path of Object.keys(elsewhere)) {
    if (!files.has(path)) complaints.push(`${path}: is gone: take it off TESTED_ELSEWHERE`);
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
