import { dirname, isAbsolute } from "node:path";
import { getLogger } from "@logtape/logtape";
import { messageOf } from "~/base/errors.ts";
import { runCommand } from "~/base/io/command.ts";
import { ensureDir, readTextIfAny, statIfAny, writeFileAtomic } from "~/base/io/files.ts";
import { parseDevices, parseFlags, parseRpcVersion, parseVersion } from "../capabilities.ts";
import { engineEnv } from "../command_line.ts";
import { decodeFacts, encodeFacts, type FileMark, type LastingFacts } from "../facts_cache.ts";
import type { EngineFacts, EngineInstall, EngineProgram } from "../install.ts";

const log = getLogger(["mesh-llm", "engine"]);

/** A first start reads some 40 MiB of libraries, and drivers of accelerators take seconds. */
const TIMEOUT_MS = 30_000;
/** The help of 0.7.0 has 60 KB. */
const OUTPUT_BYTES_MAX = 1024 * 1024;
const CACHE_BYTES_MAX = 256 * 1024;
/**
 * An address that no machine has (RFC 5737): an RPC server that is told to listen there names its
 * version and ends. It must never listen anywhere that others can reach.
 */
const NOBODYS_ADDRESS = "192.0.2.1";

/** Settings of {@link inspectEngine}. */
export interface InspectOptions {
  /** Our environment; a few members are handed on. */
  readonly parentEnv: Readonly<Record<string, string>>;
  /** File that keeps what does not change while the programs do not. */
  readonly cachePath?: string;
  /** For each program. @default {30000} */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Asks an engine what it is and can do. What it does not tell is absent; a program that fails or
 * is too slow tells nothing. Devices are asked for each time: their free memory changes.
 */
export async function inspectEngine(
  install: EngineInstall,
  options: InspectOptions,
): Promise<EngineFacts> {
  const marks = await markFiles(install);
  const [lasting, devices] = await Promise.all([
    lastingFacts(install, marks, options),
    ask(install.server, ["--list-devices"], options).then(parseDevices),
  ]);
  return { ...lasting, devices };
}

async function lastingFacts(
  install: EngineInstall,
  marks: readonly FileMark[],
  options: InspectOptions,
): Promise<LastingFacts> {
  const { cachePath } = options;
  const kept = cachePath === undefined ? undefined : await readCache(cachePath, marks);
  if (kept !== undefined) return kept;
  const facts = await askLasting(install, options);
  // Nothing was told: perhaps a hiccup, so the next start asks again.
  if (cachePath !== undefined && facts.flags.size > 0) await writeCache(cachePath, marks, facts);
  return facts;
}

async function askLasting(
  { server, rpcServer }: EngineInstall,
  options: InspectOptions,
): Promise<LastingFacts> {
  const rpcArgs = ["-H", NOBODYS_ADDRESS, "-p", "50999"];
  const [version, help, banner] = await Promise.all([
    ask(server, ["--version"], options),
    ask(server, ["--help"], options),
    rpcServer === undefined ? "" : ask(rpcServer, rpcArgs, options),
  ]);
  const rpcVersion = parseRpcVersion(banner);
  return {
    ...parseVersion(version),
    ...(rpcVersion === undefined ? {} : { rpcVersion }),
    flags: parseFlags(help),
  };
}

/** Everything that a program prints, on both outputs; nothing when it fails. */
async function ask(
  program: EngineProgram,
  args: readonly string[],
  { parentEnv, timeoutMs = TIMEOUT_MS, signal }: InspectOptions,
): Promise<string> {
  try {
    const { stdout, stderr } = await runCommand({
      command: program.command,
      args: [...program.leadingArgs, ...args],
      env: engineEnv(program, parentEnv),
      clearEnv: true,
      ...(program.workingDir === undefined ? {} : { cwd: program.workingDir }),
      timeoutMs,
      outputBytesMax: OUTPUT_BYTES_MAX,
      ...(signal === undefined ? {} : { signal }),
    });
    return `${stdout}\n${stderr}`;
  } catch (error) {
    signal?.throwIfAborted();
    log.debug("The engine does not answer {args}: {reason}", { args, reason: messageOf(error) });
    return "";
  }
}

/** Size and time of change of each file that is executed: they tell another build from this one. */
async function markFiles({ server, rpcServer }: EngineInstall): Promise<FileMark[]> {
  const programs = rpcServer === undefined ? [server] : [server, rpcServer];
  const named = programs.flatMap(({ command, leadingArgs }) => [command, ...leadingArgs]);
  const paths = [...new Set(named.filter(isAbsolute))].sort();
  const marks = await Promise.all(paths.map(async (path) => {
    const info = await statIfAny(path);
    return info?.isFile !== true
      ? undefined
      : { path, sizeBytes: info.size, changedMs: info.mtime?.getTime() ?? 0 };
  }));
  return marks.filter((mark) => mark !== undefined);
}

async function readCache(
  path: string,
  marks: readonly FileMark[],
): Promise<LastingFacts | undefined> {
  try {
    return decodeFacts(await readTextIfAny(path, CACHE_BYTES_MAX) ?? "", marks);
  } catch (error) {
    log.debug("Cannot use {path}: {reason}", { path, reason: messageOf(error) });
    return undefined;
  }
}

async function writeCache(
  path: string,
  marks: readonly FileMark[],
  facts: LastingFacts,
): Promise<void> {
  try {
    await ensureDir(dirname(path));
    await writeFileAtomic(path, encodeFacts(facts, marks));
  } catch (error) {
    // Only speed is lost.
    log.debug("Cannot keep {path}: {reason}", { path, reason: messageOf(error) });
  }
}
