/** What every command works with: where things are, and where its words go. */
import { join } from "node:path";
import process from "node:process";
import { messageOf, UserError } from "~/base/errors.ts";
import { readTextBounded, readTextIfAny, statIfAny } from "~/base/io/files.ts";
import type { ReportProgress, ReportSourceFailure } from "~/base/progress.ts";
import type { CommonFlags } from "./flags.ts";
import { configureLogging } from "./logging.ts";
import { createProgressReporter } from "./progress_line.ts";
import {
  type ConfigFile,
  type Env,
  parseConfig,
  resolveConsolePort,
  resolveHomeDir,
  resolveModelsDir,
} from "./settings.ts";

/** A configuration file is a few lines. */
const CONFIG_BYTES_MAX = 64 * 1024;
/** A file of API keys: some hundred keys at most. */
const KEY_FILE_BYTES_MAX = 64 * 1024;

/** What a command is given. */
export interface CommandContext {
  readonly env: Env;
  readonly config: ConfigFile;
  readonly homeDir: string;
  readonly modelsDir: string;
  readonly consolePort: number;
  /** Whether `--console` said so: then that node is meant, whatever else runs on this home. */
  readonly isConsoleGiven: boolean;
  readonly isJson: boolean;
  /** Writes one line to stdout: data. */
  readonly print: (line: string) => void;
  /** Writes one line to stderr: everything else. */
  readonly tell: (line: string) => void;
  readonly report: ReportProgress;
  readonly onSourceFailure: ReportSourceFailure;
}

/** Reads the environment of this process. */
function processEnv(name: string): string | undefined {
  return Deno.env.get(name);
}

/** Prepares a command: finds its home, reads `config.json`, sends logs to stderr. */
export async function openContext(flags: CommonFlags): Promise<CommandContext> {
  const homeDir = resolveHomeDir(flags, processEnv);
  const config = await readConfig(join(homeDir, "config.json"));
  await configureLogging({
    level: flags.logLevel ?? "info",
    format: flags.logFormat ?? "text",
    write: (line) => writeTo(process.stderr, line),
  });
  const tell = (line: string): void => writeTo(process.stderr, line + "\n");
  return {
    env: processEnv,
    config,
    homeDir,
    modelsDir: resolveModelsDir(homeDir, processEnv),
    consolePort: resolveConsolePort(flags, config),
    isConsoleGiven: flags.console !== undefined,
    isJson: flags.json,
    print: (line) => writeTo(process.stdout, line + "\n"),
    tell,
    report: createProgressReporter({
      isTerminal: Deno.stderr.isTerminal() && flags.logFormat !== "json",
      write: (line) => writeTo(process.stderr, line),
    }),
    onSourceFailure: (source, reason) => tell(`${source} did not work: ${reason}`),
  };
}

/** @throws {UserError} when there is a file that cannot be read or used */
async function readConfig(path: string): Promise<ConfigFile> {
  const info = await statIfAny(path).catch(() => undefined);
  // A pipe would be waited on for ever.
  if (info !== undefined && !info.isFile) {
    throw new UserError(`Cannot read ${path}: it is no file`);
  }
  const text = await readTextIfAny(path, CONFIG_BYTES_MAX).catch((cause) => {
    throw new UserError(`Cannot read ${path}: ${messageOf(cause)}`, { cause });
  });
  return text === undefined ? {} : parseConfig(text, path);
}

/** Writes at once where it can; a reader that went away (`| head`) is no error of ours. */
function writeTo(stream: NodeJS.WriteStream, text: string): void {
  stream.write(text, () => {});
}

/**
 * The API keys of flags and environment; `@file` stands for the lines of a file.
 *
 * @throws {UserError} when such a file cannot be read
 */
export async function readApiKeys(flagKeys: readonly string[], env: Env): Promise<string[]> {
  const given = [...flagKeys, env("MESH_LLM_API_KEY") ?? ""].filter((key) => key !== "");
  const keys: string[] = [];
  for (const key of given) {
    if (key.startsWith("@")) keys.push(...await readKeyFile(key.slice(1)));
    else keys.push(key);
  }
  return keys;
}

async function readKeyFile(path: string): Promise<string[]> {
  const text = await readTextBounded(path, KEY_FILE_BYTES_MAX).catch((cause) => {
    throw new UserError(`Cannot read API keys from ${path}: ${messageOf(cause)}`, {
      cause,
      exitCode: 2,
    });
  });
  const keys = text.split(/\r?\n/).map((line) => line.trim()).filter((line) => line !== "");
  if (keys.length > 0) return keys;
  throw new UserError(`Cannot read API keys from ${path}: the file is empty`, { exitCode: 2 });
}
