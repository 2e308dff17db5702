/**
 * `<home>/engine`: one folder per engine, complete as soon as it is visible.
 *
 *   <name>/engine.json   what it is; without this file a folder is no engine
 *   .<name>.new/         being made by whoever holds .<name>.lock
 *   downloads/           archives and packages until they are unpacked
 *
 * @module
 */
import { join } from "node:path";
import {
  ensureDir,
  readTextIfAny,
  removeIfAny,
  syncDir,
  writeFileAtomic,
} from "~/base/io/files.ts";
import { withLock } from "~/base/io/lock.ts";
import type { InstalledEngine } from "../installed.ts";
import {
  type EngineManifest,
  formatManifest,
  MANIFEST_BYTES_MAX,
  MANIFEST_NAME,
  parseManifest,
} from "../manifest.ts";

/** Entries of the folder that are looked at; a home has a handful of engines. */
const ENTRIES_MAX = 200;

/** Where engines are kept. */
export function engineDirOf(home: string): string {
  return join(home, "engine");
}

/** Where downloads for engines lie until they are unpacked. */
export function downloadsDirOf(engineDir: string): string {
  return join(engineDir, "downloads");
}

/** All complete engines, in no order. */
export async function listInstalled(engineDir: string): Promise<InstalledEngine[]> {
  const engines: InstalledEngine[] = [];
  let seen = 0;
  try {
    for await (const entry of Deno.readDir(engineDir)) {
      seen += 1;
      if (seen > ENTRIES_MAX) break;
      if (!entry.isDirectory || entry.name.startsWith(".")) continue;
      const engine = await readInstalled(join(engineDir, entry.name));
      if (engine !== undefined) engines.push(engine);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return engines;
}

/** The engine in a folder; undefined when there is no complete one. */
export async function readInstalled(dir: string): Promise<InstalledEngine | undefined> {
  const text = await readTextIfAny(join(dir, MANIFEST_NAME), MANIFEST_BYTES_MAX)
    .catch(() => undefined);
  const manifest = text === undefined ? undefined : parseManifest(text);
  return manifest === undefined ? undefined : { dir, manifest };
}

/** One engine to install. */
export interface InstallOnceOptions {
  readonly engineDir: string;
  /** Name of its folder; the same content always has the same name. */
  readonly name: string;
  readonly signal: AbortSignal;
  /** Puts everything into an empty folder, checks it, and says what it is. */
  readonly fill: (dir: string) => Promise<EngineManifest>;
}

/**
 * Installs an engine, or finds it installed. Whoever comes second waits for the first one. A folder
 * that is half made, by a process that was killed, is made anew.
 */
export async function installOnce(options: InstallOnceOptions): Promise<InstalledEngine> {
  const { engineDir, name, signal } = options;
  const dir = join(engineDir, name);
  await ensureDir(engineDir);
  return await withLock(join(engineDir, `.${name}.lock`), { signal }, async () => {
    const there = await readInstalled(dir);
    if (there !== undefined) return there;
    const staging = join(engineDir, `.${name}.new`);
    await removeIfAny(staging);
    await Deno.mkdir(staging);
    try {
      const manifest = await options.fill(staging);
      await writeFileAtomic(join(staging, MANIFEST_NAME), formatManifest(manifest));
      signal.throwIfAborted();
      // What lies there without a manifest is no engine.
      await removeIfAny(dir);
      await Deno.rename(staging, dir);
      await syncDir(engineDir);
      return { dir, manifest };
    } catch (error) {
      await removeIfAny(staging).catch(() => {});
      throw error;
    }
  });
}
