import { delimiter, dirname, isAbsolute, join } from "node:path";
import type { SourceAnswer } from "../find.ts";
import { NATIVE_DEBIAN } from "../native.ts";
import { type EnginePlatform, executableName } from "../platform.ts";
import { findExecutable, installIn } from "./bin_dir.ts";
import { probeProgram } from "./probe.ts";

/**
 * Looks for `llama-server` on `PATH`.
 *
 * @throws {EngineUnusableError} when the one that is found does not run
 */
export async function tryPath(options: {
  readonly path: string;
  readonly platform: EnginePlatform;
  readonly signal: AbortSignal;
}): Promise<SourceAnswer> {
  const { path, platform, signal } = options;
  // A relative folder would mean another program after each change of directory.
  const dirs = path.split(delimiter).filter((dir) => isAbsolute(dir));
  const names = [executableName(platform, "llama-server")];
  for (const dir of dirs) {
    const found = await findExecutable(dir, names);
    if (found === undefined) continue;
    const install = await installIn(dir, {
      origin: "path",
      source: `${found}, found on PATH`,
      platform,
      rpcDirs: [...dirs, ...systemRpcDirs(found, platform)],
    });
    await probeProgram(install.server, signal);
    return { kind: "found", install };
  }
  return { kind: "absent", reason: `no ${names[0]} there` };
}

/** Distributions keep the RPC server off `PATH`, in a folder beside. */
function systemRpcDirs(server: string, platform: EnginePlatform): string[] {
  const debian = NATIVE_DEBIAN.platforms[platform];
  if (debian === undefined) return [];
  const { server: serverPath, rpcServer } = NATIVE_DEBIAN.layout;
  if (!server.endsWith(`/${serverPath}`)) return [];
  const root = server.slice(0, -serverPath.length);
  return [join(root, dirname(rpcServer.replaceAll("{triplet}", debian.triplet)))];
}
