import { join } from "node:path";
import { UserError } from "~/base/errors.ts";
import { ensureDir } from "~/base/io/files.ts";
import { withLock } from "~/base/io/lock.ts";
import type { ReportProgress, ReportSourceFailure } from "~/base/progress.ts";
import { type EngineSource, findEngineIn, type SourceAnswer } from "../find.ts";
import type { EngineInstall } from "../install.ts";
import { chooseInstalled } from "../installed.ts";
import { installOf } from "../manifest.ts";
import { NATIVE_DEBIAN, NATIVE_RELEASES } from "../native.ts";
import { type Accelerator, type EnginePlatform, platformOf } from "../platform.ts";
import { tryBinDir } from "./bin_dir.ts";
import { tryDebian } from "./debian.ts";
import { tryEmbedded } from "./embedded.ts";
import { engineDirOf, listInstalled } from "./install_dir.ts";
import { tryPath } from "./path_search.ts";
import { RELEASE_API_BASE, tryRelease } from "./release.ts";

/** What the search for an engine may use. */
export interface FindEngineOptions {
  readonly home: string;
  /** Folder that the user named; then no other place is asked. */
  readonly binDir?: string;
  /** Folder of the engine packed into the compiled program. */
  readonly embeddedDir?: string;
  /** False: nothing is fetched. */
  readonly allowDownload: boolean;
  /** What to compute on, best first; "cpu" is tried last, named or not. */
  readonly accelerators: readonly Accelerator[];
  readonly report: ReportProgress;
  readonly onSourceFailure: ReportSourceFailure;
  readonly signal: AbortSignal;
  /** Where releases are asked for. @default {"https://api.github.com"} */
  readonly releaseApiBase?: string;
  /** Folder of apt's sources. @default {"/etc/apt"} */
  readonly aptDir?: string;
  /** Folders to search last, as in `PATH`. @default the environment's */
  readonly path?: string;
}

/**
 * Finds llama.cpp, fetching it when need be: the named folder; embedded; installed under the home;
 * upstream's release archive; Debian packages; `PATH`.
 *
 * @throws {EngineNotFoundError} when no place has one; it lists them with their reasons
 * @throws {UserError} when the named folder is of no use, or no build exists for this machine
 */
export async function findEngine(options: FindEngineOptions): Promise<EngineInstall> {
  const platform = platformOf(Deno.build);
  if (platform === undefined) {
    const { os, arch } = Deno.build;
    throw new UserError(`Cannot use llama.cpp: no build for ${os} on ${arch} is known`);
  }
  const { home, binDir, allowDownload, onSourceFailure, signal } = options;
  const engineDir = engineDirOf(home);
  const accelerators = withCpuLast(options.accelerators);
  const facts: Facts = { options, platform, engineDir, accelerators };
  return await findEngineIn({
    ...(binDir === undefined ? {} : { binDir: named("folder", () => tryBinDir(binDir, platform)) }),
    local: [embeddedSource(facts), installedSource(facts)],
    remote: [releaseSource(facts), debianSource(facts)],
    fallback: [pathSource(facts)],
  }, {
    allowDownload,
    onSourceFailure,
    signal,
    exclusively: async (work) => {
      await ensureDir(engineDir);
      return await withLock(join(engineDir, ".fetch.lock"), { signal }, work);
    },
  });
}

interface Facts {
  readonly options: FindEngineOptions;
  readonly platform: EnginePlatform;
  readonly engineDir: string;
  readonly accelerators: readonly Accelerator[];
}

function embeddedSource({ options, platform, engineDir }: Facts): EngineSource {
  const { embeddedDir, signal } = options;
  return named("embedded", () => tryEmbedded({ embeddedDir, engineDir, platform, signal }));
}

function installedSource({ platform, engineDir, accelerators }: Facts): EngineSource {
  return named("installed", async () => {
    const chosen = chooseInstalled(await listInstalled(engineDir), {
      platform,
      accelerators,
      releases: NATIVE_RELEASES,
      debian: NATIVE_DEBIAN,
    });
    if (chosen === undefined) return { kind: "absent", reason: `none in ${engineDir}` };
    return { kind: "found", install: installOf(chosen.manifest, chosen.dir) };
  });
}

function releaseSource({ options, platform, engineDir, accelerators }: Facts): EngineSource {
  const { report, signal, releaseApiBase = RELEASE_API_BASE } = options;
  return named("release archive", () =>
    tryRelease({
      engineDir,
      platform,
      accelerators,
      releases: NATIVE_RELEASES,
      apiBase: releaseApiBase,
      report,
      signal,
    }));
}

function debianSource({ options, platform, engineDir }: Facts): EngineSource {
  const { report, signal, aptDir } = options;
  return named("Debian packages", () =>
    tryDebian({
      engineDir,
      platform,
      // Its Vulkan backend next to our own C library was never run: the CPU's always works.
      accelerator: "cpu",
      debian: NATIVE_DEBIAN,
      report,
      signal,
      ...(aptDir === undefined ? {} : { aptDir }),
    }));
}

function pathSource({ options, platform }: Facts): EngineSource {
  const path = options.path ?? Deno.env.get("PATH") ?? "";
  return named("PATH", () => tryPath({ path, platform, signal: options.signal }));
}

function named(name: string, look: () => Promise<SourceAnswer>): EngineSource {
  return { name, look };
}

function withCpuLast(accelerators: readonly Accelerator[]): Accelerator[] {
  return [...accelerators.filter((accelerator) => accelerator !== "cpu"), "cpu"];
}
