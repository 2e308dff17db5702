/** Plans how a model runs on this machine, from its memory as it is now. */
import { UserError } from "~/base/errors.ts";
import { type OfferedMemory, offeredMemory } from "~/engine/hardware.ts";
import { readHardware } from "~/engine/io/hardware.ts";
import { type Memory, planMemory, type PlanRequest } from "~/engine/memory_plan.ts";
import { launchOf } from "../launch.ts";
import type { LaunchPlan, LaunchPlanner, PreparedEngine, PreparedModel } from "../ports.ts";

/** What the user decided about the plan. */
export interface LocalPlannerOptions {
  /** Accelerator to use; absent for all. */
  readonly device?: string;
  readonly requested: PlanRequest;
}

/** Plans against the memory that is free now. */
export class LocalPlanner implements LaunchPlanner {
  readonly #options: LocalPlannerOptions;
  #offeredBytes = 0;

  constructor(options: LocalPlannerOptions) {
    this.#options = options;
  }

  /** Bytes that this machine offered when it was last looked at; 0 before. */
  get offeredBytes(): number {
    return this.#offeredBytes;
  }

  async memory(engine: PreparedEngine): Promise<Memory> {
    return (await this.#offer(engine)).memory;
  }

  async plan(engine: PreparedEngine, model: PreparedModel): Promise<LaunchPlan> {
    const { memory, deviceNames } = await this.#offer(engine);
    const plan = planMemory({ facts: model.facts, memory, requested: this.#options.requested });
    if (!plan.ok) throw new UserError(plan.message);
    return launchOf({ engine, model, plan, deviceNames });
  }

  async #offer({ facts }: PreparedEngine): Promise<OfferedMemory> {
    const { device, requested: { maxBytes } } = this.#options;
    const offered = offeredMemory(await readHardware(facts), {
      ...(device === undefined ? {} : { device }),
      ...(maxBytes === undefined ? {} : { maxBytes }),
    });
    this.#offeredBytes = offered.offeredBytes;
    return offered;
  }
}
