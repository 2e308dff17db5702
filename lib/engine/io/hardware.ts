import { readTextIfAny } from "~/base/io/files.ts";
import {
  boundByGroups,
  type GroupUse,
  type HardwareFacts,
  type MemoryGroup,
  memoryGroups,
  type MemorySizes,
  parseCpuinfo,
  parseGroupBytes,
  parseInactiveFileBytes,
  parseMeminfo,
} from "../hardware.ts";
import type { EngineFacts } from "../install.ts";

/** `/proc/cpuinfo` of 512 threads has 800 KB; everything else read here is smaller. */
const PROC_TEXT_BYTES_MAX = 4 * 1024 * 1024;

/**
 * What this machine has, without privileges. Accelerators are those that the engine told of; without
 * `facts` none are known.
 */
export async function readHardware(facts?: Pick<EngineFacts, "devices">): Promise<HardwareFacts> {
  const [sizes, cpu] = await Promise.all([
    readMemory(),
    readText("/proc/cpuinfo").then((text) => parseCpuinfo(text ?? "")),
  ]);
  const { totalBytes, availableBytes } = sizes;
  const cpuCount = navigator.hardwareConcurrency;
  return {
    ...(totalBytes === undefined ? {} : { totalMemoryBytes: totalBytes }),
    ...(availableBytes === undefined ? {} : { availableMemoryBytes: availableBytes }),
    ...(cpuCount > 0 ? { cpuCount } : {}),
    ...cpu,
    devices: facts?.devices ?? [],
    isUnified: Deno.build.os === "darwin" && Deno.build.arch === "aarch64",
  };
}

async function readMemory(): Promise<MemorySizes> {
  if (Deno.build.os !== "linux") return systemMemory();
  const meminfo = await readText("/proc/meminfo");
  const machine = meminfo === undefined ? systemMemory() : parseMeminfo(meminfo);
  const groups = memoryGroups(await readText("/proc/self/cgroup") ?? "");
  return boundByGroups(machine, await Promise.all(groups.map(readGroup)));
}

function systemMemory(): MemorySizes {
  const { total, available } = Deno.systemMemoryInfo();
  return { totalBytes: total, availableBytes: available };
}

async function readGroup(group: MemoryGroup): Promise<GroupUse> {
  const [limit, usage, stat] = await Promise.all([
    readText(group.limitPath),
    readText(group.usagePath),
    readText(group.statPath),
  ]);
  const limitBytes = parseGroupBytes(limit ?? "");
  const usageBytes = parseGroupBytes(usage ?? "");
  const inactiveFileBytes = parseInactiveFileBytes(stat ?? "");
  return {
    ...(limitBytes === undefined ? {} : { limitBytes }),
    ...(usageBytes === undefined ? {} : { usageBytes }),
    ...(inactiveFileBytes === undefined ? {} : { inactiveFileBytes }),
  };
}

/** A text that the system gives; undefined where it does not. */
async function readText(path: string): Promise<string | undefined> {
  try {
    return await readTextIfAny(path, PROC_TEXT_BYTES_MAX);
  } catch {
    return undefined;
  }
}
