import assert from "node:assert/strict";
import { VirtualTime } from "#support/virtual_time.ts";
import { AdmissionDesk } from "~/proxy/admission_desk.ts";
import { DoorError } from "~/proxy/errors.ts";

function desk(queueMax = 2): { desk: AdmissionDesk; time: VirtualTime } {
  const time = new VirtualTime();
  const limits = { queueMax, waitMsMax: 1_000 };
  return { desk: new AdmissionDesk({ clock: time, timers: time, limits }), time };
}

function never(): AbortSignal {
  return new AbortController().signal;
}

Deno.test("AdmissionDesk hands a released slot to the next, once", async () => {
  const { desk: one, time } = desk();
  const first = await one.acquire("m", { slots: 1, signal: never() });
  const second = one.acquire("m", { slots: 1, signal: never() });
  const third = one.acquire("m", { slots: 1, signal: never() });
  assert.equal(one.waitingCount, 2);
  time.advance(40);
  first.release();
  first.release();
  assert.equal((await second).waitedMs, 40);
  assert.equal(one.waitingCount, 1);
  (await second).release();
  (await third).release();
  assert.equal(time.pendingCount, 0);
});

Deno.test("AdmissionDesk keeps models apart", async () => {
  const { desk: one } = desk();
  await one.acquire("a", { slots: 1, signal: never() });
  await one.acquire("b", { slots: 1, signal: never() });
  assert.equal(one.waitingCount, 0);
});

Deno.test("AdmissionDesk rejects with the reason of a waiter that leaves", async () => {
  const { desk: one, time } = desk();
  const first = await one.acquire("m", { slots: 1, signal: never() });
  const leave = new AbortController();
  const waiting = one.acquire("m", { slots: 1, signal: leave.signal });
  leave.abort(new Error("gone"));
  await assert.rejects(waiting, /gone/);
  assert.equal(one.waitingCount, 0);
  assert.equal(time.pendingCount, 0);
  await assert.rejects(one.acquire("m", { slots: 1, signal: leave.signal }), /gone/);
  first.release();
});

Deno.test("AdmissionDesk refuses beyond its queue and expires who waited too long", async () => {
  const { desk: one, time } = desk(1);
  await one.acquire("m", { slots: 1, signal: never() });
  const waiting = one.acquire("m", { slots: 1, signal: never() });
  await assert.rejects(
    one.acquire("m", { slots: 1, signal: never() }),
    (error) => error instanceof DoorError && error.code === "queue_full" && error.status === 429,
  );
  time.advance(1_000);
  await assert.rejects(
    waiting,
    (error) => error instanceof DoorError && error.code === "upstream_timeout",
  );
  assert.equal(time.pendingCount, 0);
});

Deno.test("AdmissionDesk forgets idle models when there are very many", async () => {
  const { desk: one } = desk();
  const kept = await one.acquire("kept", { slots: 1, signal: never() });
  for (let i = 0; i < 1_000; i += 1) {
    (await one.acquire(`m${i}`, { slots: 1, signal: never() })).release();
  }
  const waiting = one.acquire("kept", { slots: 1, signal: never() });
  assert.equal(one.waitingCount, 1, "the busy line was not forgotten");
  kept.release();
  await waiting;
});

Deno.test("AdmissionDesk tells a peer that its share of the queue is taken, and lets others wait", async () => {
  const { desk: one } = desk(4);
  const first = await one.acquire("m", { slots: 1, signal: never() });
  const asPeer = () => one.acquire("m", { slots: 1, signal: never(), peer: "greedy" });
  const waiting = [asPeer(), asPeer()];
  await assert.rejects(
    asPeer(),
    (error) =>
      error instanceof DoorError && error.code === "queue_full" &&
      error.message.includes("one peer may hold 2 of the 4 places") &&
      error.facts.retryAfterS === 10,
  );
  waiting.push(one.acquire("m", { slots: 1, signal: never() }));
  first.release();
  for (const ticket of waiting) (await ticket).release();
});
