/** Which builds of llama.cpp are worth trying on a machine, from what can be seen without asking it. */
import type { Accelerator } from "./platform.ts";

/** Signs of accelerators, each visible without privileges. */
export interface AcceleratorSigns {
  /** As `Deno.build` names it. */
  readonly os: string;
  readonly arch: string;
  /** The driver of NVIDIA is loaded. */
  readonly hasNvidiaDriver: boolean;
  /** A graphics card can be used for computing (Linux: `/dev/dri/renderD*`). */
  readonly hasRenderDevice: boolean;
}

/**
 * Builds to try, best first. Every build also computes on the CPU, so a wrong sign costs a larger
 * download and nothing else. ROCm is never first: its build needs libraries that few machines have, and
 * Vulkan serves the same cards.
 */
export function acceleratorsToTry(signs: AcceleratorSigns): readonly Accelerator[] {
  const { os, arch, hasNvidiaDriver, hasRenderDevice } = signs;
  if (os === "darwin") return arch === "aarch64" ? ["metal", "cpu"] : ["cpu"];
  if (os === "windows") return hasNvidiaDriver ? ["cuda", "vulkan", "cpu"] : ["vulkan", "cpu"];
  return hasNvidiaDriver || hasRenderDevice ? ["vulkan", "cpu"] : ["cpu"];
}
