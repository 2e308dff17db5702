import assert from "node:assert/strict";
import { Inflight } from "~/node/inflight.ts";
import { VirtualTime } from "#support/virtual_time.ts";

Deno.test("Inflight.whenIdle() resolves at once when nothing runs", async () => {
  const time = new VirtualTime();
  assert.equal(await new Inflight(time).whenIdle(10), true);
  assert.equal(time.pendingCount, 0);
});

Deno.test("Inflight.whenIdle() resolves when the last request ends, and leaves no timer", async () => {
  const time = new VirtualTime();
  const inflight = new Inflight(time);
  inflight.begin();
  inflight.begin();
  const idle = inflight.whenIdle(10_000);
  inflight.end();
  assert.equal(time.pendingCount, 1);
  inflight.end();
  assert.equal(await idle, true);
  assert.equal(time.pendingCount, 0);
  assert.equal(inflight.count, 0);
});

Deno.test("Inflight.whenIdle() gives up at its limit; several may wait", async () => {
  const time = new VirtualTime();
  const inflight = new Inflight(time);
  inflight.begin();
  const [short, long] = [inflight.whenIdle(100), inflight.whenIdle(1_000)];
  time.advance(100);
  assert.equal(await short, false);
  inflight.end();
  assert.equal(await long, true);
});

Deno.test("Inflight.end() without a beginning is a defect of ours", () => {
  assert.throws(() => new Inflight(new VirtualTime()).end(), /Broken invariant/);
});
