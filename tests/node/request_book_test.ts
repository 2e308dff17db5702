import assert from "node:assert/strict";
import fc from "fast-check";
import { Inflight } from "~/node/inflight.ts";
import { RequestBook } from "~/node/request_book.ts";
import type { FinishedRequest, RequestEvent } from "~/proxy/events.ts";
import { VirtualTime } from "#support/virtual_time.ts";

const ENDPOINT = "/v1/chat/completions";

function received(requestId: string): RequestEvent {
  return { kind: "received", requestId, endpoint: ENDPOINT };
}

function started(requestId: string, model = "tiny"): RequestEvent {
  return { kind: "started", requestId, endpoint: ENDPOINT, model, queuedMs: 0 };
}

function finished(requestId: string): FinishedRequest {
  return {
    kind: "finished",
    requestId,
    endpoint: ENDPOINT,
    outcome: "answered",
    status: 200,
    durationMs: 1,
    queuedMs: 0,
    requestBytes: 2,
    responseBytes: 3,
  };
}

function bookAt(time = new VirtualTime()): RequestBook {
  return new RequestBook({ inflight: new Inflight(time), wallMs: () => time.wallMs() });
}

Deno.test("RequestBook tells requests that run from those that wait", () => {
  const book = bookAt();
  book.record(received("a"));
  book.record(received("b"));
  assert.deepEqual([book.openCount, book.waitingCount], [2, 2]);
  book.record(started("a"));
  assert.deepEqual([book.openCount, book.waitingCount], [2, 1]);
  book.record(finished("a"));
  assert.deepEqual([book.openCount, book.waitingCount], [1, 1]);
  book.record(finished("b"));
  assert.deepEqual([book.openCount, book.waitingCount], [0, 0]);
});

Deno.test("RequestBook does not count who was turned away at the threshold", () => {
  const book = bookAt();
  book.record({ kind: "turned away", status: 403, code: "forbidden" });
  assert.equal(book.openCount, 0);
});

Deno.test("RequestBook remembers how often and when a model was asked", () => {
  const time = new VirtualTime();
  const book = bookAt(time);
  assert.deepEqual(book.usageOf("tiny"), { requests: 0 });
  for (const id of ["a", "b"]) {
    time.advance(1_000);
    book.record(received(id));
    book.record(started(id));
    book.record(finished(id));
  }
  assert.deepEqual(book.usageOf("tiny"), { requests: 2, lastMs: time.wallMs() });
});

Deno.test("RequestBook forgets the model that was not asked for longest, not the busy one", () => {
  const book = bookAt();
  for (let count = 0; count < 300; count++) {
    for (const model of ["busy", `model-${count}`]) {
      book.record(received("x"));
      book.record(started("x", model));
      book.record(finished("x"));
    }
  }
  assert.equal(book.usageOf("busy").requests, 300);
  assert.equal(book.usageOf("model-0").requests, 0);
  assert.equal(book.usageOf("model-299").requests, 1);
});

Deno.test("RequestBook ends at zero, also when callers give several requests one id", () => {
  const requests = fc.array(fc.record({
    id: fc.constantFrom("same", "other"),
    isStarted: fc.boolean(),
  }));
  fc.assert(fc.property(requests, (list) => {
    const book = bookAt();
    for (const { id } of list) book.record(received(id));
    for (const { id, isStarted } of list) if (isStarted) book.record(started(id));
    assert.equal(book.waitingCount, list.filter(({ isStarted }) => !isStarted).length);
    for (const { id } of list) book.record(finished(id));
    assert.deepEqual([book.openCount, book.waitingCount], [0, 0]);
  }));
});
