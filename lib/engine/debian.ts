/**
 * What is told to apt, and what it answers, when llama.cpp is taken from Debian packages without
 * touching the system: a configuration of its own, an index of its own, an empty list of installed
 * packages. Pure.
 */
import { UserError } from "~/base/errors.ts";
import type { AptMirror } from "./apt_sources.ts";
import type { EngineManifest } from "./manifest.ts";
import type { DebianPlatform, NativeDebian } from "./native.ts";
import type { EnginePlatform } from "./platform.ts";
import { isVersionTested, upstreamVersion } from "./version.ts";

/** Debian packages could not be had. */
export class DebianError extends UserError {
  override readonly name = "DebianError";
}

/** One package file as apt names it. */
export interface DebianPackage {
  readonly name: string;
  /** Full version, epoch included. */
  readonly version: string;
  readonly fileName: string;
  readonly url: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** The line of apt's sources for one mirror. */
export function sourceLine(mirror: AptMirror, debian: NativeDebian): string {
  const trust = mirror.isTrusted ? "trusted=yes" : `signed-by=${mirror.signedBy ?? debian.keyring}`;
  return `deb [${trust}] ${mirror.uri} ${debian.suite} ${debian.component}\n`;
}

/** Folders and files that apt works in, all our own. */
export interface AptPlaces {
  readonly sourceList: string;
  readonly stateDir: string;
  readonly cacheDir: string;
  /** An empty file: nothing is installed, so nothing is left out. */
  readonly status: string;
}

/** Seconds that apt waits for a server; the next source should not wait long for this one to fail. */
const APT_TIMEOUT_S = 5;

/**
 * A whole configuration for apt. Of the machine's own only `acquire` is taken over (proxies,
 * certificates): its hooks would run as if the system were updated.
 */
export function aptConfig(places: AptPlaces, acquire: readonly string[]): string {
  const settings: [string, string][] = [
    ["Dir::Etc::parts", "/dev/null"],
    ["Dir::Etc::main", "/dev/null"],
    ["Dir::Etc::sourcelist", places.sourceList],
    ["Dir::Etc::sourceparts", "/dev/null"],
    ["Dir::State", places.stateDir],
    ["Dir::State::status", places.status],
    ["Dir::Cache", places.cacheDir],
    ["Acquire::Languages", "none"],
    ["Acquire::PDiffs", "false"],
    // A mirror that is a few days behind serves as well: digests are checked either way.
    ["Acquire::Check-Valid-Until", "false"],
    ["Acquire::Retries", "0"],
    ["Acquire::http::Timeout", String(APT_TIMEOUT_S)],
    ["Acquire::https::Timeout", String(APT_TIMEOUT_S)],
    // As root, apt would drop to a user who cannot read our home.
    ["APT::Sandbox::User", "root"],
    ["APT::Update::Error-Mode", "any"],
  ];
  const own = settings.map(([name, value]) => `${name} "${escapeValue(value)}";`);
  return [...acquire, ...own, ""].join("\n");
}

/** The lines of `apt-config dump Acquire` that say how to reach servers. */
export function reachSettings(dump: string): string[] {
  return dump.split("\n").filter((line) =>
    /^Acquire::(?:https?|[a-z]+::Proxy|Proxy)[\w:.*-]* "[^"\\]*";$/i.test(line)
  );
}

/** The proxy that apt uses for a scheme, from its own settings; undefined when none or "DIRECT". */
export function aptProxy(
  settings: readonly string[],
  scheme: "http" | "https",
): string | undefined {
  for (const line of settings) {
    const match = /^Acquire::(https?)::Proxy "(\S+)";$/i.exec(line);
    if (match === null || match[1]?.toLowerCase() !== scheme) continue;
    const [, , proxy = ""] = match;
    return URL.canParse(proxy) ? proxy : undefined;
  }
  return undefined;
}

/**
 * Reads what `apt-get download --print-uris` prints: `'URI' file size SHA256:hex`, one per line.
 *
 * @throws {DebianError} when a line is not of that form or states no SHA-256
 */
export function parsePrintUris(text: string): DebianPackage[] {
  return text.split("\n").map((line) => line.trim()).filter((line) => line !== "").map((line) => {
    const match = /^'([^']+)' ([\w.+~%:-]+) (\d{1,12}) SHA256:([0-9a-f]{64})$/.exec(line);
    const named = /^([\w.+-]+)_([\w.+~%:-]+)_[a-z0-9]+\.deb$/.exec(match?.[2] ?? "");
    if (match === null || named === null) {
      throw new DebianError(`Cannot read apt's answer: ${JSON.stringify(line.slice(0, 200))}`);
    }
    const [, url = "", fileName = "", size, sha256 = ""] = match;
    if (!/^https?:/.test(url)) {
      throw new DebianError(
        `apt's mirror is no web server: its address begins with ${
          JSON.stringify(url.slice(0, url.indexOf(":") + 1))
        }`,
      );
    }
    const [, name = "", version = ""] = named;
    return {
      name,
      version: version.replaceAll(/%3a/gi, ":"),
      // Windows and some network disks refuse colons, so the escaped name is kept.
      fileName,
      url,
      sizeBytes: Number(size),
      sha256,
    };
  });
}

