import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import { UserError } from "~/base/errors.ts";
import {
  ensureDir,
  readTextIfAny,
  removeIfAny,
  writeAll,
  writeFileAtomic,
} from "~/base/io/files.ts";
import {
  BLOBS_NAME,
  EMBEDDED_BYTES_MAX,
  EMBEDDED_NAME,
  type EmbeddedEngine,
  type EmbeddedFile,
  formatEmbedded,
  parseEmbedded,
} from "../embedded.ts";
import type { SourceAnswer } from "../find.ts";
import { type EngineManifest, installOf, MANIFEST_NAME } from "../manifest.ts";
import type { EnginePlatform } from "../platform.ts";
import { installOnce, readInstalled } from "./install_dir.ts";
import { probeProgram } from "./probe.ts";
import { walkFiles } from "./walk.ts";

/** Copied and hashed at a time: 1 MiB takes about 1 ms. */
const CHUNK_BYTES = 1024 * 1024;

/**
 * Takes the engine that is packed into the compiled program: its files are streamed to
 * `<home>/engine/<digest>` with their modes and links.
 */
export async function tryEmbedded(options: {
  /** The embedded folder; absent in a program that runs from its sources. */
  readonly embeddedDir: string | undefined;
  readonly engineDir: string;
  readonly platform: EnginePlatform;
  readonly signal: AbortSignal;
}): Promise<SourceAnswer> {
  const { embeddedDir, engineDir, platform, signal } = options;
  const text = embeddedDir === undefined
    ? undefined
    : await readTextIfAny(join(embeddedDir, EMBEDDED_NAME), EMBEDDED_BYTES_MAX);
  if (embeddedDir === undefined || text === undefined) {
    return { kind: "absent", reason: "this program has none in it" };
  }
  const engine = parseEmbedded(text);
  if (engine === undefined) throw new UserError("The embedded engine has an unreadable list");
  if (engine.manifest.platform !== platform) {
    throw new UserError(`The embedded engine is for ${engine.manifest.platform}, not ${platform}`);
  }
  const name = createHash("sha256").update(text).digest("hex");
  const fill = async (dir: string): Promise<EngineManifest> => {
    for (const file of engine.files) await unpackFile(file, embeddedDir, dir, signal);
    for (const { path, target } of engine.links) {
      await ensureDir(dirname(join(dir, path)));
      await Deno.symlink(target, join(dir, path));
    }
    const manifest = { ...engine.manifest, origin: "embedded" as const };
    await probeProgram(installOf(manifest, dir).server, signal);
    return manifest;
  };
  const installed = await installOnce({ engineDir, name, signal, fill });
  return { kind: "found", install: installOf(installed.manifest, installed.dir) };
}

async function unpackFile(
  file: EmbeddedFile,
  embeddedDir: string,
  dir: string,
  signal: AbortSignal,
): Promise<void> {
  const to = join(dir, file.path);
  const mode = file.isExecutable ? 0o755 : 0o644;
  await ensureDir(dirname(to));
  const sha256 = await copyFile(join(embeddedDir, BLOBS_NAME, file.sha256), { to, mode, signal });
  if (sha256 === file.sha256) return;
  throw new UserError(
    `The embedded engine is damaged: ${file.path} has another content than listed`,
  );
}

/** Copies a file and tells its digest. */
async function copyFile(
  from: string,
  options: { readonly to: string; readonly mode: number; readonly signal: AbortSignal },
): Promise<string> {
  using source = await Deno.open(from, { read: true });
  using target = await Deno.open(options.to, { write: true, createNew: true, mode: options.mode });
  if (Deno.build.os !== "windows") await Deno.chmod(options.to, options.mode);
  const hash = createHash("sha256");
  const buffer = new Uint8Array(CHUNK_BYTES);
  for (let n = await source.read(buffer); n !== null; n = await source.read(buffer)) {
    options.signal.throwIfAborted();
    hash.update(buffer.subarray(0, n));
    await writeAll(target, buffer.subarray(0, n));
  }
  return hash.digest("hex");
}

/**
 * Packs an installed engine into a new folder `outDir`, ready for `deno compile --include`.
 *
 * @throws {UserError} when `installDir` holds no engine that an earlier start installed
 */
export async function packEngine(options: {
  readonly installDir: string;
  readonly outDir: string;
  readonly signal: AbortSignal;
}): Promise<EmbeddedEngine> {
  const { installDir, outDir, signal } = options;
  const installed = await readInstalled(installDir);
  if (installed === undefined) {
    throw new UserError(`Cannot pack "${installDir}": it has no ${MANIFEST_NAME}`);
  }
  await removeIfAny(outDir);
  await ensureDir(join(outDir, BLOBS_NAME));
  const files: EmbeddedFile[] = [];
  const links: { path: string; target: string }[] = [];
  const walked = (await walkFiles(installDir)).filter(({ path }) => path !== MANIFEST_NAME);
  for (const { path, isLink } of walked.toSorted((a, b) => (a.path < b.path ? -1 : 1))) {
    if (isLink) links.push({ path, target: await Deno.readLink(join(installDir, path)) });
    else files.push(await packFile(path, { installDir, outDir, signal }));
  }
  const engine: EmbeddedEngine = { manifest: installed.manifest, files, links };
  await writeFileAtomic(join(outDir, EMBEDDED_NAME), formatEmbedded(engine));
  return engine;
}

async function packFile(
  path: string,
  options: { readonly installDir: string; readonly outDir: string; readonly signal: AbortSignal },
): Promise<EmbeddedFile> {
  const from = join(options.installDir, path);
  const { size, mode } = await Deno.stat(from);
  const temporary = join(options.outDir, BLOBS_NAME, "new");
  const sha256 = await copyFile(from, { to: temporary, mode: 0o644, signal: options.signal });
  // Two files of the same content share one blob.
  await Deno.rename(temporary, join(options.outDir, BLOBS_NAME, sha256));
  return { path, isExecutable: ((mode ?? 0o755) & 0o111) !== 0, sizeBytes: size, sha256 };
}
