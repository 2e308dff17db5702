import assert from "node:assert/strict";
import { acceleratorsToTry } from "~/engine/accelerators.ts";

const BARE = { os: "linux", arch: "x86_64", hasNvidiaDriver: false, hasRenderDevice: false };

const CASES = [
  [BARE, "cpu"],
  [{ ...BARE, hasRenderDevice: true }, "vulkan cpu"],
  [{ ...BARE, hasNvidiaDriver: true }, "vulkan cpu"],
  [{ ...BARE, os: "darwin", arch: "aarch64" }, "metal cpu"],
  [{ ...BARE, os: "darwin" }, "cpu"],
  [{ ...BARE, os: "windows" }, "vulkan cpu"],
  [{ ...BARE, os: "windows", hasNvidiaDriver: true }, "cuda vulkan cpu"],
] as const;

Deno.test("acceleratorsToTry() follows what the machine shows, and ends with what always runs", () => {
  for (const [signs, expected] of CASES) {
    assert.equal(acceleratorsToTry(signs).join(" "), expected, JSON.stringify(signs));
  }
});
