/**
 * Decides about one engine process from start to end: when it is started, looked at, killed, started
 * again and given up. Pure; `lib/node/engine_driver.ts` acts.
 *
 *   stopped --start--> starting --healthy--> ready --sick--> unhealthy (is being ended)
 *      ^                  |  ^                 |                 |
 *      |                crash '--- restarting <+-----crash-------'
 *      |                  '--too often--> failed
 *      '------------------------ stopping <--stop-- (any)
 *
 * Holds in every state: at most one process exists; it exists from the effect `spawn` on until
 * `spawn-failed` or `exited` came. A new one is never started before, because the old one holds the
 * memory that the new one needs. Each process has a number, and what is said of an earlier one is ignored.
 * Each state that is not an end waits for a timer, for a process or for an answer that is under way.
 *
 * @module
 */
import { backoffMs } from "../base/backoff.ts";
import { assertNever } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import { formatMs } from "../base/units.ts";
import { parseLoadLine } from "./load_progress.ts";
import type { EndSignal, HealthResult, ProcessExit } from "./process.ts";
import type { SupervisorConfig } from "./supervisor_config.ts";
import {
  type Ending,
  type EnginePhase,
  type EngineSnapshot,
  isSameSnapshot,
  type Running,
  snapshotOf,
  type SupervisorState,
} from "./supervisor_state.ts";

export type { EnginePhase, EngineSnapshot };

/** What the machine is told. `process` is the number that the effect `spawn` gave. */
export type SupervisorInput<Spec> =
  | { readonly kind: "start"; readonly spec: Spec }
  | { readonly kind: "stop" }
  | { readonly kind: "tick" }
  | {
    readonly kind: "spawned";
    readonly process: number;
    readonly pid: number;
    readonly port: number;
  }
  | {
    readonly kind: "spawn-failed";
    readonly process: number;
    readonly reason: string;
    /** True when another try would fail the same way. */
    readonly isFinal: boolean;
  }
  | { readonly kind: "exited"; readonly process: number; readonly exit: ProcessExit }
  | { readonly kind: "output"; readonly process: number; readonly line: string }
  | { readonly kind: "health"; readonly process: number; readonly result: HealthResult };

/** What the machine wants done. Each `probe` is answered by one `health`. */
export type SupervisorEffect<Spec> =
  | { readonly kind: "spawn"; readonly process: number; readonly spec: Spec }
  | { readonly kind: "kill"; readonly process: number; readonly signal: EndSignal }
  | { readonly kind: "probe"; readonly process: number; readonly isThorough: boolean }
  /** Replaces the one timer; without a moment there is none. */
  | { readonly kind: "wake"; readonly atMs?: number }
  | { readonly kind: "changed"; readonly snapshot: EngineSnapshot };

type Effects<Spec> = SupervisorEffect<Spec>[];

/** The machine of one engine process. `Spec` is what the driver needs to start one; it is not looked at. */
export class Supervisor<Spec> {
  readonly #config: SupervisorConfig;
  readonly #rng: Rng;
  #state: SupervisorState<Spec> = { kind: "stopped" };
  #process = 0;
  #snapshot: EngineSnapshot;
  #wakeMs: number | undefined;
  /** Moments of the latest crashes, oldest first. */
  #crashes: number[] = [];
  #loadCrashes = 0;
  #restarts = 0;

  constructor(config: SupervisorConfig, rng: Rng) {
    this.#config = config;
    this.#rng = rng;
    this.#snapshot = snapshotOf(this.#state, this.#restarts);
  }

  /** The state in the outside's words. */
  get snapshot(): EngineSnapshot {
    return this.#snapshot;
  }

