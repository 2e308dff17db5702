import { join } from "node:path";
import { statIfAny } from "~/base/io/files.ts";
import { acceleratorsToTry } from "../accelerators.ts";
import type { Accelerator } from "../platform.ts";

/** Builds of llama.cpp to try on this machine, best first. */
export async function findAccelerators(): Promise<readonly Accelerator[]> {
  const [hasNvidiaDriver, hasRenderDevice] = await Promise.all([
    hasNvidia(),
    hasRenderNode("/dev/dri"),
  ]);
  const { os, arch } = Deno.build;
  return acceleratorsToTry({ os, arch, hasNvidiaDriver, hasRenderDevice });
}

async function hasNvidia(): Promise<boolean> {
  if (Deno.build.os !== "windows") return await statIfAny("/proc/driver/nvidia") !== undefined;
  const system = join(Deno.env.get("SystemRoot") ?? "C:\\Windows", "System32", "nvcuda.dll");
  return await statIfAny(system) !== undefined;
}

async function hasRenderNode(dir: string): Promise<boolean> {
  try {
    for await (const entry of Deno.readDir(dir)) if (entry.name.startsWith("renderD")) return true;
  } catch {
    // No such folder, or no permission: nothing that could be used.
  }
  return false;
}
