/** What this node could serve: its models on disk, each with what it needs here at least. */
import { estimateNeeds, needsOfPlan } from "~/election/capacity.ts";
import type { DeviceCapacity, DeviceNeed, OfferedModel } from "~/election/ports.ts";
import type { GgufFacts } from "~/engine/gguf/facts.ts";
import { type Memory, planMemory, type PlanRequest } from "~/engine/memory_plan.ts";
import type { DiskModel } from "../disk_models.ts";
import type { Pools } from "./pools.ts";

/** One slot with this context is the least that is of use. */
const LEAST = { parallel: 1, ctxSize: 2_048 };
/** More than any machine has: a plan in it tells what a model needs that does not fit here. */
const ENDLESS_BYTES = 2 ** 50;

/** Makes the offers anew only when the disk or the memory changed. */
export class OwnOffers {
  readonly #requested: PlanRequest;
  #made: {
    readonly disk: readonly DiskModel[];
    readonly devices: readonly DeviceCapacity[];
    readonly offers: readonly OfferedModel[];
  } = { disk: [], devices: [], offers: [] };

  /** @param requested what the user asked of context and slots: a model that cannot give it is not offered */
  constructor(requested: PlanRequest) {
    this.#requested = requested;
  }

  /** Models that can run here or could with more memory; nothing before the memory was looked at. */
  of(disk: readonly DiskModel[], { told, memory }: Pools): readonly OfferedModel[] {
    if (memory === undefined) return [];
    if (this.#made.disk === disk && this.#made.devices === told) return this.#made.offers;
    const offers = disk.flatMap(({ id, sizeBytes, header }): OfferedModel[] => {
      const needs = header === undefined
        ? estimateNeeds(sizeBytes, told)
        : this.#needsOf(header.facts, memory, told);
      return needs === undefined
        ? []
        : [{ id, fingerprint: header?.fingerprint, sizeBytes, needs }];
    });
    this.#made = { disk, devices: told, offers };
    return offers;
  }

  #needsOf(
    facts: GgufFacts,
    memory: Memory,
    devices: readonly DeviceCapacity[],
  ): readonly DeviceNeed[] | undefined {
    const { parallel = LEAST.parallel, ctxSize } = this.#requested;
    const most = facts.contextLength ?? LEAST.ctxSize;
    const requested = { parallel, ctxSize: ctxSize ?? Math.min(LEAST.ctxSize, most) };
    const here = planMemory({ facts, memory, requested });
    const plan = here.ok ? here : planMemory({ facts, memory: endless(memory), requested });
    return plan.ok ? needsOfPlan(plan.parts, devices) : undefined;
  }
}

function endless({ devices }: Memory): Memory {
  return {
    devices: devices.map((device) => ({ ...device, freeBytes: ENDLESS_BYTES })),
    ramFreeBytes: ENDLESS_BYTES,
  };
}
