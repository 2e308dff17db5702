/**
 * The command line and the environment of llama-server, from what its own help knows. Pure.
 *
 * Flags have moved within months, so each is looked for in the help before it is used. Without three
 * of them (model, host, port) nothing can be run; the others make the server safer or better.
 */
import { UserError } from "../base/errors.ts";
import { MIB } from "../base/units.ts";
import type { EngineFacts, EngineProgram } from "./install.ts";

/** How a model is to be run: what the memory was planned for. */
export interface ServerPlan {
  readonly modelPath: string;
  /** Name that the server gives in its answers. */
  readonly modelAlias: string;
  /** Context length of all slots together, in tokens. */
  readonly contextTokens: number;
  /** Requests answered at once. */
  readonly slots: number;
  /** Most memory for prompts of past conversations. @default {0} */
  readonly promptCacheBytes?: number;
  /** Whole states kept per slot to go back to, for models that need that. */
  readonly contextCheckpoints?: number;
  /** Tokens computed at once that the compute buffers were planned for. */
  readonly batchTokens?: number;
  readonly microBatchTokens?: number;
  /** Devices to compute on; absent for all that the engine has. */
  readonly devices?: readonly string[];
  /** Layers to hold on devices; absent for all. */
  readonly gpuLayers?: number;
  /** Threads that compute; absent for the engine's own choice. */
  readonly threads?: number;
}

/** What decides how the server is started. */
export interface ServerCommandOptions {
  readonly facts: Pick<EngineFacts, "flags" | "devices">;
  readonly program: EngineProgram;
  readonly plan: ServerPlan;
  readonly port: number;
  readonly apiKey: string;
  /** Our own environment, of which only a few variables are handed on. */
  readonly parentEnv: Readonly<Record<string, string>>;
  /** Where the server may keep what it computed once; without it, it gets no such place. */
  readonly cacheDir?: string;
}