  /** Takes in what happened at `nowMs`; returns what is to be done, in this order. */
  handle(input: SupervisorInput<Spec>, nowMs: number): Effects<Spec> {
    const effects: Effects<Spec> = [];
    this.#dispatch(input, nowMs, effects);
    const wakeMs = this.#nextWakeMs();
    // The timer may have rung early, or be an old one: after a tick it is always set anew.
    if (wakeMs !== this.#wakeMs || input.kind === "tick") {
      this.#wakeMs = wakeMs;
      effects.push(wakeMs === undefined ? { kind: "wake" } : { kind: "wake", atMs: wakeMs });
    }
    const snapshot = snapshotOf(this.#state, this.#restarts);
    if (!isSameSnapshot(snapshot, this.#snapshot)) {
      this.#snapshot = snapshot;
      effects.push({ kind: "changed", snapshot });
    }
    return effects;
  }

  #dispatch(input: SupervisorInput<Spec>, nowMs: number, effects: Effects<Spec>): void {
    if ("process" in input && !this.#isAbout(input.process)) return;
    switch (input.kind) {
      case "start":
        return this.#start(input.spec, nowMs, effects);
      case "stop":
        return this.#stop(nowMs, effects);
      case "tick":
        return this.#tick(nowMs, effects);
      case "spawned":
        return this.#spawned(input, nowMs, effects);
      case "spawn-failed":
        return this.#spawnFailed(input, nowMs, effects);
      case "exited":
        return this.#exited(input.exit, nowMs, effects);
      case "output":
        return this.#output(input.line, nowMs, effects);
      case "health":
        return this.#health(input.result, nowMs, effects);
      default:
        return assertNever(input);
    }
  }

  #isAbout(process: number): boolean {
    return process === this.#process &&
      (this.#state.kind === "running" || this.#state.kind === "ending");
  }

  #start(spec: Spec, nowMs: number, effects: Effects<Spec>): void {
    this.#crashes = [];
    this.#loadCrashes = 0;
    this.#restarts = 0;
    const state = this.#state;
    if (state.kind === "running") {
      this.#end(state, { then: "start", spec, nowMs }, effects);
    } else if (state.kind === "ending") {
      this.#state = { ...state, then: "start", spec };
    } else {
      this.#spawn(spec, nowMs, effects, 0);
    }
  }

  #stop(nowMs: number, effects: Effects<Spec>): void {
    const state = this.#state;
    if (state.kind === "running") {
      this.#end(state, { then: "stop", spec: state.spec, nowMs }, effects);
    } else if (state.kind === "ending") {
      this.#state = { ...state, then: "stop" };
    } else {
      this.#state = { kind: "stopped" };
    }
  }

