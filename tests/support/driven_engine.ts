/** The engine driver on real processes, with what surrounds it in a node. */
import { join } from "node:path";
import { systemClock, systemRng, systemSecrets, systemTimers } from "~/base/io/system.ts";
import type { ServerPlan } from "~/engine/command_line.ts";
import { engineProcesses } from "~/engine/io/child_process.ts";
import { freePorts } from "~/engine/io/free_port.ts";
import { httpHealthProbe } from "~/engine/io/health.ts";
import { inspectEngine } from "~/engine/io/inspect.ts";
import { openRunDir } from "~/engine/io/run_dir.ts";
import type { EngineInstall } from "~/engine/install.ts";
import type { FreePorts } from "~/engine/process.ts";
import { SUPERVISOR_DEFAULTS, type SupervisorConfig } from "~/engine/supervisor_config.ts";
import { EngineDriver, type EngineLaunch, type EngineSnapshot } from "~/node/engine_driver.ts";
import { fakeEngineInstall, fakeStarts } from "./fake_engine.ts";
import type { FakeStart } from "./fake_engine.ts";
import type { FakeScript } from "./fake_llama_server.ts";

/** Limits that a test can wait for. */
export const QUICK: SupervisorConfig = {
  ...SUPERVISOR_DEFAULTS,
  readyProbeMs: 100,
  retryProbeMs: 20,
  stopGraceMs: 300,
  killAgainMs: 300,
  restartBackoff: { baseMs: 20, capMs: 40 },
};
/** A look at the health of a scripted server that hangs takes so long; a real one has the time that it has in use. */
const HEALTH_TIMEOUT_MS = 1_000;
/** Fails a test that waits in vain; a busy machine needs seconds to start a program. */
const DEADLINE_MS = 60_000;

/** A driver at work. */
export interface DrivenEngine {
  readonly driver: EngineDriver;
  readonly home: string;
  readonly install: EngineInstall;
  /** Every snapshot that was announced, oldest first. */
  readonly seen: readonly EngineSnapshot[];
  /** Starts the engine with `plan`. */
  start(plan?: Partial<ServerPlan>): Promise<void>;
  /** Resolves with the first snapshot, from now on or now, that fits. */
  when(fits: (snapshot: EngineSnapshot) => boolean, what: string): Promise<EngineSnapshot>;
  /** What the scripted server noted of its starts. */
  starts(): Promise<readonly FakeStart[]>;
}

/** Settings of {@link withDrivenEngine}. */
export interface DrivenEngineOptions {
  /** A scripted server, … */
  readonly script?: FakeScript;
  /** … or a real engine. */
  readonly install?: EngineInstall;
  readonly config?: Partial<SupervisorConfig>;
  readonly ports?: FreePorts;
  readonly usesSetpriv?: boolean;
}

const PLAN: ServerPlan = {
  modelPath: "/models/scripted.gguf",
  modelAlias: "scripted",
  contextTokens: 2048,
  slots: 2,
};

/** Runs `use` with a driver in a home of its own; whatever still runs after it is ended. */
export async function withDrivenEngine(
  options: DrivenEngineOptions,
  use: (engine: DrivenEngine) => Promise<void>,
): Promise<void> {
  const home = await Deno.makeTempDir();
  const runDir = await openRunDir(home);
  const startsFile = join(home, "starts.jsonl");
  const install = options.install ??
    await fakeEngineInstall(home, { startsFile, ...options.script });
  const { usesSetpriv = true } = options;
  const driver = new EngineDriver({
    clock: systemClock,
    timers: systemTimers,
    rng: systemRng,
    secrets: systemSecrets,
    processes: engineProcesses({
      runDir,
      logPath: join(home, "logs", "llama-server.log"),
      usesSetpriv,
    }),
    probe: httpHealthProbe(options.install ? {} : { timeoutMs: HEALTH_TIMEOUT_MS }),
    ports: options.ports ?? freePorts,
    parentEnv: Deno.env.toObject(),
    cacheDir: join(home, "cache"),
    config: { ...QUICK, ...options.config },
  });
  try {
    await use(drive(driver, { home, install, startsFile }));
  } finally {
    await driver.stop();
    await runDir.close();
    await Deno.remove(home, { recursive: true });
  }
}

function drive(
  driver: EngineDriver,
  { home, install, startsFile }: {
    readonly home: string;
    readonly install: EngineInstall;
    readonly startsFile: string;
  },
): DrivenEngine {
  const seen: EngineSnapshot[] = [];
  driver.subscribe((snapshot) => seen.push(snapshot));
  return {
    driver,
    home,
    install,
    seen,
    async start(plan = {}): Promise<void> {
      const launch: EngineLaunch = {
        install,
        facts: await inspectEngine(install, { parentEnv: Deno.env.toObject() }),
        plan: { ...PLAN, ...plan },
      };
      driver.start(launch);
    },
    when: (fits, what) => whenSnapshot(driver, fits, what),
    starts: () => fakeStarts(startsFile),
  };
}

function whenSnapshot(
  driver: EngineDriver,
  fits: (snapshot: EngineSnapshot) => boolean,
  what: string,
): Promise<EngineSnapshot> {
  if (fits(driver.snapshot)) return Promise.resolve(driver.snapshot);
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      unsubscribe();
      reject(new Error(`Waited in vain until ${what}: ${JSON.stringify(driver.snapshot)}`));
    }, DEADLINE_MS);
    const unsubscribe = driver.subscribe((snapshot) => {
      if (!fits(snapshot)) return;
      clearTimeout(timer);
      unsubscribe();
      resolve(snapshot);
    });
  });
}
