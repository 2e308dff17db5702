import assert from "node:assert/strict";
import { wholeOf } from "#support/engine_script.ts";
import { TestCall } from "#support/test_call.ts";
import { begun } from "~/proxy/begun.ts";

function response(type: string, pieces: readonly (string | Error)[]) {
  let at = 0;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      const piece = pieces[at++];
      if (piece === undefined) controller.close();
      else if (piece instanceof Error) controller.error(piece);
      else controller.enqueue(new TextEncoder().encode(piece));
    },
  }, { highWaterMark: 0 });
  return { status: 200, headers: new Headers({ "content-type": type }), body };
}

const SSE = "text/event-stream";
const JSON_TYPE = "application/json";

Deno.test("begun() waits for the first event of a stream, and leaves the rest to come", async () => {
  const { call } = new TestCall();
  const cut = new Error("cut");
  const { body } = await begun(response(SSE, ["data: 1\n\n", cut]), call);
  await assert.rejects(wholeOf(body), cut);
  await assert.rejects(begun(response(SSE, [cut]), call), cut);
  const empty = await begun(response(SSE, []), call);
  assert.equal((await wholeOf(empty.body)).length, 0);
});

Deno.test("begun() gathers an answer that is no stream of events, and fails when it breaks", async () => {
  const { call } = new TestCall();
  const { body } = await begun(response(JSON_TYPE, ["{", "}"]), call);
  assert.deepEqual(body, new TextEncoder().encode("{}"));
  const cut = new Error("cut");
  await assert.rejects(begun(response(JSON_TYPE, ["{", cut]), call), cut);
});

Deno.test("begun() gathers no more than two megabytes, and loses none of them", async () => {
  const { call } = new TestCall();
  const pieces = Array(5).fill("x".repeat(1024 * 1024));
  const { body } = await begun(response(JSON_TYPE, pieces), call);
  assert.ok(body instanceof ReadableStream);
  assert.equal((await wholeOf(body)).length, 5 * 1024 * 1024);
});
