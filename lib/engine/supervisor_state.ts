/** The states of the supervision of an engine process, inside and as others see them. Pure. */
import { assertNever } from "../base/errors.ts";

/** Where the engine stands, in one word. */
export type EnginePhase =
  | "stopped"
  | "starting"
  | "ready"
  | "unhealthy"
  | "restarting"
  | "failed"
  | "stopping";

/** The engine as others see it. Holds no secret and nothing of any request. */
export interface EngineSnapshot {
  readonly phase: EnginePhase;
  /** What a start is at. */
  readonly step?: "spawning" | "loading" | "warming";
  /** Share of the weights that is loaded, 0 to 100; absent while unknown. */
  readonly percent?: number;
  readonly pid?: number;
  readonly port?: number;
  /** How often it was started again by itself since it was last asked for. */
  readonly restarts: number;
  /** Why it is unhealthy, restarting or failed: a sentence. */
  readonly reason?: string;
  /** The last lines that a process printed before it ended, for `restarting` and `failed`. */
  readonly lastLines?: readonly string[];
}

interface Child {
  readonly pid: number;
  readonly port: number;
}

/** A process is wanted, and on its way or there. */
export interface Running<Spec> {
  readonly kind: "running";
  readonly spec: Spec;
  readonly stage: "spawning" | "loading" | "warming" | "ready";
  /** Absent until it is born. */
  readonly child?: Child;
  readonly percent?: number;
  /** Last moment of output, or of a change of health. */
  readonly activeMs: number;
  readonly probe: { readonly isOutstanding: boolean; readonly dueMs: number };
  readonly lastHealth?: string;
  readonly healthFailures: number;
  readonly portRetries: number;
  readonly isPortTaken: boolean;
}

/** A process is to end, and something comes after. */
export interface Ending<Spec> {
  readonly kind: "ending";
  readonly then: "stop" | "start" | "restart" | "other-port" | "fail";
  readonly spec: Spec;
  /** Absent until it is born: it cannot be killed before. */
  readonly child?: Child;
  readonly killAtMs?: number;
  readonly reason?: string;
  readonly portRetries: number;
}

/** All states. `waiting` is the pause before another try. */
export type SupervisorState<Spec> =
  | { readonly kind: "stopped" }
  | Running<Spec>
  | Ending<Spec>
  | {
    readonly kind: "waiting";
    readonly spec: Spec;
    readonly untilMs: number;
    readonly reason: string;
    readonly lastLines: readonly string[];
  }
  | { readonly kind: "failed"; readonly reason: string; readonly lastLines: readonly string[] };

/** What others see of `state`. */
export function snapshotOf<Spec>(state: SupervisorState<Spec>, restarts: number): EngineSnapshot {
  switch (state.kind) {
    case "stopped":
      return { phase: "stopped", restarts };
    case "running":
      return runningSnapshot(state, restarts);
    case "ending":
      return {
        phase: phaseOfEnding(state),
        restarts,
        ...state.child,
        ...(state.reason === undefined ? {} : { reason: state.reason }),
      };
    case "waiting": {
      const { reason, lastLines } = state;
      return { phase: "restarting", restarts, reason, lastLines };
    }
    case "failed": {
      const { reason, lastLines } = state;
      return { phase: "failed", restarts, reason, lastLines };
    }
    default:
      return assertNever(state);
  }
}

function runningSnapshot<Spec>(state: Running<Spec>, restarts: number): EngineSnapshot {
  if (state.stage === "ready") return { phase: "ready", restarts, ...state.child };
  return {
    phase: "starting",
    step: state.stage,
    restarts,
    ...state.child,
    ...(state.percent === undefined ? {} : { percent: state.percent }),
  };
}

function phaseOfEnding<Spec>({ then }: Ending<Spec>): EnginePhase {
  switch (then) {
    case "stop":
      return "stopping";
    case "start":
    case "other-port":
      return "starting";
    case "restart":
    case "fail":
      return "unhealthy";
    default:
      return assertNever(then);
  }
}

/** True when nothing that others see differs. */
export function isSameSnapshot(a: EngineSnapshot, b: EngineSnapshot): boolean {
  return a.phase === b.phase && a.step === b.step && a.percent === b.percent &&
    a.pid === b.pid && a.port === b.port && a.restarts === b.restarts &&
    a.reason === b.reason && a.lastLines === b.lastLines;
}
