/**
 * Flags beat environment, environment beats `<home>/config.json`. Pure: files and variables are read
 * by the caller.
 */
import { resolve } from "node:path";
import { UserError } from "~/base/errors.ts";
import { isJsonObject } from "~/base/json.ts";
import { GIB } from "~/base/units.ts";
import { ADVERTISED_MAX, parseAdvertised } from "~/node/advertise.ts";
import { API_PORT_DEFAULT, CONSOLE_PORT_DEFAULT, type NodeSettings } from "~/node/settings.ts";
import type { CommonFlags, ServeFlags } from "./flags.ts";

/** A key shorter than this can be guessed. */
const API_KEY_CHARS_MIN = 8;

/** Reads an environment variable; undefined when unset. */
export type Env = (name: string) => string | undefined;

/** What `<home>/config.json` may hold: defaults for some flags. */
export interface ConfigFile {
  readonly model?: string;
  readonly port?: number;
  readonly console?: number;
  readonly ctxSize?: number;
  readonly parallel?: number;
  readonly maxVramGb?: number;
  readonly device?: string;
  readonly binDir?: string;
  readonly apiKeys?: readonly string[];
  readonly bindPort?: number;
  readonly advertise?: readonly string[];
  /** False: an answer that breaks off ends with an error instead of going on elsewhere. */
  readonly continueAnswers?: boolean;
}

type ConfigType = "string" | "number" | "boolean" | "strings";

const CONFIG_TYPES: Readonly<Record<keyof ConfigFile, ConfigType>> = {
  model: "string",
  port: "number",
  console: "number",
  ctxSize: "number",
  parallel: "number",
  maxVramGb: "number",
  device: "string",
  binDir: "string",
  apiKeys: "strings",
  bindPort: "number",
  advertise: "strings",
  continueAnswers: "boolean",
};

/**
 * Reads the text of `config.json`.
 *
 * @throws {UserError} when it is not a JSON object of known members with the right types
 */
export function parseConfig(text: string, path: string): ConfigFile {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(`Cannot read ${path}: it is not JSON (${(error as Error).message})`);
  }
  if (!isJsonObject(value)) throw new UserError(`Cannot use ${path}: it must hold a JSON object`);
  for (const [key, member] of Object.entries(value)) {
    const wanted = Object.hasOwn(CONFIG_TYPES, key) && CONFIG_TYPES[key as keyof ConfigFile];
    if (wanted === false) {
      const known = Object.keys(CONFIG_TYPES).join(", ");
      throw new UserError(`Cannot use ${path}: unknown member "${key}", known are ${known}`);
    }
    if (!isOfType(member, wanted)) {
      throw new UserError(`Cannot use ${path}: "${key}" must be ${describeType(wanted)}`);
    }
  }
  return value as ConfigFile;
}

