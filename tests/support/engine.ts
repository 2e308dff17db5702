import { join } from "node:path";
import type { EngineInstall } from "~/engine/install.ts";
import { findEngine } from "~/engine/io/find_engine.ts";

/** Longest wait for an engine: an index and some packages over a slow line. */
const DEADLINE_MS = 300_000;

/** Home that all system tests share for what is large and never changes; ignored by git. */
export const TEST_HOME = join(import.meta.dirname ?? ".", "..", "..", ".cache", "test-home");

/**
 * The real llama.cpp for system tests: found in the shared home, or installed there once by whoever
 * comes first. A machine that cannot get one fails the test: a skipped truth is none.
 */
export async function ensureTestEngine(): Promise<EngineInstall> {
  const binDir = Deno.env.get("MESH_LLM_BIN_DIR");
  return await findEngine({
    home: TEST_HOME,
    ...(binDir === undefined || binDir === "" ? {} : { binDir }),
    allowDownload: true,
    accelerators: [],
    report: () => {},
    onSourceFailure: () => {},
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
}
