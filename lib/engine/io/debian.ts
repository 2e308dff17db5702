import { createHash } from "node:crypto";
import { join } from "node:path";
import { CommandError, type CommandResult, runCommand } from "~/base/io/command.ts";
import { downloadFile, type DownloadPorts, REAL_DOWNLOAD_PORTS } from "~/base/io/download.ts";
import { ensureDir, removeIfAny } from "~/base/io/files.ts";
import type { ReportProgress } from "~/base/progress.ts";
import { MIB } from "~/base/units.ts";
import { type AptMirror, chooseMirrors } from "../apt_sources.ts";
import { CombinedProgress } from "../combined_progress.ts";
import {
  aptComplaint,
  aptConfig,
  aptProxy,
  checkPackages,
  DebianError,
  type DebianPackage,
  describeUnpacked,
  isKept,
  packageSetText,
  packagesFor,
  parsePrintUris,
  reachSettings,
  sourceLine,
} from "../debian.ts";
import type { SourceAnswer } from "../find.ts";
import { type EngineManifest, installOf } from "../manifest.ts";
import type { DebianPlatform, NativeDebian } from "../native.ts";
import type { EnginePlatform } from "../platform.ts";
import { readAptSources, resolveMirrorList } from "./apt_sources.ts";
import { downloadsDirOf, installOnce } from "./install_dir.ts";
import { probeProgram } from "./probe.ts";
import { walkFiles } from "./walk.ts";

/** An index of 10 MB over a slow line. */
const UPDATE_TIMEOUT_MS = 120_000;
/** Everything else that apt and dpkg do is local. */
const LOCAL_TIMEOUT_MS = 60_000;
/** The largest package of the set has 5 MB. */
const PACKAGE_BYTES_MAX = 256 * MIB;
/** Downloads and unpackings at once: small files, where waiting costs more than bytes. */
const AT_ONCE = 4;
/** Folder of the unpacked packages inside the install. */
const PREFIX = "root";
const SOURCE = "Debian packages";

/** What is wanted from Debian. */
export interface TryDebianOptions {
  readonly engineDir: string;
  readonly platform: EnginePlatform;
  readonly accelerator: "cpu" | "vulkan";
  readonly debian: NativeDebian;
  readonly report: ReportProgress;
  readonly signal: AbortSignal;
  /** Where apt's sources lie. @default {"/etc/apt"} */
  readonly aptDir?: string;
}

/**
 * Installs llama.cpp from Debian packages through the mirror that this machine's apt uses, with its
 * own loader and C library, into a folder under the home. Nothing of the system is changed, and no
 * right is needed that the user does not have.
 *
 * @throws {DebianError} saying what this machine or its mirror does not have
 */
export async function tryDebian(options: TryDebianOptions): Promise<SourceAnswer> {
  const { platform, debian, engineDir, signal } = options;
  const names = debian.platforms[platform];
  if (names === undefined) {
    return { kind: "absent", reason: `Debian's packages do not run on ${platform}` };
  }
  const apt = new PrivateApt(join(engineDir, ".apt"), options, names);
  try {
    const found = await apt.findPackages();
    const version = checkPackages(found, packagesFor(debian, options.accelerator), debian);
    const digest = createHash("sha256").update(packageSetText(found)).digest("hex").slice(0, 16);
    const name = `debian-${version}-${platform}-${options.accelerator}-${digest}`;
    const fill = (dir: string) => fillFromPackages(dir, { found, version, names, apt, options });
    const installed = await installOnce({ engineDir, name, signal, fill });
    return { kind: "found", install: installOf(installed.manifest, installed.dir) };
  } finally {
    await removeIfAny(apt.dir);
  }
}

/** An apt with a configuration, an index and a list of installed packages of its own. */
class PrivateApt {
  readonly dir: string;
  readonly #options: TryDebianOptions;
  readonly #names: DebianPlatform;
  #settings: readonly string[] = [];

  constructor(dir: string, options: TryDebianOptions, names: DebianPlatform) {
    this.dir = dir;
    this.#options = options;
    this.#names = names;
  }