function isOfType(value: unknown, wanted: ConfigType): boolean {
  if (wanted === "number") return typeof value === "number";
  if (wanted === "string") return typeof value === "string";
  if (wanted === "boolean") return typeof value === "boolean";
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function describeType(wanted: ConfigType): string {
  if (wanted === "boolean") return "true or false";
  return wanted === "strings" ? "a list of strings" : `a ${wanted}`;
}

/** The home folder: flag, then `MESH_LLM_HOME`, then `~/.mesh-llm`. */
export function resolveHomeDir(flags: Pick<CommonFlags, "home">, env: Env): string {
  const chosen = flags.home ?? nonEmpty(env("MESH_LLM_HOME"));
  if (chosen !== undefined) return resolve(chosen);
  const userHome = nonEmpty(env("HOME")) ?? nonEmpty(env("USERPROFILE"));
  if (userHome === undefined) {
    throw new UserError("Cannot find a home folder: set HOME or MESH_LLM_HOME, or pass --home DIR");
  }
  return resolve(userHome, ".mesh-llm");
}

/** Port of the management door of the node that a command is about. */
export function resolveConsolePort(
  flags: Pick<CommonFlags, "console">,
  config: ConfigFile,
): number {
  return checkPort(flags.console ?? config.console ?? CONSOLE_PORT_DEFAULT, "console port");
}

/** Folder of models: `MESH_LLM_MODELS_DIR`, or `models` in the home. */
export function resolveModelsDir(homeDir: string, env: Env): string {
  return resolve(nonEmpty(env("MESH_LLM_MODELS_DIR")) ?? `${homeDir}/models`);
}

/** What the settings are made of. */
export interface SettingsSources {
  readonly flags: ServeFlags;
  readonly env: Env;
  readonly config: ConfigFile;
  /** The API keys of flags and environment, with `@file` already read. */
  readonly apiKeys: readonly string[];
  /** The invite tokens of flags and environment, with `@file` already read. */
  readonly joinTokens: readonly string[];
}

/**
 * Merges the three sources.
 *
 * @throws {UserError} for a value that cannot be used, or `--listen-all` without a key
 */
export function resolveSettings(sources: SettingsSources): NodeSettings {
  const { flags, env, config, apiKeys, joinTokens } = sources;
  const homeDir = resolveHomeDir(flags, env);
  const keys = [...new Set([...apiKeys, ...(apiKeys.length === 0 ? config.apiKeys ?? [] : [])])];
  checkKeys(keys, flags.listenAll);
  const maxVramGb = flags.maxVramGb ?? config.maxVramGb;
  const binDir = flags.binDir ?? nonEmpty(env("MESH_LLM_BIN_DIR")) ?? config.binDir;
  return {
    homeDir,
    modelsDir: resolveModelsDir(homeDir, env),
    apiPort: checkPort(flags.port ?? config.port ?? API_PORT_DEFAULT, "API port"),
    consolePort: resolveConsolePort(flags, config),
    listenAll: flags.listenAll,
    apiKeys: keys,
    isEphemeral: nonEmpty(env("MESH_LLM_EPHEMERAL_KEY")) !== undefined,
    joinTokens,
    continuesAnswers: config.continueAnswers ?? true,
    ...meshSettings(flags, config),
    ...optional("model", flags.client ? undefined : flags.models[0] ?? config.model),
    ...optional("ctxSize", flags.ctxSize ?? config.ctxSize),
    ...optional("parallel", flags.parallel ?? config.parallel),
    ...optional("maxMemoryBytes", maxVramGb === undefined ? undefined : maxVramGb * GIB),
    ...optional("device", flags.device ?? config.device),
    ...optional("binDir", binDir === undefined ? undefined : resolve(binDir)),
  };
}

type MeshSettings = Pick<NodeSettings, "isClient" | "bindPort" | "advertise" | "isClosed">;

function meshSettings(flags: ServeFlags, config: ConfigFile): MeshSettings {
  if (flags.client && flags.models.length > 0) {
    throw new UserError(
      "Refusing --client together with --model: a client serves nothing; leave one of them out",
      { exitCode: 2 },
    );
  }
  const advertise = flags.advertise.length > 0 ? flags.advertise : config.advertise ?? [];
  checkAdvertised(advertise);
  return {
    isClient: flags.client,
    bindPort: checkPort(flags.bindPort ?? config.bindPort ?? 0, "port of peer links"),
    advertise,
    isClosed: flags.closed,
  };
}

function checkAdvertised(advertise: readonly string[]): void {
  const wrong = advertise.find((text) => parseAdvertised(text) === undefined);
  if (wrong !== undefined) {
    throw new UserError(
      `Cannot advertise ${
        JSON.stringify(wrong)
      }: it must be an address or a name that others can ` +
        "dial, with or without :PORT, such as 192.0.2.7:4433, [2001:db8::7]:4433 or home.example.org",
      { exitCode: 2 },
    );
  }
  if (advertise.length > ADVERTISED_MAX) {
    throw new UserError(
      `Cannot advertise ${advertise.length} addresses: ${ADVERTISED_MAX} at most`,
      { exitCode: 2 },
    );
  }
}

function checkKeys(keys: readonly string[], listenAll: boolean): void {
  if (keys.some((key) => key.length < API_KEY_CHARS_MIN)) {
    throw new UserError(
      `Cannot use an API key of fewer than ${API_KEY_CHARS_MIN} characters: it could be guessed`,
      { exitCode: 2 },
    );
  }
  if (listenAll && keys.length === 0) {
    throw new UserError(
      "Refusing --listen-all without an API key: anybody on the network could use this node. " +
        "Pass --api-key KEY (or --api-key @file), or set MESH_LLM_API_KEY",
      { exitCode: 2 },
    );
  }
}

function checkPort(port: number, what: string): number {
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new UserError(`Cannot use ${port} as ${what}: it must be a whole number from 0 to 65535`, {
    exitCode: 2,
  });
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === "" ? undefined : text;
}

function optional<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : { [key]: value } as { readonly [P in K]?: V };
}
