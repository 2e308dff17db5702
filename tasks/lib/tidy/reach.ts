/**
 * Finds what nobody needs: files that no way from an entry point leads to, and exported names that no other
 * file takes.
 *
 * @module
 */
import { countWord, exportsOf, importsOf } from "../sources.ts";

/** Content of files by path from the repository root. */
export type Files = ReadonlyMap<string, string>;

type Edges = ReadonlyMap<string, readonly { path: string; names: readonly string[] }[]>;

/** Complaints about files and exports that nothing uses. `taskEntries`: files that deno.json starts. */
export function findDeadCode(files: Files, taskEntries: readonly string[]): string[] {
  const edges = readEdges(files);
  const entries = ["main.ts", ...taskEntries];
  const program = reach(entries, edges);
  const tests = [...files.keys()].filter((path) => path.endsWith("_test.ts"));
  const everything = reach([...entries, ...tests], edges);
  const complaints: string[] = [];
  for (const path of files.keys()) {
    if (isProgram(path) && !program.has(path)) {
      const use = everything.has(path) ? "only tests use it" : "nothing uses it";
      complaints.push(`${path}: ${use}: wire it in, or remove it`);
    }
    if (path.startsWith("tests/") && path.endsWith(".ts") && !everything.has(path)) {
      if (!isNamed(path, files)) complaints.push(`${path}: no test uses it: remove it`);
    }
  }
  return [...complaints, ...findDeadExports(files, edges)];
}

/** Code that must be reachable without the tests' help. */
function isProgram(path: string): boolean {
  return /^(?:lib|tasks)\//.test(path) && /\.(?:ts|js|html|css|json)$/.test(path);
}

/** Who imports whom. */
export function readEdges(files: Files): Edges {
  const edges = new Map<string, { path: string; names: readonly string[] }[]>();
  for (const [path, text] of files) {
    if (path.endsWith(".ts")) edges.set(path, importsOf(path, text));
  }
  return edges;
}

/** Everything that a way of imports leads to from `entries`. */
export function reach(entries: readonly string[], edges: Edges): ReadonlySet<string> {
  const reached = new Set<string>();
  const next = [...entries];
  for (let path = next.pop(); path !== undefined; path = next.pop()) {
    if (reached.has(path)) continue;
    reached.add(path);
    for (const edge of edges.get(path) ?? []) next.push(edge.path);
  }
  return reached;
}

/** The test file from which the fewest imports lead to `path`; undefined when none does. */
export function nearestTest(path: string, edges: Edges): string | undefined {
  const importers = new Map<string, string[]>();
  for (const [from, list] of edges) {
    for (const edge of list) importers.set(edge.path, [...importers.get(edge.path) ?? [], from]);
  }
  const seen = new Set([path]);
  // A set keeps its order and grows while it is walked: nearest first.
  for (const at of seen) {
    if (at.endsWith("_test.ts")) return at;
    for (const from of importers.get(at) ?? []) seen.add(from);
  }
  return undefined;
}

/** Programs that tests start are named, not imported. */
function isNamed(path: string, files: Files): boolean {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return [...files].some(([other, text]) =>
    other !== path && other.startsWith("tests/") && text.includes(name)
  );
}

function findDeadExports(files: Files, edges: Edges): string[] {
  const taken = new Map<string, Set<string>>();
  for (const [from, list] of edges) {
    for (const { path, names } of list) {
      if (from === path) continue;
      const known = taken.get(path) ?? new Set();
      for (const name of names) known.add(name);
      taken.set(path, known);
    }
  }
  const complaints: string[] = [];
  for (const [path, text] of files) {
    if (!path.startsWith("lib/") || !path.endsWith(".ts")) continue;
    const known = taken.get(path) ?? new Set();
    if (known.has("*")) continue;
    for (const { name, isType } of exportsOf(text)) {
      if (known.has(name)) continue;
      // A type stands in a signature beside it, an error class is what callers may catch.
      if ((isType || name.endsWith("Error")) && countWord(text, name) > 1) continue;
      complaints.push(`${path}: no other file takes "${name}": do not export it`);
    }
  }
  return complaints;
}
