/** Facts about this machine's memory and processors, from the texts that the system gives. Pure. */
import { UserError } from "../base/errors.ts";
import { KIB } from "../base/units.ts";
import type { EngineDevice } from "./install.ts";
import type { Memory } from "./memory_placement.ts";

/** What this machine has. A field that the system does not tell is absent. */
export interface HardwareFacts {
  /** Main memory that this process may use at most: a container's limit counts. */
  readonly totalMemoryBytes?: number;
  /** The part of it that is free, or is given up at once when it is needed. */
  readonly availableMemoryBytes?: number;
  /** Threads that run at once. */
  readonly cpuCount?: number;
  /** Cores, where two threads may share one. */
  readonly coreCount?: number;
  readonly cpuName?: string;
  /** Accelerators as llama.cpp lists them. */
  readonly devices: readonly EngineDevice[];
  /** True where accelerators compute in main memory (Apple silicon). */
  readonly isUnified: boolean;
}

/** Longest text looked at: `/proc/cpuinfo` of 512 threads has 800 KB. */
const TEXT_CHARS_MAX = 4 * 1024 * 1024;
/** Version 1 of control groups writes "no limit" as the largest number of whole pages. */
const NO_LIMIT_BYTES = 2 ** 60;
/** Groups within groups that are looked at. */
const GROUP_DEPTH_MAX = 32;

/** Sizes of main memory. */
export interface MemorySizes {
  readonly totalBytes?: number;
  readonly availableBytes?: number;
}

/** Reads `/proc/meminfo`; see proc_meminfo(5). */
export function parseMeminfo(text: string): MemorySizes {
  const sizes = new Map<string, number>();
  for (const match of text.slice(0, TEXT_CHARS_MAX).matchAll(/^(\w+): +(\d{1,15}) kB$/gm)) {
    sizes.set(match[1] ?? "", Number(match[2]) * KIB);
  }
  return withKnown({
    totalBytes: sizes.get("MemTotal"),
    availableBytes: sizes.get("MemAvailable") ?? sizes.get("MemFree"),
  });
}

/** Reads a limit or a usage of a control group; undefined for "max" and for no number. */
export function parseGroupBytes(text: string): number | undefined {
  if (!/^\d{1,20}\s*$/.test(text)) return undefined;
  const bytes = Number(text);
  return bytes < NO_LIMIT_BYTES ? bytes : undefined;
}

/** Reads from `memory.stat` what is cached of files and can be given up at once. */
export function parseInactiveFileBytes(text: string): number | undefined {
  const match = /^(?:total_)?inactive_file (\d{1,20})$/m.exec(text.slice(0, TEXT_CHARS_MAX));
  return match === null ? undefined : Number(match[1]);
}

/** Where the files of one control group lie. */
export interface MemoryGroup {
  readonly limitPath: string;
  readonly usagePath: string;
  readonly statPath: string;
}

/**
 * The control groups that bound this process, from `/proc/self/cgroup`, innermost first, of both
 * versions. Inside a container its own group is usually the root of what can be seen.
 */
export function memoryGroups(procSelfCgroup: string): readonly MemoryGroup[] {
  const groups: MemoryGroup[] = [];
  for (const line of procSelfCgroup.slice(0, TEXT_CHARS_MAX).split("\n")) {
    const match = /^(\d{1,6}):([^:]{0,256}):(\/.{0,4096})$/.exec(line);
    if (match === null || (match[3] ?? "").split("/").includes("..")) continue;
    const isVersion2 = match[1] === "0" && match[2] === "";
    const isVersion1 = (match[2] ?? "").split(",").includes("memory");
    if (!isVersion2 && !isVersion1) continue;
    for (const path of pathAndAncestors(match[3] ?? "/")) {
      groups.push(isVersion2 ? groupV2(path) : groupV1(path));
    }
  }
  return groups;
}

function pathAndAncestors(path: string): string[] {
  const names = path.split("/").filter((name) => name !== "").slice(0, GROUP_DEPTH_MAX);
  return names.map((_, index) => `/${names.slice(0, names.length - index).join("/")}`).concat("");
}

function groupV2(path: string): MemoryGroup {
  const dir = `/sys/fs/cgroup${path}`;
  return {
    limitPath: `${dir}/memory.max`,
    usagePath: `${dir}/memory.current`,
    statPath: `${dir}/memory.stat`,
  };
}

function groupV1(path: string): MemoryGroup {
  const dir = `/sys/fs/cgroup/memory${path}`;
  return {
    limitPath: `${dir}/memory.limit_in_bytes`,
    usagePath: `${dir}/memory.usage_in_bytes`,
    statPath: `${dir}/memory.stat`,
  };
}