/** A program with all that is needed to start it. */
export interface ServerCommand {
  readonly command: string;
  readonly args: readonly string[];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/**
 * Variables handed on to the engine: which accelerators it may use and where their drivers lie,
 * and what Windows needs to start anything at all. Nothing else of ours is its business.
 */
const PASSED_VARIABLES: readonly string[] = [
  "CUDA_VISIBLE_DEVICES",
  "CUDA_DEVICE_ORDER",
  "NVIDIA_VISIBLE_DEVICES",
  "HIP_VISIBLE_DEVICES",
  "ROCR_VISIBLE_DEVICES",
  "HSA_OVERRIDE_GFX_VERSION",
  "GGML_VK_VISIBLE_DEVICES",
  "GGML_CUDA_ENABLE_UNIFIED_MEMORY",
  "VK_ICD_FILENAMES",
  "VK_DRIVER_FILES",
  "ONEAPI_DEVICE_SELECTOR",
  "ZE_AFFINITY_MASK",
  "LD_LIBRARY_PATH",
  "PATH",
  "TMPDIR",
  "SYSTEMROOT",
  "WINDIR",
  "TEMP",
  "TMP",
  "PROGRAMDATA",
];

/**
 * Threads that answer HTTP. Each connection that is kept open holds one until it has been idle for
 * five seconds, and a look at the server's health waits as long when none is left (seen with 0.7.0: 40
 * idle connections, 4.8 s). More than the connections that the proxy keeps, so that it never happens.
 */
const HTTP_THREADS = 96;

/** Verbosity "info": steps of the load, a few lines of numbers per request. */
const LOG_VERBOSITY = 3;

/** Environment of any program of the engine, the server or one that only tells about itself. */
export function engineEnv(
  program: EngineProgram,
  parentEnv: Readonly<Record<string, string>>,
): Record<string, string> {
  const env: Record<string, string> = {};
  for (const name of PASSED_VARIABLES) {
    const value = parentEnv[name];
    if (value !== undefined) env[name] = value;
  }
  // Without it an abort starts a debugger where one is installed, and hangs.
  return { ...env, GGML_NO_BACKTRACE: "1", ...program.env };
}

/**
 * How to start a server for `plan`.
 *
 * @throws {UserError} when this build has no way to be told its model, address or port
 */
export function serverCommand(options: ServerCommandOptions): ServerCommand {
  const { program, plan, port, apiKey, parentEnv, cacheDir } = options;
  const flags = new FlagWriter(options.facts.flags);
  flags.need(["--model", "-m"], plan.modelPath);
  flags.need(["--host"], "127.0.0.1");
  flags.need(["--port"], String(port));
  addPlan(flags, plan);
  addDevices(flags, options);
  addHabits(flags);
  return {
    command: program.command,
    args: [...program.leadingArgs, ...flags.args],
    env: {
      ...engineEnv(program, parentEnv),
      // Not in the arguments: those are visible to every user of the machine.
      LLAMA_API_KEY: apiKey,
      // Makes the server tell its progress, and end when we do (its standard input ends with us).
      LLAMA_SERVER_ROUTER_PORT: "0",
      ...(cacheDir === undefined ? {} : cacheVariables(cacheDir)),
    },
    ...(program.workingDir === undefined ? {} : { cwd: program.workingDir }),
  };
}

/** Drivers keep what they compiled for a card, which can take minutes, in the cache of a user. */
function cacheVariables(cacheDir: string): Record<string, string> {
  return { LLAMA_CACHE: cacheDir, XDG_CACHE_HOME: cacheDir, CUDA_CACHE_PATH: cacheDir };
}

function addPlan(flags: FlagWriter, plan: ServerPlan): void {
  flags.add(["--alias", "-a"], plan.modelAlias);
  flags.add(["--ctx-size", "-c"], String(plan.contextTokens));
  flags.add(["--parallel", "-np"], String(plan.slots));
  // The default of 8 GiB was not planned for.
  const cacheMib = Math.floor((plan.promptCacheBytes ?? 0) / MIB);
  flags.add(["--cache-ram", "-cram"], String(cacheMib));
  if (plan.contextCheckpoints !== undefined) {
    flags.add(["--ctx-checkpoints", "-ctxcp"], String(plan.contextCheckpoints));
  }
  if (plan.batchTokens !== undefined) {
    flags.add(["--batch-size", "-b"], String(plan.batchTokens));
  }
  if (plan.microBatchTokens !== undefined) {
    flags.add(["--ubatch-size", "-ub"], String(plan.microBatchTokens));
  }
  if (plan.threads !== undefined) flags.add(["--threads", "-t"], String(plan.threads));
  // The plan is ours: the server must not shrink or grow it.
  flags.add(["--fit", "-fit"], "off");
}

function addDevices(flags: FlagWriter, { facts, plan }: ServerCommandOptions): void {
  if (plan.devices !== undefined) {
    flags.add(["--device", "-dev"], plan.devices.length === 0 ? "none" : plan.devices.join(","));
  }
  const isOnDevices = facts.devices.length > 0 && plan.devices?.length !== 0;
  if (!isOnDevices) return;
  const layers = plan.gpuLayers === undefined ? "999" : String(plan.gpuLayers);
  flags.add(["--gpu-layers", "--n-gpu-layers", "-ngl"], layers);
}

function addHabits(flags: FlagWriter): void {
  flags.add(["--no-ui", "--no-webui"]);
  flags.add(["--offline"]);
  flags.add(["--jinja"]);
  flags.add(["--metrics"]);
  flags.add(["--cors-origins"], "localhost");
  flags.add(["--threads-http"], String(HTTP_THREADS));
  flags.add(["--log-verbosity", "-lv"], String(LOG_VERBOSITY));
}

/** Collects arguments, each in the first spelling that the help has. */
class FlagWriter {
  readonly args: string[] = [];
  readonly #known: ReadonlySet<string>;

  constructor(known: ReadonlySet<string>) {
    this.#known = known;
  }

  /** Adds a flag; returns false, and adds nothing, when the program has none of the spellings. */
  add(spellings: readonly string[], value?: string): boolean {
    const found = spellings.find((spelling) => this.#known.has(spelling));
    if (found === undefined) return false;
    this.args.push(found, ...(value === undefined ? [] : [value]));
    return true;
  }

  need(spellings: readonly string[], value: string): void {
    if (this.add(spellings, value)) return;
    throw new UserError(
      `Cannot use this llama-server: its help does not name ${spellings.join(" or ")}; ` +
        `take another build with --bin-dir, or none to have one fetched`,
    );
  }
}
