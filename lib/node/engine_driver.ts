/**
 * Runs one engine: owns its supervisor, its one timer and its process. Inputs are taken one after
 * another, also those that a listener causes while it is told of a change.
 */
import { getLogger } from "@logtape/logtape";
import type { CancelTimer, Clock, Timers } from "~/base/clock.ts";
import { assertNever, messageOf, UserError } from "~/base/errors.ts";
import type { Rng, SecretSource } from "~/base/rng.ts";
import { type ServerCommand, serverCommand, type ServerPlan } from "~/engine/command_line.ts";
import type { EngineFacts, EngineInstall } from "~/engine/install.ts";
import type {
  EngineEndpoint,
  EngineProcess,
  EngineProcesses,
  FreePorts,
  HealthProbe,
} from "~/engine/process.ts";
import {
  type EnginePhase,
  type EngineSnapshot,
  Supervisor,
  type SupervisorEffect,
  type SupervisorInput,
} from "~/engine/supervisor.ts";
import { SUPERVISOR_DEFAULTS, type SupervisorConfig } from "~/engine/supervisor_config.ts";

export type { EnginePhase, EngineSnapshot };

const log = getLogger(["mesh-llm", "engine"]);

/** Bytes of a key: as hard to guess as an AES key. */
const API_KEY_BYTES = 32;
/** Lines of a dead process that are shown with the reason. */
const LAST_LINES_MAX = 12;

/** What is to be run. */
export interface EngineLaunch {
  readonly install: EngineInstall;
  readonly facts: EngineFacts;
  readonly plan: ServerPlan;
}

/** What the driver works with. */
export interface EngineDriverPorts {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly rng: Rng;
  readonly secrets: SecretSource;
  readonly processes: EngineProcesses;
  readonly probe: HealthProbe;
  readonly ports: FreePorts;
  /** Our environment; the engine is given a few members of it. */
  readonly parentEnv: Readonly<Record<string, string>>;
  /** Where engines may keep what they computed once. */
  readonly cacheDir?: string;
  /** @default {SUPERVISOR_DEFAULTS} */
  readonly config?: SupervisorConfig;
}

interface Child {
  readonly number: number;
  readonly process: EngineProcess;
  readonly endpoint: EngineEndpoint;
}

/** Starts, watches and stops one llama-server. */
export class EngineDriver {
  readonly #ports: EngineDriverPorts;
  readonly #config: SupervisorConfig;
  readonly #machine: Supervisor<EngineLaunch>;
  readonly #listeners = new Set<(snapshot: EngineSnapshot) => void>();
  readonly #inputs: SupervisorInput<EngineLaunch>[] = [];
  #isHandling = false;
  #cancelTimer: CancelTimer = () => {};
  #child: Child | undefined;

  constructor(ports: EngineDriverPorts) {
    this.#ports = ports;
    this.#config = ports.config ?? SUPERVISOR_DEFAULTS;
    this.#machine = new Supervisor(this.#config, ports.rng);
  }

  /** For display and for one decision; stale as soon as it is returned. */
  get snapshot(): EngineSnapshot {
    return this.#machine.snapshot;
  }

  /** Where requests go, while the engine is ready. Holds a secret: never log or serialise it. */
  endpoint(): EngineEndpoint | undefined {
    return this.snapshot.phase === "ready" ? this.#child?.endpoint : undefined;
  }

