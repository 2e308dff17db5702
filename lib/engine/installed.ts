/** Which of the engines that lie under the home is used. Pure. */
import type { EngineManifest, InstallOrigin } from "./manifest.ts";
import type { NativeDebian, NativeReleases } from "./native.ts";
import type { Accelerator, EnginePlatform } from "./platform.ts";
import { compareVersions, isVersionTested } from "./version.ts";

/** An engine under the home. */
export interface InstalledEngine {
  readonly dir: string;
  readonly manifest: EngineManifest;
}

/** Upstream's own build before a distribution's. */
const ORIGIN_RANK: Readonly<Record<InstallOrigin, number>> = { embedded: 0, release: 1, debian: 2 };

/**
 * The best installed engine for this machine: of a tested version, with the accelerator that stands
 * first in `accelerators`; undefined when none fits. Engines of other versions stay where they are:
 * a running node of an older mesh-llm may use them.
 */
export function chooseInstalled(
  engines: readonly InstalledEngine[],
  wanted: {
    readonly platform: EnginePlatform;
    readonly accelerators: readonly Accelerator[];
    readonly releases: NativeReleases;
    readonly debian: NativeDebian;
  },
): InstalledEngine | undefined {
  const rankOf = ({ manifest }: InstalledEngine) =>
    wanted.accelerators.indexOf(manifest.accelerator);
  return engines
    .filter(({ manifest }) => manifest.platform === wanted.platform)
    .filter((engine) => rankOf(engine) >= 0)
    .filter(({ manifest }) => isWanted(manifest, wanted))
    .toSorted((a, b) =>
      rankOf(a) - rankOf(b) ||
      ORIGIN_RANK[a.manifest.origin] - ORIGIN_RANK[b.manifest.origin] ||
      compareVersions(b.manifest.version, a.manifest.version)
    )[0];
}

function isWanted(
  { tag, version }: EngineManifest,
  { releases, debian }: { releases: NativeReleases; debian: NativeDebian },
): boolean {
  if (tag !== undefined) return tag === releases.tag;
  return isVersionTested(version, debian.tested);
}
