/**
 * Owner of the one model that this node serves: brings it up, follows its engine, lets it go.
 * All changes go through one lane; what the outside sees is a snapshot.
 */
import { getLogger } from "@logtape/logtape";
import type { Clock } from "~/base/clock.ts";
import { messageOf, UserError } from "~/base/errors.ts";
import { Lane } from "~/base/lane.ts";
import type { ReportProgress, ReportSourceFailure } from "~/base/progress.ts";
import type { Memory } from "~/engine/memory_plan.ts";
import type { EngineDriver, EngineSnapshot } from "./engine_driver.ts";
import type { Inflight } from "./inflight.ts";
import { EMPTY_SLOT, idOf, nextSlot, type SlotInput, type SlotState } from "./model_slot.ts";
import type {
  ChosenModel,
  EngineSource,
  Fetching,
  LaunchPlanner,
  ModelSource,
  PreparedEngine,
} from "./ports.ts";

const log = getLogger(["mesh-llm", "node"]);

/** Stands for the model's name until one is chosen. */
const UNNAMED = "(the best that fits)";

/** What the local model works with. */
export interface LocalModelPorts {
  readonly clock: Clock;
  readonly engines: EngineSource;
  readonly models: ModelSource;
  readonly planner: LaunchPlanner;
  readonly driver: Pick<EngineDriver, "start" | "stop" | "subscribe" | "snapshot">;
  readonly inflight: Pick<Inflight, "whenIdle">;
  readonly report: ReportProgress;
  readonly onSourceFailure: ReportSourceFailure;
}

interface BringUp {
  readonly chosen: ChosenModel;
  readonly engine: () => Promise<PreparedEngine>;
  readonly fetching: Fetching;
  readonly abort: AbortController;
}

/** Brings up, watches and drops the model of this node. */
export class LocalModel {
  readonly #ports: LocalModelPorts;
  readonly #lane = new Lane();
  readonly #listeners = new Set<(state: SlotState) => void>();
  readonly #unsubscribe: () => void;
  #state: SlotState = EMPTY_SLOT;
  #engine: PreparedEngine | undefined;
  /** Loads and searches that have the lane or wait for it. */
  readonly #underWay = new Set<AbortController>();
  #bringUp: { readonly abort: AbortController; readonly done: Promise<void> } | undefined;

  constructor(ports: LocalModelPorts) {
    this.#ports = ports;
    this.#unsubscribe = ports.driver.subscribe((snapshot) => this.#follow(snapshot));
  }

  /** For display and for one decision; stale as soon as it is returned. */
  get state(): SlotState {
    return this.#state;
  }

  /** The engine, once one was found. */
  get engine(): PreparedEngine | undefined {
    return this.#engine;
  }

  /** Calls `listener` after each change until the returned function is called. */
  subscribe(listener: (state: SlotState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Begins to serve a model, or the best one without a name; resolves when its name is settled.
   *
   * @throws {UserError} when the name means nothing or another model is in the way
   */
  load(name?: string): Promise<string> {
    return this.#run(async (abort) => {
      const before = this.#state;
      const isFree = before.kind === "empty" || before.kind === "failed";
      if (isFree) this.#apply({ kind: "load", id: name ?? UNNAMED });
      const fetching = this.#fetching(abort.signal);
      const engine = once(() => this.#prepareEngine(fetching));
      try {
        if (isFree) this.#bringUp = { abort, done: Promise.resolve() };
        const memory = async (): Promise<Memory> => this.#ports.planner.memory(await engine());
        const chosen = await this.#ports.models.choose(name, { memory, signal: abort.signal });
        if (!isFree) return this.#refuseUnlessSame(chosen.id);
        this.#apply({ kind: "named", id: chosen.id });
        this.#bringUp = { abort, done: this.#bringUpModel({ chosen, engine, fetching, abort }) };
        return chosen.id;
      } catch (error) {
        if (isFree) this.#apply({ kind: "emptied" });
        throw error;
      }
    });
  }

  /**
   * Finds llama.cpp, or fetches it, with no model to run yet; does nothing when it was found before.
   *
   * @throws {UserError} when no source has one
   */
  findEngine(): Promise<void> {
    return this.#run(async (abort) => {
      if (this.#engine !== undefined) return;
      await this.#prepareEngine(this.#fetching(abort.signal));
    });
  }