  /** Calls `listener` after each change until the returned function is called; it must not throw. */
  subscribe(listener: (snapshot: EngineSnapshot) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Brings up an engine, in place of the one that may be running; forgets earlier failures. */
  start(launch: EngineLaunch): void {
    this.#feed({ kind: "start", spec: launch });
  }

  /** Ends the engine; resolves when it has ended, or would not in spite of all signals. */
  async stop(): Promise<void> {
    this.#feed({ kind: "stop" });
    if (this.snapshot.phase !== "stopping") return;
    const { stopGraceMs, killAgainMs } = this.#config;
    await new Promise<void>((resolve) => {
      const finish = () => {
        cancel();
        unsubscribe();
        resolve();
      };
      const unsubscribe = this.subscribe(({ phase }) => {
        if (phase !== "stopping") finish();
      });
      const cancel = this.#ports.timers.after(stopGraceMs + 2 * killAgainMs, () => {
        log.error("Cannot end llama-server, process {pid}", { pid: this.snapshot.pid });
        finish();
      });
    });
  }

  #feed(input: SupervisorInput<EngineLaunch>): void {
    this.#inputs.push(input);
    if (this.#isHandling) return;
    this.#isHandling = true;
    try {
      for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
        for (const effect of this.#machine.handle(next, this.#ports.clock.nowMs())) {
          this.#act(effect);
        }
      }
    } finally {
      this.#isHandling = false;
    }
  }

  #act(effect: SupervisorEffect<EngineLaunch>): void {
    switch (effect.kind) {
      case "spawn":
        void this.#spawn(effect.process, effect.spec);
        return;
      case "kill":
        if (this.#child?.number === effect.process) this.#child.process.kill(effect.signal);
        return;
      case "probe":
        void this.#probe(effect.process, effect.isThorough);
        return;
      case "wake":
        return this.#setTimer(effect.atMs);
      case "changed":
        return this.#publish(effect.snapshot);
      default:
        assertNever(effect);
    }
  }

  async #spawn(number: number, launch: EngineLaunch): Promise<void> {
    const child = await this.#tryToSpawn(number, launch);
    if (child === undefined) return;
    const { process, endpoint } = child;
    this.#child = child;
    this.#feed({ kind: "spawned", process: number, pid: process.pid, port: endpoint.port });
    const exit = await process.exited;
    this.#child = undefined;
    const lastLines = exit.lastLines.slice(-LAST_LINES_MAX);
    this.#feed({ kind: "exited", process: number, exit: { ...exit, lastLines } });
  }

  async #tryToSpawn(number: number, launch: EngineLaunch): Promise<Child | undefined> {
    try {
      const endpoint = { port: await this.#ports.ports.take(), apiKey: this.#newApiKey() };
      const process = await this.#ports.processes.spawn({
        name: "llama-server",
        ...this.#commandOf(launch, endpoint),
        onLine: (line) => this.#feed({ kind: "output", process: number, line }),
      });
      return { number, process, endpoint };
    } catch (error) {
      // What a person must act on does not get better by itself.
      const isFinal = error instanceof UserError;
      const reason = messageOf(error);
      this.#feed({ kind: "spawn-failed", process: number, reason, isFinal });
      return undefined;
    }
  }

  #commandOf(launch: EngineLaunch, endpoint: EngineEndpoint): ServerCommand {
    const { parentEnv, cacheDir } = this.#ports;
    return serverCommand({
      facts: launch.facts,
      program: launch.install.server,
      plan: launch.plan,
      ...endpoint,
      parentEnv,
      ...(cacheDir === undefined ? {} : { cacheDir }),
    });
  }

  #newApiKey(): string {
    const bytes = this.#ports.secrets.bytes(API_KEY_BYTES);
    return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  async #probe(number: number, isThorough: boolean): Promise<void> {
    const child = this.#child;
    if (child?.number !== number) return;
    const result = await this.#ports.probe.check(child.endpoint, isThorough);
    this.#feed({ kind: "health", process: number, result });
  }

  #setTimer(atMs: number | undefined): void {
    this.#cancelTimer();
    if (atMs === undefined) return;
    const delayMs = Math.max(0, atMs - this.#ports.clock.nowMs());
    this.#cancelTimer = this.#ports.timers.after(delayMs, () => this.#feed({ kind: "tick" }));
  }

  #publish(snapshot: EngineSnapshot): void {
    // Requests begin with this announcement, and its output may quote them from then on.
    if (snapshot.phase === "ready") this.#child?.process.beginServing();
    logChange(snapshot);
    for (const listener of this.#listeners) listener(snapshot);
  }
}

function logChange(snapshot: EngineSnapshot): void {
  const { phase, pid, reason } = snapshot;
  if (phase === "ready") log.info("llama-server is ready, process {pid}", { pid });
  else if (phase === "restarting") log.warn("{reason}; it is started again", { reason });
  else if (phase === "unhealthy") log.warn("{reason}; it is ended", { reason });
  else if (phase === "failed") log.error("{reason}; it is given up", { reason });
}