  #spawn(spec: Spec, nowMs: number, effects: Effects<Spec>, portRetries: number): void {
    this.#process += 1;
    this.#state = {
      kind: "running",
      spec,
      stage: "spawning",
      activeMs: nowMs,
      probe: { isOutstanding: false, dueMs: nowMs },
      healthFailures: 0,
      portRetries,
      isPortTaken: false,
    };
    effects.push({ kind: "spawn", process: this.#process, spec });
  }

  /** Ends the process of `state`, or waits for its birth to end it. */
  #end(
    state: Running<Spec>,
    { nowMs, ...plan }: Pick<Ending<Spec>, "then" | "spec" | "reason"> & { nowMs: number },
    effects: Effects<Spec>,
  ): void {
    this.#state = { kind: "ending", ...plan, portRetries: state.portRetries };
    if (state.child === undefined) return;
    this.#state = {
      ...this.#state,
      child: state.child,
      killAtMs: nowMs + this.#config.stopGraceMs,
    };
    effects.push({ kind: "kill", process: this.#process, signal: "SIGTERM" });
  }

  #spawned(
    { pid, port }: { readonly pid: number; readonly port: number },
    nowMs: number,
    effects: Effects<Spec>,
  ): void {
    const state = this.#state;
    const child = { pid, port };
    if (state.kind === "ending") {
      this.#state = { ...state, child, killAtMs: nowMs + this.#config.stopGraceMs };
      effects.push({ kind: "kill", process: this.#process, signal: "SIGTERM" });
    } else if (state.kind === "running") {
      this.#state = { ...state, child, stage: "loading", activeMs: nowMs };
      this.#probe(effects);
    }
  }

  #spawnFailed(
    { reason, isFinal }: { readonly reason: string; readonly isFinal: boolean },
    nowMs: number,
    effects: Effects<Spec>,
  ): void {
    const state = this.#state;
    if (state.kind === "ending") {
      this.#afterEnd(state, [], nowMs, effects);
    } else if (isFinal) {
      this.#state = { kind: "failed", reason, lastLines: [] };
    } else if (state.kind === "running") {
      this.#crashed({ spec: state.spec, wasReady: false, reason, lastLines: [], nowMs });
    }
  }

  #exited(exit: ProcessExit, nowMs: number, effects: Effects<Spec>): void {
    const state = this.#state;
    const { lastLines } = exit;
    if (state.kind === "ending") {
      this.#afterEnd(state, lastLines, nowMs, effects);
    } else if (state.kind === "running") {
      if (state.isPortTaken) return this.#tryOtherPort(state, nowMs, effects);
      const wasReady = state.stage === "ready";
      const reason = describeExit(exit, wasReady);
      this.#crashed({ spec: state.spec, wasReady, reason, lastLines, nowMs });
    }
  }

  #afterEnd(
    state: Ending<Spec>,
    lastLines: readonly string[],
    nowMs: number,
    effects: Effects<Spec>,
  ): void {
    const { then, spec, reason = "llama-server was ended" } = state;
    switch (then) {
      case "stop":
        this.#state = { kind: "stopped" };
        return;
      case "start":
        return this.#spawn(spec, nowMs, effects, 0);
      case "other-port":
        return this.#tryOtherPort(state, nowMs, effects);
      case "restart":
        return this.#crashed({ spec, wasReady: true, reason, lastLines, nowMs });
      case "fail":
        this.#state = { kind: "failed", reason, lastLines };
        return;
      default:
        assertNever(then);
    }
  }

  #tryOtherPort(
    state: { readonly spec: Spec; readonly portRetries: number },
    nowMs: number,
    effects: Effects<Spec>,
  ): void {
    if (state.portRetries < this.#config.portRetriesMax) {
      return this.#spawn(state.spec, nowMs, effects, state.portRetries + 1);
    }
    const reason = `llama-server could not listen: ${
      state.portRetries + 1
    } ports in a row were taken by others`;
    this.#state = { kind: "failed", reason, lastLines: [] };
  }

  #crashed(crash: {
    readonly spec: Spec;
    readonly wasReady: boolean;
    readonly reason: string;
    readonly lastLines: readonly string[];
    readonly nowMs: number;
  }): void {
    const { spec, reason, lastLines, nowMs } = crash;
    const { crashWindowMs, crashesMax, loadCrashesMax, restartBackoff } = this.#config;
    this.#crashes = this.#crashes.filter((atMs) => nowMs - atMs < crashWindowMs);
    this.#crashes.push(nowMs);
    this.#crashes = this.#crashes.slice(-crashesMax);
    this.#loadCrashes = crash.wasReady ? 0 : this.#loadCrashes + 1;
    if (this.#loadCrashes >= loadCrashesMax) {
      const tries = this.#loadCrashes > 1 ? ` (the last of ${this.#loadCrashes} times)` : "";
      this.#state = { kind: "failed", reason: `${reason}${tries}`, lastLines };
      return;
    }
    // A server that was ready is never given up: a few requests that crash it must not end the service
    // for all others until a person comes. It only takes longer and longer.
    const waitMs = this.#crashes.length < crashesMax
      ? backoffMs(this.#crashes.length - 1, this.#rng, restartBackoff)
      : restartBackoff.capMs;
    this.#state = { kind: "waiting", spec, reason, lastLines, untilMs: nowMs + waitMs };
  }

  #output(line: string, nowMs: number, effects: Effects<Spec>): void {
    const state = this.#state;
    if (state.kind !== "running") return;
    // Once it serves, its lines may quote requests: nothing in them may steer us.
    const progress = state.stage === "ready" ? undefined : parseLoadLine(line);
    if (progress === undefined) {
      this.#state = { ...state, activeMs: nowMs };
      return;
    }
    const isPortTaken = state.isPortTaken || progress.step === "port-taken";
    const isWarming = progress.step === "warming" || progress.step === "ready";
    const percent = progress.percent ?? (isWarming ? 100 : state.percent);
    this.#state = {
      ...state,
      activeMs: nowMs,
      isPortTaken,
      stage: isWarming || state.stage === "warming" ? "warming" : state.stage,
      ...(percent === undefined ? {} : { percent }),
    };
    // It says that it is ready: no need to wait for the next look.
    if (progress.step === "ready") this.#probe(effects);
  }

  #health(result: HealthResult, nowMs: number, effects: Effects<Spec>): void {
    const state = this.#state;
    if (state.kind !== "running") return;
    const dueIn = (ms: number) => ({ isOutstanding: false, dueMs: nowMs + ms });
    const { loadProbeMs, readyProbeMs, retryProbeMs, healthFailuresMax } = this.#config;
    if (result === "ok") {
      this.#loadCrashes = 0;
      const { percent: _, ...rest } = state;
      const probe = dueIn(readyProbeMs);
      this.#state = { ...rest, stage: "ready", healthFailures: 0, activeMs: nowMs, probe };
    } else if (state.stage === "ready") {
      const healthFailures = state.healthFailures + 1;
      this.#state = { ...state, healthFailures, probe: dueIn(retryProbeMs) };
      if (healthFailures < healthFailuresMax) return;
      const reason =
        `llama-server did not answer: its health failed ${healthFailures} times in a row`;
      this.#end(state, { then: "restart", spec: state.spec, reason, nowMs }, effects);
    } else if (result === "foreign") {
      this.#end(state, { then: "other-port", spec: state.spec, nowMs }, effects);
    } else {
      const isChange = result !== state.lastHealth;
      const activeMs = isChange ? nowMs : state.activeMs;
      this.#state = { ...state, activeMs, lastHealth: result, probe: dueIn(loadProbeMs) };
    }
  }

  #probe(effects: Effects<Spec>): void {
    const state = this.#state;
    if (state.kind !== "running" || state.child === undefined || state.probe.isOutstanding) return;
    this.#state = { ...state, probe: { isOutstanding: true, dueMs: state.probe.dueMs } };
    const isThorough = state.stage !== "ready";
    effects.push({ kind: "probe", process: this.#process, isThorough });
  }

  #tick(nowMs: number, effects: Effects<Spec>): void {
    const state = this.#state;
    if (state.kind === "waiting" && nowMs >= state.untilMs) {
      this.#restarts += 1;
      return this.#spawn(state.spec, nowMs, effects, 0);
    }
    if (state.kind === "ending" && state.killAtMs !== undefined && nowMs >= state.killAtMs) {
      this.#state = { ...state, killAtMs: nowMs + this.#config.killAgainMs };
      effects.push({ kind: "kill", process: this.#process, signal: "SIGKILL" });
      return;
    }
    if (state.kind !== "running") return;
    if (nowMs >= this.#stallMs(state)) return this.#giveUpLoad(state, nowMs, effects);
    if (nowMs >= state.probe.dueMs) this.#probe(effects);
  }

  #giveUpLoad(state: Running<Spec>, nowMs: number, effects: Effects<Spec>): void {
    const silence = formatMs(nowMs - state.activeMs);
    const reason = `llama-server did not become ready: it was silent for ${silence}`;
    this.#end(state, { then: "fail", spec: state.spec, reason, nowMs }, effects);
  }

  /** When a load counts as stuck; never for a server that is ready or not yet born. */
  #stallMs(state: Running<Spec>): number {
    const isLoading = state.child !== undefined && state.stage !== "ready";
    return isLoading ? state.activeMs + this.#config.stallMs : Infinity;
  }

  #nextWakeMs(): number | undefined {
    const state = this.#state;
    switch (state.kind) {
      case "stopped":
      case "failed":
        return undefined;
      case "waiting":
        return state.untilMs;
      case "ending":
        return state.killAtMs;
      case "running": {
        const isWaiting = state.child === undefined || state.probe.isOutstanding;
        const wakeMs = Math.min(this.#stallMs(state), isWaiting ? Infinity : state.probe.dueMs);
        return wakeMs === Infinity ? undefined : wakeMs;
      }
      default:
        return assertNever(state);
    }
  }
}

function describeExit(exit: ProcessExit, wasReady: boolean): string {
  const when = wasReady ? "while it served" : "before it was ready";
  if (exit.signal === undefined) return `llama-server ended ${when}, exit status ${exit.code}`;
  const hint = exit.signal === "SIGKILL" ? ", perhaps for want of memory" : "";
  return `llama-server was killed by ${exit.signal} ${when}${hint}`;
}