  /**
   * Stops serving: running requests get `graceMs` milliseconds to end, then the engine is stopped.
   * Does nothing when there is no model.
   */
  drop(graceMs: number): Promise<void> {
    // Not in the lane: a load that holds the lane must hear of it now, and one that waits must not begin.
    const reason = new UserError("Loading was given up: the model was dropped");
    for (const abort of this.#underWay) abort.abort(reason);
    this.#bringUp?.abort.abort(reason);
    return this.#lane.run(async () => {
      await this.#bringUp?.done;
      this.#bringUp = undefined;
      this.#apply({ kind: "drain" });
      await this.#ports.inflight.whenIdle(graceMs);
      await this.#ports.driver.stop();
      this.#apply({ kind: "emptied" });
    });
  }

  /** Ends for good: drops the model and stops listening to the engine. */
  async close(graceMs: number): Promise<void> {
    await this.drop(graceMs);
    this.#unsubscribe();
  }

  /** Does work in the lane that a drop gives up. */
  async #run<T>(work: (abort: AbortController) => Promise<T>): Promise<T> {
    const abort = new AbortController();
    this.#underWay.add(abort);
    try {
      return await this.#lane.run(() => {
        abort.signal.throwIfAborted();
        return work(abort);
      });
    } finally {
      this.#underWay.delete(abort);
    }
  }

  #fetching(signal: AbortSignal): Fetching {
    return {
      report: (progress) => {
        this.#ports.report(progress);
        this.#apply({ kind: "transfer", progress });
      },
      onSourceFailure: this.#ports.onSourceFailure,
      signal,
    };
  }

  async #prepareEngine(fetching: Fetching): Promise<PreparedEngine> {
    this.#engine = await this.#ports.engines.prepare(fetching);
    return this.#engine;
  }

  #refuseUnlessSame(id: string): string {
    const current = idOf(this.#state);
    if (current === id) return id;
    throw new UserError(
      `Cannot load "${id}": this node is busy with "${current}". Drop that first`,
    );
  }

  async #bringUpModel({ chosen, engine, fetching, abort }: BringUp): Promise<void> {
    try {
      const [found, model] = await Promise.all([engine(), chosen.prepare(fetching)]);
      const plan = await this.#ports.planner.plan(found, model);
      abort.signal.throwIfAborted();
      log.info("{explanation}", { explanation: plan.explanation });
      this.#apply({ kind: "start", model: plan.model });
      this.#ports.driver.start(plan.launch);
    } catch (error) {
      // Dropped in the middle: whoever did that empties the slot, and nothing failed.
      if (abort.signal.aborted) return;
      // The half that did not fail must not go on fetching for nobody.
      abort.abort(error);
      this.#apply({ kind: "failed", reason: messageOf(error) });
    }
  }

  #follow(snapshot: EngineSnapshot): void {
    switch (snapshot.phase) {
      case "starting":
        return this.#apply({ kind: "loading", ...percentOf(snapshot.percent) });
      case "ready":
        return this.#apply({
          kind: "ready",
          nowUnixS: Math.floor(this.#ports.clock.wallMs() / 1000),
        });
      case "unhealthy":
      case "restarting":
        return this.#apply({ kind: "restarting", reason: snapshot.reason ?? "the engine stopped" });
      case "failed":
        return this.#apply({ kind: "failed", reason: describeFailure(snapshot) });
      case "stopped":
      case "stopping":
        return;
    }
  }

  #apply(input: SlotInput): void {
    const before = this.#state;
    this.#state = nextSlot(before, input);
    if (this.#state === before) return;
    for (const listener of this.#listeners) listener(this.#state);
  }
}

/** Makes the work happen at the first call, and at no other. */
function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => result ??= work();
}

function percentOf(percent: number | undefined): { readonly percent?: number } {
  return percent === undefined ? {} : { percent };
}

/** The reason with the engine's last words, which usually name the cause better than we can. */
function describeFailure(snapshot: EngineSnapshot): string {
  const reason = snapshot.reason ?? "The engine failed";
  const lastLines = snapshot.lastLines ?? [];
  if (lastLines.length === 0) return reason;
  return `${reason}. Its last lines:\n${lastLines.map((line) => `  ${line}`).join("\n")}`;
}
