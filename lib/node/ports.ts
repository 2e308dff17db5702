/** What a node needs from the rooms and from the world to serve a model; `lib/cli` supplies it. */
import type { ReportProgress, ReportSourceFailure } from "~/base/progress.ts";
import type { EngineFacts, EngineInstall } from "~/engine/install.ts";
import type { GgufFacts } from "~/engine/gguf/facts.ts";
import type { Memory } from "~/engine/memory_plan.ts";
import type { EngineLaunch } from "~/node/engine_driver.ts";
import type { SlotModel } from "./model_slot.ts";

/** How a long search or download talks to its caller. */
export interface Fetching {
  readonly report: ReportProgress;
  readonly onSourceFailure: ReportSourceFailure;
  /** Aborted when nobody wants the result any more. */
  readonly signal: AbortSignal;
}

/** A llama.cpp that is here, with what it says about itself. */
export interface PreparedEngine {
  readonly install: EngineInstall;
  readonly facts: EngineFacts;
}

/** Finds llama.cpp, or fetches it. */
export interface EngineSource {
  /** @throws {UserError} when no source has one */
  prepare(fetching: Fetching): Promise<PreparedEngine>;
}

/** A model whose name is settled; its file may still have to be fetched. */
export interface ChosenModel {
  readonly id: string;
  /** Fetches the file where needed, and reads its header. */
  prepare(fetching: Fetching): Promise<PreparedModel>;
}

/** A model whose file is here. */
export interface PreparedModel {
  readonly id: string;
  readonly path: string;
  readonly sizeBytes: number;
  /** SHA-256 of the header in hexadecimal, ":", the size in bytes. */
  readonly fingerprint?: string;
  readonly facts: GgufFacts;
}

/** Turns names into files. */
export interface ModelSource {
  /**
   * Settles what is meant by a name; without one, the best model on disk that fits.
   *
   * @param options.memory asked only when several models must be weighed; may take as long as a download
   * @throws {UserError} when the name means nothing
   */
  choose(
    name: string | undefined,
    options: { readonly memory: () => Promise<Memory>; readonly signal: AbortSignal },
  ): Promise<ChosenModel>;
}

/** How a model will be run here. */
export interface LaunchPlan {
  readonly launch: EngineLaunch;
  readonly model: SlotModel;
  /** For people: what the memory is planned for. */
  readonly explanation: string;
}

/** Decides how a model runs on this machine. */
export interface LaunchPlanner {
  /** Memory that models may take now. */
  memory(engine: PreparedEngine): Promise<Memory>;
  /** @throws {UserError} when it does not fit, with what is needed and what is there */
  plan(engine: PreparedEngine, model: PreparedModel): Promise<LaunchPlan>;
}
