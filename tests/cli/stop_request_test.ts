import assert from "node:assert/strict";
import { StopRequest } from "~/cli/stop_request.ts";

/** Whether a promise has resolved, after everything that waits for its turn only. */
async function hasResolved(promise: Promise<void>): Promise<boolean> {
  let isResolved = false;
  void promise.then(() => isResolved = true);
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  return isResolved;
}

Deno.test("StopRequest asks at the first request, and insists at the second", async () => {
  using stop = new StopRequest();
  assert.deepEqual([await hasResolved(stop.first), stop.isUrgent], [false, false]);
  stop.request();
  assert.deepEqual([await hasResolved(stop.first), stop.isUrgent], [true, false]);
  assert.equal(await hasResolved(stop.second), false);
  stop.request();
  assert.deepEqual([await hasResolved(stop.second), stop.isUrgent], [true, true]);
});

Deno.test("StopRequest takes further requests calmly", async () => {
  using stop = new StopRequest();
  for (let count = 0; count < 5; count += 1) stop.request();
  assert.ok(await hasResolved(stop.first) && await hasResolved(stop.second) && stop.isUrgent);
});
