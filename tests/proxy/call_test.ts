import assert from "node:assert/strict";
import { TestCall } from "#support/test_call.ts";
import { ClientGoneError } from "~/proxy/call.ts";
import { DoorError } from "~/proxy/errors.ts";

Deno.test("Call gives everything back once, however often it ends", () => {
  const { call, budget, events, time } = new TestCall();
  let released = 0;
  let ended = 0;
  budget.take(100);
  call.onBody({ sizeBytes: 100, budgetedBytes: 100 });
  call.onModel("m");
  call.onAdmitted("m", { waitedMs: 7, release: () => void (released += 1) });
  call.onSent("node-a", () => void (ended += 1));
  time.advance(50);
  call.onBytes(20);
  time.advance(50);
  call.finish("answered", { status: 200 });
  call.finish("broken", { status: 200 });
  assert.deepEqual([released, ended, budget.takenBytes, time.pendingCount], [1, 1, 0, 0]);
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ["received", "started", "sent", "done", "finished"],
  );
  assert.deepEqual(events[3], {
    kind: "done",
    requestId: "r1",
    nodeId: "node-a",
    durationMs: 100,
  });
  assert.deepEqual(events[4], {
    kind: "finished",
    requestId: "r1",
    endpoint: "/v1/chat/completions",
    outcome: "answered",
    status: 200,
    durationMs: 100,
    queuedMs: 7,
    firstByteMs: 50,
    requestBytes: 100,
    responseBytes: 20,
    model: "m",
    nodeId: "node-a",
  });
});

Deno.test("Call tells the last target that it is done before it goes to the next", () => {
  const { call } = new TestCall();
  const ended: string[] = [];
  call.onSent("a", () => ended.push("a"));
  call.onSent("b", () => ended.push("b"));
  assert.deepEqual(ended, ["a"]);
  call.finish("answered", { status: 200 });
  assert.deepEqual(ended, ["a", "b"]);
});

Deno.test("Call is cancelled when its client leaves, also one that had left before", () => {
  const test = new TestCall();
  test.leave();
  assert.ok(test.call.signal.reason instanceof ClientGoneError);
  const late = new TestCall({ clientGone: AbortSignal.abort() });
  assert.ok(late.call.signal.reason instanceof ClientGoneError);
});

Deno.test("Call is not cancelled by a client that leaves after the end", () => {
  const test = new TestCall();
  test.call.finish("answered", { status: 200 });
  test.leave();
  assert.equal(test.call.signal.aborted, false);
});

Deno.test("Call gives up on an engine that is silent before the first byte", () => {
  const { call, time } = new TestCall();
  call.onSent("a", () => {});
  time.advance(999);
  assert.equal(call.signal.aborted, false);
  time.advance(1);
  const { reason } = call.signal;
  assert.ok(reason instanceof DoorError && reason.code === "upstream_timeout");
});

Deno.test("Call measures the silence of a stream only while somebody waits for it", () => {
  const { call, time } = new TestCall();
  call.onSent("a", () => {});
  call.onHead();
  call.onWait();
  time.advance(90);
  call.onBytes(1);
  // A slow client takes its time; the engine is not to blame.
  time.advance(10_000);
  assert.equal(call.signal.aborted, false);
  call.onWait();
  time.advance(99);
  assert.equal(call.signal.aborted, false);
  time.advance(100);
  assert.equal(call.signal.aborted, true);
});

Deno.test("Call needs one timer for a stream of any length", () => {
  const { call, time } = new TestCall();
  call.onSent("a", () => {});
  call.onHead();
  for (let i = 0; i < 1_000; i += 1) {
    call.onWait();
    time.advance(50);
    call.onBytes(1);
    assert.ok(time.pendingCount <= 1);
  }
  assert.equal(call.signal.aborted, false);
});

Deno.test("Call gives back the slot that it left, and the one that it moved to, each once", () => {
  const released: string[] = [];
  const ticket = (name: string) => ({ waitedMs: 0, release: () => void released.push(name) });
  const { call } = new TestCall();
  call.onAdmitted("m", ticket("elsewhere"));
  call.onMoved(ticket("here"));
  assert.deepEqual(released, ["elsewhere"]);
  call.finish("answered", { status: 200 });
  assert.deepEqual(released, ["elsewhere", "here"]);
  call.onMoved(ticket("too late"));
  assert.ok(released.includes("too late"));
});
