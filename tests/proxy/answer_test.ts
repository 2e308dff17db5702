import assert from "node:assert/strict";
import { nowhere } from "#support/memory_upstream.ts";
import { TestCall } from "#support/test_call.ts";
import { answerOf, failureResponse } from "~/proxy/answer.ts";
import { ClientGoneError } from "~/proxy/call.ts";
import { DoorError } from "~/proxy/errors.ts";
import type { UpstreamResponse } from "~/proxy/ports.ts";

const TARGET = { nodeId: "node-a", upstream: nowhere, slots: 1 };

function answer(test: TestCall, response: Partial<UpstreamResponse>): Response {
  const whole = { status: 200, headers: new Headers(), body: null, ...response };
  return answerOf({ target: TARGET, response: whole, error: undefined }, test.call);
}

Deno.test("answerOf() keeps the few headers that mean something to clients", async () => {
  const test = new TestCall();
  const headers = new Headers({
    "content-type": "application/json",
    "cache-control": "no-store",
    "x-internal": "secret",
    "date": "then",
  });
  const response = answer(test, { headers, body: new TextEncoder().encode("{}") });
  assert.deepEqual([...response.headers], [
    ["cache-control", "no-store"],
    ["content-length", "2"],
    ["content-type", "application/json"],
    ["x-mesh-llm-node", "node-a"],
  ]);
  assert.equal(await response.text(), "{}");
  assert.equal(test.finished?.outcome, "answered");
});

Deno.test("answerOf() ends a call without a body at once", () => {
  const test = new TestCall();
  assert.equal(answer(test, { status: 202 }).headers.get("content-length"), "0");
  assert.equal(test.finished?.status, 202);
});

Deno.test("answerOf() does not end a call before its stream ended", async () => {
  const test = new TestCall();
  const body = ReadableStream.from([new Uint8Array([1]), new Uint8Array([2])]);
  const response = answer(test, {
    status: 206,
    body: body as ReadableStream<Uint8Array<ArrayBuffer>>,
  });
  assert.equal(test.events.length, 1);
  assert.equal((await response.arrayBuffer()).byteLength, 2);
  assert.deepEqual([test.finished?.status, test.finished?.responseBytes], [206, 2]);
});

/** What comes out of a stream of events that begins with half a one and breaks off. */
async function brokenEvents(test: TestCall, fail?: (event: string) => Uint8Array<ArrayBuffer>) {
  let at = 0;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      at += 1;
      if (at === 1) controller.enqueue(new TextEncoder().encode("data: ha"));
      else controller.error(new Error("cut"));
    },
  });
  const headers = new Headers({ "content-type": "text/event-stream" });
  const response = { status: 200, headers, body };
  const forwarded = { target: TARGET, response, error: undefined, ...(fail && { fail }) };
  const reader = answerOf(forwarded, test.call).body!.getReader();
  const first = await reader.read();
  return { first: new TextDecoder().decode(first.value), reader };
}

Deno.test("answerOf() cuts a client's stream at whole events", async () => {
  const { first } = await brokenEvents(new TestCall());
  assert.match(first, /^data: \{"error":/);
});

Deno.test("answerOf() leaves the cutting to whoever has done it", async () => {
  const { first, reader } = await brokenEvents(
    new TestCall(),
    (event) => new TextEncoder().encode(`: mine\n\n${event}`),
  );
  assert.equal(first, "data: ha");
  const last = await reader.read();
  assert.match(new TextDecoder().decode(last.value), /^: mine\n\ndata: \{"error":/);
});

Deno.test("answerOf() passes a peer what came, and the break", async () => {
  const { first, reader } = await brokenEvents(new TestCall({ isForPeer: true }));
  assert.equal(first, "data: ha");
  await assert.rejects(reader.read(), /cut/);
});

Deno.test("failureResponse() says nothing to a client that is gone", async () => {
  const test = new TestCall();
  const response = failureResponse(new ClientGoneError(), test.call);
  assert.deepEqual([response.status, await response.text()], [499, ""]);
  assert.equal(test.finished?.outcome, "client gone");
});

Deno.test("failureResponse() books an error as of a gone client when that was the cause", () => {
  const test = new TestCall();
  test.leave();
  failureResponse(new DoorError("invalid_request_error", "broke off"), test.call);
  assert.equal(test.finished?.outcome, "client gone");
});

Deno.test("failureResponse() hands defects of ours on, and books them", () => {
  const test = new TestCall();
  assert.throws(() => failureResponse(new TypeError("defect"), test.call), TypeError);
  assert.deepEqual([test.finished?.status, test.finished?.code], [500, "internal_error"]);
});