/** What the files of one control group said. */
export interface GroupUse {
  readonly limitBytes?: number;
  readonly usageBytes?: number;
  readonly inactiveFileBytes?: number;
}

/** The machine's sizes within the limits of all groups: the tightest counts. */
export function boundByGroups(machine: MemorySizes, groups: readonly GroupUse[]): MemorySizes {
  let { totalBytes, availableBytes } = machine;
  for (const { limitBytes, usageBytes = 0, inactiveFileBytes = 0 } of groups) {
    if (limitBytes === undefined) continue;
    totalBytes = Math.min(totalBytes ?? Infinity, limitBytes);
    const free = Math.max(0, limitBytes - Math.max(0, usageBytes - inactiveFileBytes));
    availableBytes = Math.min(availableBytes ?? Infinity, free);
  }
  return withKnown({ totalBytes, availableBytes });
}

function withKnown(sizes: {
  readonly totalBytes: number | undefined;
  readonly availableBytes: number | undefined;
}): MemorySizes {
  return {
    ...(sizes.totalBytes === undefined ? {} : { totalBytes: sizes.totalBytes }),
    ...(sizes.availableBytes === undefined ? {} : { availableBytes: sizes.availableBytes }),
  };
}

/** What `/proc/cpuinfo` tells about the processor. */
export interface CpuFacts {
  readonly cpuName?: string;
  readonly coreCount?: number;
}

/** Reads `/proc/cpuinfo`: the name, and cores told apart by package and core id where they are given. */
export function parseCpuinfo(text: string): CpuFacts {
  const cores = new Set<string>();
  let cpuName: string | undefined;
  for (const processor of text.slice(0, TEXT_CHARS_MAX).split(/\n\s*\n/)) {
    const field = (name: string) =>
      new RegExp(`^${name}[ \\t]*: *(.{1,256})$`, "m").exec(processor)?.[1]?.trim();
    cpuName ??= field("model name");
    const core = field("core id");
    if (core !== undefined) cores.add(`${field("physical id") ?? "0"}/${core}`);
  }
  return {
    ...(cpuName === undefined ? {} : { cpuName }),
    ...(cores.size === 0 ? {} : { coreCount: cores.size }),
  };
}

/** Accelerators that are part of a processor compute in main memory; told by their makers' names. */
const INTEGRATED =
  /\b(?:Apple M\d|UHD Graphics|HD Graphics|Iris|Radeon(?:\(TM\))? (?:Vega \d+ )?Graphics|Radeon \d{3}M|Adreno|Mali)\b/i;

/** What is offered of a machine. */
export interface OfferedMemory {
  /** For the plan of a model. */
  readonly memory: Memory;
  /** All of it together, memory that two share counted once, within what somebody allowed. */
  readonly offeredBytes: number;
  /** Names of the accelerators in it. */
  readonly deviceNames: readonly string[];
}

/**
 * What of this machine a model may use: the chosen accelerator, or all, and main memory.
 *
 * @throws {UserError} when the chosen accelerator is not there
 */
export function offeredMemory(
  hardware: HardwareFacts,
  options: { readonly device?: string; readonly maxBytes?: number } = {},
): OfferedMemory {
  const { maxBytes = Infinity } = options;
  const chosen = chooseDevices(hardware.devices, options.device);
  const ramFreeBytes = hardware.availableMemoryBytes ?? 0;
  const devices = chosen.map(({ name, description, freeBytes }) => ({
    name,
    freeBytes,
    sharesRam: hardware.isUnified || INTEGRATED.test(description),
  }));
  const own = devices.filter((device) => !device.sharesRam);
  const sum = own.reduce((bytes, device) => bytes + device.freeBytes, ramFreeBytes);
  return {
    memory: { devices, ramFreeBytes },
    offeredBytes: Math.min(maxBytes, sum),
    deviceNames: devices.map((device) => device.name),
  };
}

function chooseDevices(
  devices: readonly EngineDevice[],
  wanted: string | undefined,
): readonly EngineDevice[] {
  if (wanted === undefined) return devices;
  if (/^(?:none|cpu)$/i.test(wanted)) return [];
  const found = devices.filter(({ name }) => name.toLowerCase() === wanted.toLowerCase());
  if (found.length > 0) return found;
  const names = devices.map(({ name }) => name).join(", ") || "none";
  throw new UserError(
    `Cannot use device "${wanted}": llama.cpp has ${names} here; --device none means the processor`,
  );
}
