import assert from "node:assert/strict";
import { MemoryPeerStream } from "#support/memory_peer_stream.ts";
import { turns } from "#support/peer_pair.ts";
import { VirtualTime } from "#support/virtual_time.ts";
import { wholeResponse } from "~/base/whole_response.ts";
import { StreamBrokenError } from "~/mesh/link_ports.ts";
import { writeAnswer } from "~/proxy/peer_answer.ts";

function options(response: Response): Parameters<typeof writeAnswer>[1] & { timers: VirtualTime } {
  return { response, refusal: undefined, timers: new VirtualTime(), stalledReaderMs: 1_000 };
}

/** A body whose pieces a test gives one by one. */
function slowBody(): {
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly controller: () => ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  readonly cancelled: Promise<void>;
} {
  const cancelled = Promise.withResolvers<void>();
  let made: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (controller) => {
      made = controller;
    },
    cancel: () => cancelled.resolve(),
  }, { highWaterMark: 0 });
  return { body, controller: () => made!, cancelled: cancelled.promise };
}

Deno.test("writeAnswer() writes head, bytes and END", async () => {
  const [near, far] = MemoryPeerStream.pair();
  const response = new Response("hello", {
    status: 201,
    headers: { "content-type": "application/json", "x-secret": "1" },
  });
  const set = options(response);
  await writeAnswer(far, set);
  const head = await near.read();
  assert.deepEqual(head, {
    kind: "head",
    head: { t: "answer", status: 201, headers: [["content-type", "application/json"]] },
  });
  const data = await near.read();
  assert.equal(data?.kind === "data" && new TextDecoder().decode(data.bytes), "hello");
  assert.equal(await near.read(), undefined);
  assert.equal(set.timers.pendingCount, 0);
});

Deno.test("writeAnswer() writes an answer that is there as a whole without waiting in between", async () => {
  const [near, far] = MemoryPeerStream.pair(10);
  const bytes = new TextEncoder().encode("more than the window of this stream");
  const set = options(wholeResponse(bytes, { status: 200, headers: {} }));
  const writing = writeAnswer(far, set);
  assert.equal((await near.read())?.kind, "head");
  const data = await near.read();
  assert.deepEqual(data?.kind === "data" && data.bytes, bytes);
  assert.equal(await near.read(), undefined);
  await writing;
  assert.equal(set.timers.pendingCount, 0);
});

Deno.test("writeAnswer() gives up on a peer that takes nothing of a whole answer", async () => {
  const [, far] = MemoryPeerStream.pair(10);
  const set = options(wholeResponse(new Uint8Array(100), { status: 200, headers: {} }));
  const writing = writeAnswer(far, set);
  await turns();
  set.timers.advance(2_000);
  await assert.rejects(writing, StreamBrokenError);
});

Deno.test("writeAnswer() says at the end that an answer broke off", async () => {
  const [near, far] = MemoryPeerStream.pair();
  const { body, controller } = slowBody();
  const writing = writeAnswer(far, options(new Response(body)));
  controller().enqueue(new Uint8Array(3));
  await turns();
  controller().error(new Error("the engine died"));
  await writing;
  await near.read();
  await near.read();
  assert.deepEqual(await near.read(), {
    kind: "head",
    head: { t: "broken", message: "the engine died" },
  });
  assert.equal(await near.read(), undefined);
});

Deno.test("writeAnswer() cancels the answer's body when the peer gives up", async () => {
  const [near, far] = MemoryPeerStream.pair();
  const { body, cancelled } = slowBody();
  const writing = writeAnswer(far, options(new Response(body)));
  await turns();
  near.cancel();
  await cancelled;
  await assert.rejects(writing, StreamBrokenError);
});

Deno.test("writeAnswer() gives up on a peer that takes nothing, not on one that is slow", async () => {
  const [near, far] = MemoryPeerStream.pair(10);
  const { body, controller, cancelled } = slowBody();
  const set = options(new Response(body));
  const writing = writeAnswer(far, set);
  await turns();
  await near.read();
  for (let i = 0; i < 5; i += 1) {
    controller().enqueue(new Uint8Array(100));
    await turns(3);
    set.timers.advance(900);
    await near.read();
    await turns(3);
  }
  assert.equal(far.isCancelled, false);
  controller().enqueue(new Uint8Array(100));
  await turns();
  set.timers.advance(2_000);
  assert.equal(far.isCancelled, true);
  await assert.rejects(writing, StreamBrokenError);
  await cancelled;
  assert.equal(set.timers.pendingCount, 0);
});

Deno.test("writeAnswer() has no limit on the time until the answer goes on", async () => {
  const [near, far] = MemoryPeerStream.pair();
  const { body, controller } = slowBody();
  const set = options(new Response(body));
  const writing = writeAnswer(far, set);
  await turns();
  set.timers.advance(3_600_000);
  assert.equal(far.isCancelled, false);
  controller().close();
  await writing;
  await near.read();
  assert.equal(await near.read(), undefined);
});