  /** The packages that the first mirror with the wanted suite has. */
  async findPackages(): Promise<DebianPackage[]> {
    // First, as it tells whether this machine has apt at all.
    this.#settings = await this.#readReachSettings();
    const mirrors = await this.#mirrors();
    let failure: unknown;
    for (const mirror of mirrors) {
      try {
        return await this.#ask(mirror);
      } catch (error) {
        this.#options.signal.throwIfAborted();
        failure ??= error;
      }
    }
    throw failure;
  }

  /** Fetches as apt would: through its proxy, where it has one. */
  ports(url: string): { ports: DownloadPorts; client: Deno.HttpClient | undefined } {
    const scheme = url.startsWith("https:") ? "https" : "http";
    const proxy = aptProxy(this.#settings, scheme);
    if (proxy === undefined) return { ports: REAL_DOWNLOAD_PORTS, client: undefined };
    const { origin, username, password } = new URL(proxy);
    const basicAuth = username === "" ? {} : {
      basicAuth: {
        username: decodeURIComponent(username),
        password: decodeURIComponent(password),
      },
    };
    const client = Deno.createHttpClient({ proxy: { url: origin, ...basicAuth } });
    const viaProxy = (address: string, init: RequestInit) =>
      fetch(address, { ...init, client } as RequestInit);
    return { ports: { ...REAL_DOWNLOAD_PORTS, fetch: viaProxy }, client };
  }

  async #mirrors(): Promise<AptMirror[]> {
    const { aptDir = "/etc/apt", debian } = this.#options;
    const mirrors = chooseMirrors(await readAptSources(aptDir), debian);
    if (mirrors.length === 0) throw new DebianError("apt's sources name no mirror of Debian");
    return await Promise.all(mirrors.map(resolveMirrorList));
  }

