/** Folders that no check looks into: made by tools, not by people. */
const SKIPPED: ReadonlySet<string> = new Set([
  ".cache",
  ".git",
  "coverage",
  "dist",
  "node_modules",
]);

/** Files below `root`, sorted, relative to it and with `/`; links are not followed. */
export async function walk(root: string, folder = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir(`${root}/${folder}`)) {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory && !SKIPPED.has(entry.name)) found.push(...await walk(root, path));
    if (entry.isFile) found.push(path);
  }
  return found.sort();
}
