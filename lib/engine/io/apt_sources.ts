import { join } from "node:path";
import { readTextIfAny } from "~/base/io/files.ts";
import {
  type AptMirror,
  type AptSource,
  firstMirrorIn,
  parseDeb822Sources,
  parseOneLineSources,
} from "../apt_sources.ts";

/** Files of sources that are read; machines have a handful. */
const FILES_MAX = 100;
/** Largest file that is read; typical ones have under 1 KiB. */
const FILE_BYTES_MAX = 256 * 1024;

/** Reads all sources of a machine's apt from the folder `aptDir`, as apt orders them. */
export async function readAptSources(aptDir: string): Promise<AptSource[]> {
  const names: string[] = [];
  try {
    for await (const entry of Deno.readDir(join(aptDir, "sources.list.d"))) names.push(entry.name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const paths = names.toSorted().slice(0, FILES_MAX).map((name) => join("sources.list.d", name));
  const sources: AptSource[] = [];
  for (const path of ["sources.list", ...paths]) {
    const isStanzas = path.endsWith(".sources");
    if (!isStanzas && !path.endsWith(".list")) continue;
    // A file that only root may read is none for us.
    const text = await readTextIfAny(join(aptDir, path), FILE_BYTES_MAX).catch(() => "") ?? "";
    sources.push(...(isStanzas ? parseDeb822Sources(text) : parseOneLineSources(text)));
  }
  return sources;
}

/**
 * Cloud images name a file with a list of mirrors instead of a mirror; the first one in it is taken,
 * because package addresses must be such that a plain download understands them.
 */
export async function resolveMirrorList(mirror: AptMirror): Promise<AptMirror> {
  const match = /^mirror\+file:(?:\/\/)?(\/.*)$/.exec(mirror.uri);
  if (match?.[1] === undefined) return mirror;
  const text = await readTextIfAny(match[1], FILE_BYTES_MAX).catch(() => undefined);
  const uri = firstMirrorIn(text ?? "");
  return uri === undefined ? mirror : { ...mirror, uri };
}