  async #readReachSettings(): Promise<string[]> {
    const args = ["dump", "Acquire"];
    const { code, stdout } = await this.#run("apt-config", { args, timeoutMs: LOCAL_TIMEOUT_MS });
    return code === 0 ? reachSettings(stdout) : [];
  }

  async #ask(mirror: AptMirror): Promise<DebianPackage[]> {
    const { debian, accelerator } = this.#options;
    await removeIfAny(this.dir);
    const config = await this.#configure(mirror);
    // The commands must not see the machine's own settings beside ours.
    const env = { APT_CONFIG: config, LC_ALL: "C" };
    const args = ["--quiet", "update"];
    const update = await this.#run("apt-get", { args, env, timeoutMs: UPDATE_TIMEOUT_MS });
    if (update.code !== 0) throw complaint(`Debian ${debian.suite} cannot be read`, update);
    const list = await this.#run("apt-get", {
      args: ["download", "--print-uris", ...packagesFor(debian, accelerator)],
      env,
      timeoutMs: LOCAL_TIMEOUT_MS,
    });
    if (list.code !== 0) throw complaint(`Debian ${debian.suite} lacks a package`, list);
    return parsePrintUris(list.stdout);
  }

  async #configure(mirror: AptMirror): Promise<string> {
    const places = {
      sourceList: join(this.dir, "sources.list"),
      stateDir: join(this.dir, "state"),
      cacheDir: join(this.dir, "cache"),
      status: join(this.dir, "status"),
    };
    // A proxy's address may hold a password.
    await ensureDir(this.dir, 0o700);
    await ensureDir(join(places.stateDir, "lists", "partial"));
    await ensureDir(join(places.cacheDir, "archives", "partial"));
    await Deno.writeTextFile(places.status, "");
    await Deno.writeTextFile(places.sourceList, sourceLine(mirror, this.#options.debian));
    const { architecture } = this.#names;
    const own = [`APT::Architecture "${architecture}";`, `APT::Architectures "${architecture}";`];
    const config = join(this.dir, "apt.conf");
    await Deno.writeTextFile(config, aptConfig(places, [...this.#settings, ...own]), {
      mode: 0o600,
    });
    return config;
  }

  async #run(
    command: string,
    options: { args: string[]; timeoutMs: number; env?: Record<string, string> },
  ): Promise<CommandResult> {
    return await runTool(command, { ...options, signal: this.#options.signal });
  }
}

async function fillFromPackages(dir: string, work: {
  readonly found: readonly DebianPackage[];
  readonly version: string;
  readonly names: DebianPlatform;
  readonly apt: PrivateApt;
  readonly options: TryDebianOptions;
}): Promise<EngineManifest> {
  const { found, version, names, apt, options } = work;
  const { debian, signal, platform, accelerator } = options;
  const files = await downloadPackages(found, { version, apt, options });
  const root = join(dir, PREFIX);
  await ensureDir(root);
  try {
    await inParallel(files, (file) => unpackPackage(file, root, signal));
  } finally {
    for (const file of files) await removeIfAny(file);
  }
  await dropUnneeded(root, debian, names);
  const paths = (await walkFiles(root)).map(({ path }) => path);
  const facts = { debian, platform, names, packages: found, version, accelerator, prefix: PREFIX };
  const manifest = describeUnpacked(paths, facts);
  await probeProgram(installOf(manifest, dir).server, signal);
  return manifest;
}

async function unpackPackage(file: string, root: string, signal: AbortSignal): Promise<void> {
  const args = ["--extract", file, root];
  const result = await runTool("dpkg-deb", { args, timeoutMs: LOCAL_TIMEOUT_MS, signal });
  if (result.code !== 0) throw complaint("A package cannot be unpacked", result);
}

async function downloadPackages(
  found: readonly DebianPackage[],
  work: {
    readonly version: string;
    readonly apt: PrivateApt;
    readonly options: TryDebianOptions;
  },
): Promise<string[]> {
  const { engineDir, report, signal } = work.options;
  const what = `engine llama.cpp ${work.version}`;
  const totalBytes = found.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const progress = new CombinedProgress({ what, source: SOURCE, totalBytes, report });
  const { ports, client } = work.apt.ports(found[0]?.url ?? "");
  try {
    const files = await inParallel(found, async ({ url, fileName, sha256, sizeBytes }) => {
      const result = await downloadFile({
        url,
        destination: join(downloadsDirOf(engineDir), fileName.replaceAll(":", "%3a")),
        expectedSha256: sha256,
        expectedBytes: sizeBytes,
        maxBytes: PACKAGE_BYTES_MAX,
        what,
        source: SOURCE,
        report: progress.part(),
        signal,
      }, ports);
      return result.path;
    });
    progress.finish();
    return files;
  } finally {
    client?.close();
  }
}

/** Removes what no program of ours needs: 20 of 60 MiB. */
async function dropUnneeded(
  root: string,
  debian: NativeDebian,
  names: DebianPlatform,
): Promise<void> {
  for (const { path } of await walkFiles(root)) {
    if (!isKept(path, debian, names)) await Deno.remove(join(root, path));
  }
  await removeEmptyFolders(root);
}

async function removeEmptyFolders(dir: string): Promise<boolean> {
  let isEmpty = true;
  for await (const entry of Deno.readDir(dir)) {
    const isGone = entry.isDirectory && await removeEmptyFolders(join(dir, entry.name));
    isEmpty &&= isGone;
  }
  if (isEmpty) await Deno.remove(dir);
  return isEmpty;
}

/** Runs `work` for all items, a few at a time, in order of the results. */
async function inParallel<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = new Array(items.length);
  const queue = items.entries();
  const lane = async () => {
    for (const [index, item] of queue) results[index] = await work(item);
  };
  // All lanes end before the first failure is told: nothing may run on in a folder that goes away.
  const lanes = await Promise.allSettled(Array.from({ length: AT_ONCE }, lane));
  for (const end of lanes) if (end.status === "rejected") throw end.reason;
  return results;
}

async function runTool(
  command: string,
  options: {
    readonly args: string[];
    readonly timeoutMs: number;
    readonly env?: Record<string, string>;
    readonly signal: AbortSignal;
  },
): Promise<CommandResult> {
  try {
    return await runCommand({ command, ...options });
  } catch (error) {
    if (!(error instanceof CommandError) || error.failure !== "not-found") throw error;
    throw new DebianError(`This machine has no ${command}`, { cause: error });
  }
}

function complaint(what: string, { stderr }: CommandResult): DebianError {
  return new DebianError(`${what}: ${aptComplaint(stderr)}`);
}