/**
 * Checks that all packages are there and that the one that counts has a tested version.
 *
 * @returns the upstream version, e.g. "0.7.0"
 * @throws {DebianError} saying what was found and what was wanted
 */
export function checkPackages(
  found: readonly DebianPackage[],
  wanted: readonly string[],
  debian: NativeDebian,
): string {
  const missing = wanted.filter((name) => found.every((entry) => entry.name !== name));
  if (missing.length > 0) {
    throw new DebianError(`Debian ${debian.suite} has no package ${missing.join(", ")}`);
  }
  const lead = found.find((entry) => entry.name === debian.leadPackage);
  const version = upstreamVersion(lead?.version ?? "");
  const { minVersion, belowVersion } = debian.tested;
  if (version === undefined || !isVersionTested(version, debian.tested)) {
    throw new DebianError(
      `Debian ${debian.suite} has ${debian.leadPackage} ${lead?.version}; ` +
        `only versions from ${minVersion} to below ${belowVersion} were tested`,
    );
  }
  return version;
}

/** The packages for an accelerator; those for the CPU are always needed. */
export function packagesFor(debian: NativeDebian, accelerator: "cpu" | "vulkan"): string[] {
  const { cpu, vulkan } = debian.packages;
  return accelerator === "cpu" ? [...cpu] : [...cpu, ...vulkan];
}

/** What apt said was wrong, in one line: its first error, else its first warning. */
export function aptComplaint(stderr: string): string {
  const lines = stderr.split("\n").map((line) => line.trim());
  const worst = lines.find((line) => line.startsWith("E:")) ??
    lines.find((line) => line.startsWith("W:"));
  return (worst ?? "E: it gave no reason").slice(2).trim().replaceAll(/\s+/g, " ").slice(0, 300);
}

/** True when a path of the unpacked packages is to be kept. */
export function isKept(path: string, debian: NativeDebian, platform: DebianPlatform): boolean {
  return debian.keep.some((pattern) => matches(path, fill(pattern, platform)));
}

/** True when `path` fits a pattern in which `*` stands for part of one name. */
export function matches(path: string, pattern: string): boolean {
  const source = pattern.replaceAll(/[.+^${}()|[\]\\?]/g, "\\$&").replaceAll("*", "[^/]*");
  return new RegExp(`^${source}$`).test(path);
}

/**
 * Describes what was unpacked.
 *
 * @throws {DebianError} when a file that is needed is not among `paths` (relative, with `/`)
 */
export function describeUnpacked(
  paths: readonly string[],
  facts: {
    readonly debian: NativeDebian;
    readonly platform: EnginePlatform;
    readonly names: DebianPlatform;
    readonly packages: readonly DebianPackage[];
    readonly version: string;
    readonly accelerator: "cpu" | "vulkan";
    /** Folder that the paths are in, from the install's own. */
    readonly prefix: string;
  },
): EngineManifest {
  const { debian, names, prefix, packages, platform, accelerator, version } = facts;
  const find = (pattern: string) => {
    const path = paths.find((path) => matches(path, fill(pattern, names)));
    if (path === undefined) {
      throw new DebianError(`Debian's packages hold no ${fill(pattern, names)} any more`);
    }
    return `${prefix}/${path}`;
  };
  const backend = find(`${debian.layout.backends}/*`);
  const shared = {
    loader: find(names.loader),
    libraryPath: debian.layout.libraryPath.map((path) => `${prefix}/${fill(path, names)}`),
    workingDir: backend.slice(0, backend.lastIndexOf("/")),
  };
  const lead = packages.find((entry) => entry.name === debian.leadPackage);
  return {
    origin: "debian",
    source: `Debian ${debian.suite} packages, ${debian.leadPackage} ${lead?.version}`,
    platform,
    accelerator,
    version,
    server: { program: find(debian.layout.server), ...shared },
    rpcServer: { program: find(debian.layout.rpcServer), ...shared },
  };
}

function fill(pattern: string, platform: DebianPlatform): string {
  return pattern.replaceAll("{triplet}", platform.triplet);
}

function escapeValue(value: string): string {
  if (/["\\\n]/.test(value)) {
    throw new DebianError(`Cannot use apt: the path ${JSON.stringify(value)} has a quote in it`);
  }
  return value;
}

/** A text that is the same for the same set of package files and for no other. */
export function packageSetText(packages: readonly DebianPackage[]): string {
  return packages.map(({ name, sha256 }) => `${name} ${sha256}`).toSorted().join("\n");
}
