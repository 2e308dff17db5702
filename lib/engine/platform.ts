/** Machines that llama.cpp is known to be built for, in the words of `native/`. */
export const ENGINE_PLATFORMS = [
  "linux-x64",
  "linux-arm64",
  "macos-arm64",
  "macos-x64",
  "windows-x64",
] as const;
export type EnginePlatform = typeof ENGINE_PLATFORMS[number];

/** What a build of llama.cpp computes on. */
export const ACCELERATORS = ["cpu", "vulkan", "cuda", "rocm", "metal"] as const;
export type Accelerator = typeof ACCELERATORS[number];

const OS_NAMES = new Map([["linux", "linux"], ["darwin", "macos"], ["windows", "windows"]]);
const ARCH_NAMES = new Map([["x86_64", "x64"], ["aarch64", "arm64"]]);

/** The platform of a machine as `Deno.build` names it; undefined when no build is known for it. */
export function platformOf(build: { os: string; arch: string }): EnginePlatform | undefined {
  const name = `${OS_NAMES.get(build.os)}-${ARCH_NAMES.get(build.arch)}`;
  return ENGINE_PLATFORMS.find((platform) => platform === name);
}

/** File name of a program on a platform. */
export function executableName(platform: EnginePlatform, program: string): string {
  return platform.startsWith("windows") ? `${program}.exe` : program;
}

/** True for one of {@link ENGINE_PLATFORMS}. */
export function isEnginePlatform(value: unknown): value is EnginePlatform {
  return ENGINE_PLATFORMS.some((platform) => platform === value);
}

/** True for one of {@link ACCELERATORS}. */
export function isAccelerator(value: unknown): value is Accelerator {
  return ACCELERATORS.some((accelerator) => accelerator === value);
}
