/** Memory of this node as its record tells it: one pool for each accelerator with its own memory, and main memory. */
import { CapacityMeter, type DeviceReading, RAM } from "~/election/capacity.ts";
import type { DeviceCapacity, SpeedClass } from "~/election/ports.ts";
import {
  type Memory,
  type PlanPart,
  sumOf,
  usableDevice,
  usableRam,
} from "~/engine/memory_placement.ts";

/** What is true of the engine at a measurement. */
export interface EngineUse {
  /** The plan of the engine that runs; none when none does. */
  readonly held: readonly PlanPart[];
  /** It is being started or stopped. */
  readonly isMoving: boolean;
  /** Bound on everything together, from whoever lends the machine. */
  readonly maxBytes: number | undefined;
  readonly nowMs: number;
}

/** Measures memory, and tells it in coarse steps. */
export class Pools {
  readonly #meter = new CapacityMeter();
  #memory: Memory | undefined;
  #told: readonly DeviceCapacity[] = [];
  /** The most main memory that was usable while no engine of ours ran. */
  #idleRamBytes = 0;

  /** What to tell; the same object while nothing changes. */
  get told(): readonly DeviceCapacity[] {
    return this.#told;
  }

  /** As it would be with no engine running: what models are planned in. Undefined before the first look. */
  get memory(): Memory | undefined {
    return this.#memory;
  }

  get speed(): SpeedClass {
    const devices = this.#memory?.devices ?? [];
    if (devices.some(({ sharesRam }) => sharesRam !== true)) return 2;
    return devices.length > 0 ? 1 : 0;
  }

  /** Takes in a measurement; returns whether there is something else to tell than before. */
  measure(memory: Memory, use: EngineUse): boolean {
    const before = this.#told;
    const { held, isMoving, maxBytes, nowMs } = use;
    const free = usableRam(memory);
    const own = memory.devices.filter(({ sharesRam }) => sharesRam !== true);
    const heldRam = own.length === 0 ? sumOf(held) : sumOf(held, { where: "ram" });
    if (held.length === 0 && !isMoving) this.#idleRamBytes = free;
    else this.#idleRamBytes ||= free + heldRam;
    // Weights that are mapped from their file count as free too: together never more than without an engine.
    const heldBytes = Math.max(0, Math.min(heldRam, this.#idleRamBytes - free));
    // Accelerators were asked before the engine started: what it holds there is in their free memory.
    const readings: DeviceReading[] = own.map((device) => ({
      name: device.name,
      freeBytes: usableDevice(device),
      heldBytes: 0,
      limitBytes: maxBytes,
    }));
    readings.push({ name: RAM, freeBytes: free, heldBytes, limitBytes: maxBytes });
    this.#told = this.#meter.read(readings, { isMoving, nowMs });
    if (!isMoving || this.#memory === undefined) {
      this.#memory = { ...memory, ramFreeBytes: memory.ramFreeBytes + heldBytes };
    }
    return this.#told !== before;
  }
}
