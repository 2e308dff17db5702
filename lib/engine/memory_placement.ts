/** Shares a model out between accelerators and main memory. */
import { MIB } from "../base/units.ts";
import type { GgufFacts } from "./gguf/facts.ts";
import {
  checkpointBytes,
  computeBytes,
  kvLayerBytes,
  processBytes,
  type Slots,
  stateLayerBytes,
} from "./memory_cost.ts";

/** Memory that can be used. */
export interface Memory {
  /** Accelerators; empty on a machine that computes on its CPU. */
  readonly devices: readonly MemoryDevice[];
  /** Free main memory, within the limits of a container. */
  readonly ramFreeBytes: number;
}

/** One accelerator. */
export interface MemoryDevice {
  readonly name: string;
  readonly freeBytes: number;
  /** True where its memory is main memory (Apple silicon, integrated graphics). @default {false} */
  readonly sharesRam?: boolean;
}

/** Kept free on each accelerator: its driver's own share (up to 0.5 GiB with CUDA) is not counted yet. */
const DEVICE_RESERVE_MIN_BYTES = 512 * MIB;
/** Kept free of main memory for everything else. */
const RAM_RESERVE_MIN_BYTES = 256 * MIB;
/** Kept free at least, as a share: free memory moves while a model loads. */
const RESERVE_SHARE = 0.05;

/** One term of a plan. */
export interface PlanPart {
  readonly what: "weights" | "cache" | "compute" | "program";
  readonly where: "devices" | "ram";
  readonly bytes: number;
}

/** A model shared out. */
export interface Placement {
  /** Layers on accelerators, the output layer counted; 0 when all is in main memory. */
  readonly gpuLayers: number;
  readonly parts: readonly PlanPart[];
}

/** Bytes of main memory that may be used. */
export function usableRam({ ramFreeBytes }: Memory): number {
  return Math.max(0, ramFreeBytes - reserve(ramFreeBytes, RAM_RESERVE_MIN_BYTES));
}

/** Bytes of an accelerator that may be used. */
export function usableDevice({ freeBytes }: MemoryDevice): number {
  return Math.max(0, freeBytes - reserve(freeBytes, DEVICE_RESERVE_MIN_BYTES));
}

function reserve(freeBytes: number, leastBytes: number): number {
  return Math.max(leastBytes, Math.ceil(freeBytes * RESERVE_SHARE));
}

/** Bytes of everything that may be used, memory that two share counted once. */
export function usableTotal(memory: Memory): number {
  const own = memory.devices.filter((device) => device.sharesRam !== true);
  return own.reduce((sum, device) => sum + usableDevice(device), usableRam(memory));
}

/** Bytes of all parts in one place, or of one kind. */
export function sumOf(
  parts: readonly PlanPart[],
  wanted: Partial<Pick<PlanPart, "what" | "where">> = {},
): number {
  const chosen = parts.filter((part) =>
    (wanted.where === undefined || part.where === wanted.where) &&
    (wanted.what === undefined || part.what === wanted.what)
  );
  return chosen.reduce((sum, part) => sum + part.bytes, 0);
}

/** What {@link place} shares out, and the limits beyond the memory itself. */
export interface PlaceRequest {
  readonly facts: GgufFacts;
  readonly memory: Memory;
  readonly slots: Slots;
  /** Bound on the sum of all parts. */
  readonly maxBytes: number;
  /** True: only a placement with every layer on accelerators will do. */
  readonly isWholeOnDevices: boolean;
}

/** The placement with the most layers on accelerators; undefined when there is none. */
export function place(request: PlaceRequest): Placement | undefined {
  const { facts, memory, isWholeOnDevices } = request;
  const most = memory.devices.length === 0 ? 0 : facts.layerCount + 1;
  const least = isWholeOnDevices ? most : 0;
  // More layers on accelerators need more memory there: the first that fits has the most.
  for (let gpuLayers = most; gpuLayers >= least; gpuLayers -= 1) {
    const parts = partsOf(request, gpuLayers);
    if (!fitsDevices(request, { gpuLayers, bytes: sumOf(parts, { where: "devices" }) })) continue;
    return fitsRam(request, parts) ? { gpuLayers, parts } : undefined;
  }
  return undefined;
}

/** The terms for a number of layers on accelerators: the output layer goes first, then from the end. */
export function partsOf(
  { facts, memory, slots }: Pick<PlaceRequest, "facts" | "memory" | "slots">,
  gpuLayers: number,
): PlanPart[] {
  const devices = gpuLayers === 0 ? 0 : memory.devices.length;
  const firstOnDevice = facts.layerCount - Math.max(0, gpuLayers - 1);
  const bytes = { deviceWeights: 0, deviceCache: 0, ramWeights: facts.embeddingBytes, ramCache: 0 };
  for (let layer = 0; layer < facts.layerCount; layer += 1) {
    const weights = facts.layerBytes[layer] ?? 0;
    const cache = kvLayerBytes(facts, layer, slots) + stateLayerBytes(facts, slots);
    const isOnDevice = layer >= firstOnDevice;
    bytes[isOnDevice ? "deviceWeights" : "ramWeights"] += weights;
    bytes[isOnDevice ? "deviceCache" : "ramCache"] += cache;
  }
  // A table that serves as the output layer too is loaded a second time, onto the accelerator.
  const output = facts.otherBytes + facts.outputBytes;
  if (devices === 0) bytes.ramWeights += output;
  else bytes.deviceWeights += output + (facts.outputBytes === 0 ? facts.embeddingBytes : 0);
  const compute = (isAccelerator: boolean) =>
    computeBytes(facts, slots, { isAccelerator, devices });
  const parts: PlanPart[] = [
    { what: "weights", where: "devices", bytes: bytes.deviceWeights },
    { what: "cache", where: "devices", bytes: bytes.deviceCache },
    { what: "compute", where: "devices", bytes: devices * compute(true) },
    { what: "weights", where: "ram", bytes: bytes.ramWeights },
    { what: "cache", where: "ram", bytes: bytes.ramCache + checkpointBytes(facts, slots) },
    { what: "compute", where: "ram", bytes: compute(false) },
    { what: "program", where: "ram", bytes: processBytes(facts) },
  ];
  return parts.filter((part) => part.bytes > 0);
}

function fitsDevices(
  { facts, memory, slots }: PlaceRequest,
  { gpuLayers, bytes }: { readonly gpuLayers: number; readonly bytes: number },
): boolean {
  if (gpuLayers === 0) return true;
  const room = memory.devices.reduce((sum, device) => sum + usableDevice(device), 0);
  // Layers are not divided: at each border between two devices up to one of them may not fit.
  const layers = facts.layerBytes.map((weights, layer) =>
    weights + kvLayerBytes(facts, layer, slots) + stateLayerBytes(facts, slots)
  );
  const largest = Math.max(0, ...layers, facts.outputBytes || facts.embeddingBytes);
  return bytes + largest * (memory.devices.length - 1) <= room;
}

function fitsRam({ memory, maxBytes }: PlaceRequest, parts: readonly PlanPart[]): boolean {
  const total = sumOf(parts);
  const isShared = memory.devices.some((device) => device.sharesRam === true);
  const inRam = isShared ? total : sumOf(parts, { where: "ram" });
  return inRam <= usableRam(memory) && total <= maxBytes;
}
