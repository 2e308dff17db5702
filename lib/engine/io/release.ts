import { join } from "node:path";
import { messageOf } from "~/base/errors.ts";
import { downloadFile } from "~/base/io/download.ts";
import { removeIfAny } from "~/base/io/files.ts";
import type { ReportProgress } from "~/base/progress.ts";
import { shownUrl } from "~/base/transfer.ts";
import { GIB, MIB } from "~/base/units.ts";
import { findProgram } from "../archive.ts";
import { CombinedProgress } from "../combined_progress.ts";
import type { SourceAnswer } from "../find.ts";
import { type EngineManifest, installOf } from "../manifest.ts";
import type { NativeReleases } from "../native.ts";
import { type Accelerator, type EnginePlatform, executableName } from "../platform.ts";
import { chooseAssets, parseRelease, type ReleaseChoice, ReleaseError } from "../release.ts";
import { unpackArchive } from "./extract.ts";
import { downloadsDirOf, installOnce } from "./install_dir.ts";
import { probeProgram } from "./probe.ts";

/** Upstream's release API. */
export const RELEASE_API_BASE = "https://api.github.com";

/** A release of 40 assets is about 80 KiB of JSON. */
const API_BYTES_MAX = 1 * MIB;
/** Time for the API's whole answer: where it cannot be reached, the next source must not wait long. */
const API_TIMEOUT_MS = 5000;
/** The largest archive, with CUDA's libraries, has about 600 MiB. */
const ARCHIVE_BYTES_MAX = 2 * GIB;
/** Folder of the unpacked archive inside the install. */
const PREFIX = "llama.cpp";

/** What is wanted from upstream. */
export interface TryReleaseOptions {
  readonly engineDir: string;
  readonly platform: EnginePlatform;
  /** In the order of preference. */
  readonly accelerators: readonly Accelerator[];
  readonly releases: NativeReleases;
  readonly apiBase: string;
  readonly report: ReportProgress;
  readonly signal: AbortSignal;
}

/**
 * Installs the pinned build from upstream's release archives. A build that does not run here, for
 * want of a driver, gives way to the next accelerator.
 *
 * @throws {ReleaseError} saying what every accelerator failed from
 */
export async function tryRelease(options: TryReleaseOptions): Promise<SourceAnswer> {
  const { accelerators, releases, platform, apiBase, signal } = options;
  const assets = parseRelease(await askApi(options), apiBase);
  const reasons: string[] = [];
  for (const accelerator of accelerators) {
    try {
      const wanted = { releases, platform, accelerators: [accelerator] };
      const install = await installChoice(chooseAssets(assets, wanted), options);
      return { kind: "found", install };
    } catch (error) {
      signal.throwIfAborted();
      reasons.push(messageOf(error));
    }
  }
  throw new ReleaseError(reasons.join("; "));
}

async function askApi({ releases, apiBase, signal }: TryReleaseOptions): Promise<string> {
  const url = `${apiBase}/repos/${releases.repository}/releases/tags/${releases.tag}`;
  const timeout = new AbortController();
  const timer = setTimeout(() => timeout.abort(), API_TIMEOUT_MS);
  try {
    const response = await fetch(url, {
      headers: { accept: "application/vnd.github+json", "user-agent": "mesh-llm" },
      signal: AbortSignal.any([signal, timeout.signal]),
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw new ReleaseError(`${shownUrl(url)} answered ${response.status}`);
    }
    return await readBounded(response);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ReleaseError) throw error;
    if (timeout.signal.aborted) {
      throw new ReleaseError(`${shownUrl(url)} did not answer within ${API_TIMEOUT_MS} ms`);
    }
    throw new ReleaseError(`${new URL(url).host} cannot be reached`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function readBounded(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let total = 0;
  for await (const chunk of response.body ?? []) {
    total += chunk.byteLength;
    if (total > API_BYTES_MAX) {
      throw new ReleaseError(`The release API answered more than ${API_BYTES_MAX} bytes`);
    }
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

async function installChoice(choice: ReleaseChoice, options: TryReleaseOptions) {
  const { engineDir, releases, platform, signal } = options;
  const name = `release-${releases.tag}-${platform}-${choice.accelerator}`;
  const fill = async (dir: string): Promise<EngineManifest> => {
    const archives = await downloadAll(choice, options);
    try {
      const paths: string[] = [];
      for (const archive of archives) {
        paths.push(...await unpackArchive(archive, join(dir, PREFIX), { signal }));
      }
      const manifest = describe(paths, choice, options);
      await probeProgram(installOf(manifest, dir).server, signal);
      return manifest;
    } finally {
      // Of no use either way: unpacked, or checked and yet not fit for this machine.
      for (const archive of archives) await removeIfAny(archive);
    }
  };
  const installed = await installOnce({ engineDir, name, signal, fill });
  return installOf(installed.manifest, installed.dir);
}

async function downloadAll(
  { assets }: ReleaseChoice,
  { engineDir, releases, report, signal }: TryReleaseOptions,
): Promise<string[]> {
  const what = `engine llama.cpp ${releases.tag}`;
  const source = "release archive";
  const totalBytes = assets.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const progress = new CombinedProgress({ what, source, totalBytes, report });
  const paths: string[] = [];
  for (const { name, url, sizeBytes, sha256 } of assets) {
    const destination = join(downloadsDirOf(engineDir), name);
    await downloadFile({
      url,
      destination,
      expectedSha256: sha256,
      expectedBytes: sizeBytes,
      maxBytes: ARCHIVE_BYTES_MAX,
      headers: { "user-agent": "mesh-llm" },
      what,
      source,
      report: progress.part(),
      signal,
    });
    paths.push(destination);
  }
  progress.finish();
  return paths;
}

function describe(
  paths: readonly string[],
  { accelerator, assets }: ReleaseChoice,
  { platform, releases }: TryReleaseOptions,
): EngineManifest {
  const namesOf = (names: string[]) => names.map((name) => executableName(platform, name));
  const server = findProgram(paths, namesOf(["llama-server"]));
  const rpcServer = findProgram(paths, namesOf(["ggml-rpc-server", "rpc-server"]));
  if (server === undefined) {
    throw new ReleaseError(`${assets[0]?.name} holds no llama-server`);
  }
  return {
    origin: "release",
    source: `release archive ${assets[0]?.name}`,
    platform,
    accelerator,
    version: releases.version,
    tag: releases.tag,
    server: layoutOf(server),
    ...(rpcServer === undefined ? {} : { rpcServer: layoutOf(rpcServer) }),
  };
}

/** Libraries lie beside the programs. */
function layoutOf(path: string) {
  const program = `${PREFIX}/${path}`;
  return { program, libraryPath: [program.slice(0, program.lastIndexOf("/"))] };
}
