import assert from "node:assert/strict";
import { WorkSlice } from "~/base/io/work_slice.ts";

Deno.test("WorkSlice lets a timer run in the middle of work that never waits for long", async () => {
  let hasFired = false;
  setTimeout(() => {
    hasFired = true;
  }, 0);
  const slice = new WorkSlice();
  const startMs = performance.now();
  // Work that is always ready: without slices no timer would ever fire here.
  while (!hasFired) {
    await slice.yieldIfLong();
    await Promise.resolve();
    assert.ok(performance.now() - startMs < 60_000, "the timer did not fire");
  }
});
