/**
 * Memory of a member, and what models need of it. Capacity is what is free and what the member's own engines
 * hold: loading a model must not make the member look smaller, or the plan that asked for it would change.
 */
import type { PlanPart } from "../engine/memory_plan.ts";
import { MIB } from "../base/units.ts";
import type { DeviceCapacity, DeviceNeed } from "./ports.ts";
import { steadyStep } from "./steps.ts";

/** Name of the pool that is main memory. All other pools are accelerators with memory of their own. */
export const RAM = "ram";

/** Free memory is told in steps of a fifth, and may leave its step by this much. */
const STEP = { ratio: 1.2, slack: 0.05 };
/** Between two changes of what is told. */
const CHANGE_MS = 30_000;
/** Beyond its file, for a model of which nothing but the size is known: caches, buffers, the program. */
const UNKNOWN_SHARE = 0.15;
const UNKNOWN_BYTES = 256 * MIB;

/** One pool, measured. */
export interface DeviceReading {
  readonly name: string;
  /** Bytes that models may take besides what they hold: what the engine's planner keeps in reserve is taken off. */
  readonly freeBytes: number;
  /** Bytes that our own engines hold there, as they were planned. */
  readonly heldBytes: number;
  /** Bound on both together, from a container or from whoever lends the machine; undefined for none. */
  readonly limitBytes: number | undefined;
}

/** Turns measurements into the coarse capacity of a record. */
export class CapacityMeter {
  #told: readonly DeviceCapacity[] = [];
  #changedMs = Number.NEGATIVE_INFINITY;

  /**
   * The capacity to tell now.
   *
   * @param isMoving an engine is being started or stopped: what is free then is true for nobody, so nothing changes
   */
  read(
    devices: readonly DeviceReading[],
    { isMoving, nowMs }: { readonly isMoving: boolean; readonly nowMs: number },
  ): readonly DeviceCapacity[] {
    const isSame = devices.length === this.#told.length &&
      devices.every(({ name }, index) => this.#told[index]?.name === name);
    if (isSame && (isMoving || nowMs - this.#changedMs < CHANGE_MS)) return this.#told;
    const next = devices.map((device) => this.#coarse(device));
    const isNews = next.some(({ capacityBytes }, index) =>
      capacityBytes !== this.#told[index]?.capacityBytes
    );
    if (isSame && !isNews) return this.#told;
    this.#changedMs = nowMs;
    return this.#told = next;
  }

  #coarse({ name, freeBytes, heldBytes, limitBytes }: DeviceReading): DeviceCapacity {
    const whole = Math.min(Math.max(0, freeBytes) + Math.max(0, heldBytes), limitBytes ?? Infinity);
    const before = this.#told.find((told) => told.name === name)?.capacityBytes ?? 0;
    // What was told is a rounded number, so it stands for the step that it was made from.
    const step = steadyStep(whole, stepAbove(before), STEP);
    return { name, capacityBytes: Math.floor(Math.min(step, limitBytes ?? Infinity)) };
  }
}

/** The exact step of which `told` is the whole part. */
function stepAbove(told: number): number {
  return told <= 0 ? 0 : STEP.ratio ** Math.round(Math.log(told) / Math.log(STEP.ratio));
}

/**
 * What a plan of the engine's memory takes of each pool. Accelerators share in proportion to their size, as
 * llama.cpp deals out layers; with none of their own memory everything is main memory's.
 */
export function needsOfPlan(
  parts: readonly PlanPart[],
  devices: readonly DeviceCapacity[],
): readonly DeviceNeed[] {
  const accelerators = devices.filter(({ name }) => name !== RAM);
  const sum = (where: PlanPart["where"]): number =>
    parts.reduce((bytes, part) => part.where === where ? bytes + part.bytes : bytes, 0);
  if (accelerators.length === 0) return withoutNothing([[RAM, sum("devices") + sum("ram")]]);
  return withoutNothing([...share(sum("devices"), accelerators), [RAM, sum("ram")]]);
}

/** What a model is believed to need of which only the size is known. */
export function estimateNeeds(
  sizeBytes: number,
  devices: readonly DeviceCapacity[],
): readonly DeviceNeed[] {
  const bytes = Math.ceil(sizeBytes * (1 + UNKNOWN_SHARE)) + UNKNOWN_BYTES;
  const accelerators = devices.filter(({ name }) => name !== RAM);
  const room = accelerators.reduce((total, { capacityBytes }) => total + capacityBytes, 0);
  const onAccelerators = Math.min(bytes, room);
  return withoutNothing([...share(onAccelerators, accelerators), [RAM, bytes - onAccelerators]]);
}

function share(bytes: number, devices: readonly DeviceCapacity[]): [string, number][] {
  const room = devices.reduce((total, { capacityBytes }) => total + capacityBytes, 0);
  let left = bytes;
  return devices.map(({ name, capacityBytes }, index) => {
    const isLast = index === devices.length - 1;
    const part = isLast || room === 0 ? left : Math.floor(bytes * capacityBytes / room);
    left -= part;
    return [name, part];
  });
}

function withoutNothing(needs: readonly (readonly [string, number])[]): readonly DeviceNeed[] {
  return needs.filter(([, bytes]) => bytes > 0).map(([device, bytes]) => ({ device, bytes }));
}

/** All pools together. */
export function totalOf(needs: readonly DeviceNeed[]): number {
  return needs.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** A pool that is too small. */
export interface Shortage {
  readonly device: string;
  readonly neededBytes: number;
  readonly freeBytes: number;
}

/** What is missing for `needs` beside what `taken` takes; undefined when it fits. */
export function shortageOf(
  needs: readonly DeviceNeed[],
  devices: readonly DeviceCapacity[],
  taken: readonly (readonly DeviceNeed[])[],
): Shortage | undefined {
  const needed = new Map<string, number>();
  for (const { device, bytes } of needs) needed.set(device, (needed.get(device) ?? 0) + bytes);
  for (const [device, neededBytes] of needed) {
    const freeBytes = freeOn(device, devices, taken);
    if (neededBytes > freeBytes) return { device, neededBytes, freeBytes };
  }
  return undefined;
}

function freeOn(
  device: string,
  devices: readonly DeviceCapacity[],
  taken: readonly (readonly DeviceNeed[])[],
): number {
  const capacity = devices.find(({ name }) => name === device)?.capacityBytes ?? 0;
  const used = taken.flat().reduce(
    (sum, need) => need.device === device ? sum + need.bytes : sum,
    0,
  );
  return Math.max(0, capacity - used);
}

/** Bytes left on all pools together. */
export function leftOver(
  devices: readonly DeviceCapacity[],
  taken: readonly (readonly DeviceNeed[])[],
): number {
  return devices.reduce((sum, { name }) => sum + freeOn(name, devices, taken), 0);
}
