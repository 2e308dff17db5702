import { join, resolve } from "node:path";
import { UserError } from "~/base/errors.ts";
import { statIfAny } from "~/base/io/files.ts";
import type { SourceAnswer } from "../find.ts";
import type { EngineInstall, EngineOrigin, EngineProgram } from "../install.ts";
import { installOf } from "../manifest.ts";
import { type EnginePlatform, executableName } from "../platform.ts";
import { readInstalled } from "./install_dir.ts";

/** The name of the RPC server, and the one that it had until 2026. */
const RPC_SERVER_NAMES = ["ggml-rpc-server", "rpc-server"];

/**
 * Takes the folder that the user named. It holds `llama-server` itself, or it is an engine that an
 * earlier start installed.
 *
 * @throws {UserError} when it holds neither: a named folder is never passed over
 */
export async function tryBinDir(binDir: string, platform: EnginePlatform): Promise<SourceAnswer> {
  const dir = resolve(binDir);
  const info = await statIfAny(dir);
  if (info === undefined) throw refusal(binDir, "there is no such folder");
  if (!info.isDirectory) throw refusal(binDir, "it is a file; the folder that holds it is wanted");
  const installed = await readInstalled(dir);
  if (installed !== undefined) {
    return { kind: "found", install: { ...installOf(installed.manifest, dir), origin: "bin-dir" } };
  }
  const name = executableName(platform, "llama-server");
  if (await statIfAny(join(dir, name)) === undefined) {
    throw refusal(binDir, `there is no ${name} in it`);
  }
  if (await findExecutable(dir, [name]) === undefined) {
    throw refusal(binDir, `its ${name} is not an executable file`);
  }
  const source = `folder ${dir}`;
  return { kind: "found", install: await installIn(dir, { origin: "bin-dir", source, platform }) };
}

/** The install of plain programs that lie in one folder and need nothing. */
export async function installIn(
  dir: string,
  facts: {
    readonly origin: EngineOrigin;
    readonly source: string;
    readonly platform: EnginePlatform;
    /** Further folders that the RPC server may lie in. */
    readonly rpcDirs?: readonly string[];
  },
): Promise<EngineInstall> {
  const { origin, source, platform, rpcDirs = [] } = facts;
  const rpcNames = RPC_SERVER_NAMES.map((name) => executableName(platform, name));
  let rpcServer: string | undefined;
  for (const rpcDir of [dir, ...rpcDirs]) rpcServer ??= await findExecutable(rpcDir, rpcNames);
  return {
    origin,
    source,
    dir,
    server: plainProgram(join(dir, executableName(platform, "llama-server"))),
    ...(rpcServer === undefined ? {} : { rpcServer: plainProgram(rpcServer) }),
  };
}

/** The first of `names` in a folder that can be executed. */
export async function findExecutable(
  dir: string,
  names: readonly string[],
): Promise<string | undefined> {
  for (const name of names) {
    const info = await statIfAny(join(dir, name)).catch(() => undefined);
    if (info === undefined || !info.isFile) continue;
    // Windows has no such bits: there the name's ending says it.
    if (info.mode === null || (info.mode & 0o111) !== 0) return join(dir, name);
  }
  return undefined;
}

function plainProgram(command: string): EngineProgram {
  return { command, leadingArgs: [], env: {} };
}

function refusal(binDir: string, reason: string): UserError {
  return new UserError(`Cannot use the llama.cpp folder "${binDir}": ${reason}`);
}
