/** The data of `native/`, with types: which llama.cpp build, from where. */
import debian from "#native/debian.json" with { type: "json" };
import release from "#native/release.json" with { type: "json" };
import type { Accelerator, EnginePlatform } from "./platform.ts";

/** What upstream publishes for one platform and accelerator. */
export interface NativeRelease {
  /** Archive names, all needed, with `{tag}` and `{version}` in them; empty when there is none. */
  readonly assets: readonly string[];
  /** True when this very archive was unpacked and run by our tests. */
  readonly proven: boolean;
  readonly note: string;
}

/** The pinned upstream build. */
export interface NativeReleases {
  readonly repository: string;
  readonly tag: string;
  readonly version: string;
  readonly platforms: Readonly<
    Record<EnginePlatform, Readonly<Record<Accelerator, NativeRelease>>>
  >;
}

/** How Debian names a platform. */
export interface DebianPlatform {
  readonly architecture: string;
  readonly triplet: string;
  /** Path of the dynamic loader inside the unpacked packages. */
  readonly loader: string;
}

/** Versions that were tested, without epoch and revision. */
export interface TestedRange {
  readonly minVersion: string;
  readonly belowVersion: string;
}

/** The Debian packages that hold llama.cpp and all that it needs. */
export interface NativeDebian {
  readonly suite: string;
  readonly component: string;
  /** Suites by which a mirror of Debian is told from other sources of packages. */
  readonly knownSuites: readonly string[];
  readonly keyring: string;
  /** The package whose version counts. */
  readonly leadPackage: string;
  readonly tested: TestedRange;
  /** Packages; those of an accelerator come on top of those for the CPU. */
  readonly packages: { readonly cpu: readonly string[]; readonly vulkan: readonly string[] };
  readonly platforms: Readonly<Partial<Record<EnginePlatform, DebianPlatform>>>;
  readonly layout: {
    readonly server: string;
    readonly rpcServer: string;
    readonly libraryPath: readonly string[];
    readonly backends: string;
  };
  /** What stays of the unpacked packages; `*` stands for part of one name. */
  readonly keep: readonly string[];
}

export const NATIVE_RELEASES: NativeReleases = release;
export const NATIVE_DEBIAN: NativeDebian = debian;
