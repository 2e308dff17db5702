/** Two whole doors, joined by streams in memory: a client asks the near one, the far one computes. */
import assert from "node:assert/strict";
import { MemoryUpstream } from "#support/memory_upstream.ts";
import { FAR, FarNode, nearDoorTo, NEXT, TestPeerUpstream, turns } from "#support/peer_pair.ts";
import { SimulatedExchange } from "#support/simulated_exchange.ts";
import { errorOf } from "#support/test_door.ts";

const CHAT = "/v1/chat/completions";
const STREAM = { model: "tiny", stream: true };
const SSE = { "content-type": "text/event-stream" };
const EVENTS = ["data: 1\n\n", 'data: {"a":"é"}\n\n', "data: [DONE]\n\n"];

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

async function* from(texts: readonly string[]): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (const text of texts) {
    await Promise.resolve();
    yield bytes(text);
  }
}

async function* endless(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (;;) {
    yield bytes("data: x\n\n");
    await new Promise((turned) => setImmediate(turned));
  }
}

function jsonBytes(value: unknown): Uint8Array<ArrayBuffer> {
  return bytes(JSON.stringify(value));
}

Deno.test("a stream through the far door is what that door gives itself", async () => {
  const far = new FarNode();
  const near = nearDoorTo(far.upstream());
  void far.door.engine.script({ headers: SSE, pieces: () => from(EVENTS) });
  const direct = await far.door.post(CHAT, STREAM, { headers: { "x-request-id": "r" } });
  void far.door.engine.script({ headers: SSE, pieces: () => from(EVENTS) });
  const through = await near.post(CHAT, STREAM, { headers: { "x-request-id": "r" } });
  assert.equal(through.status, direct.status);
  const rest = (response: Response): string[][] =>
    [...response.headers].filter(([name]) => name !== "x-mesh-llm-node");
  assert.deepEqual(rest(through), rest(direct));
  assert.equal(through.headers.get("x-mesh-llm-node"), FAR);
  assert.equal(await through.text(), await direct.text());
  assert.equal(near.finished[0]?.outcome, "answered");
  assert.equal(near.finished[0]?.nodeId, FAR);
  await far.served[0];
});

Deno.test("the engine sees the same request through a link as directly", async () => {
  const far = new FarNode();
  const near = nearDoorTo(far.upstream());
  const ask = { headers: { "anthropic-version": "2023-06-01", "cookie": "a=b", "te": "x" } };
  const text = ' { "x": 1.50, "model":"TINY.gguf" }\n';
  for (const door of [far.door, near]) {
    void far.door.engine.script({ whole: jsonBytes({}) });
    await (await door.post("/v1/messages", text, ask)).body?.cancel();
  }
  const [direct, through] = far.door.engine.seen.map(({ path, headers, body }) => ({
    path,
    body: new TextDecoder().decode(body),
    headers: [...headers].filter(([name]) => name !== "x-request-id"),
  }));
  assert.deepEqual(through, direct);
  assert.equal(through?.body, text);
});

Deno.test("a request without a model means the only one of the mesh, wherever it is", async () => {
  const far = new FarNode();
  // The far node has two; the near one knows of the first only.
  far.door.localTable.serve("other", new MemoryUpstream());
  void far.door.engine.script({ whole: jsonBytes({ ok: true }) });
  const response = await nearDoorTo(far.upstream()).post(CHAT, {});
  assert.deepEqual(await response.json(), { ok: true });
});

for (const when of ["during the prefill", "in the middle of a stream"] as const) {
  Deno.test(`a client that leaves ${when} reaches the far engine`, async () => {
    const far = new FarNode();
    const near = nearDoorTo(far.upstream());
    const isEarly = when === "during the prefill";
    const seen = far.door.engine.script(
      isEarly ? { isSilent: true } : { headers: SSE, pieces: endless },
    );
    const client = new SimulatedExchange();
    const asked = client.post(near, CHAT, STREAM);
    const { cancelled } = await seen;
    if (!isEarly) await (await asked).body?.getReader().read();
    client.leave();
    await cancelled;
    await far.served[0];
    assert.equal(far.door.finished[0]?.outcome, "client gone");
  });
}

Deno.test("a reader that stops does not fill anybody's memory", async () => {
  const far = new FarNode();
  const near = nearDoorTo(far.upstream());
  let writtenBytes = 0;
  void far.door.engine.script({
    headers: SSE,
    async *pieces() {
      const event = bytes(`data: ${"x".repeat(64 * 1024)}\n\n`);
      for (;;) {
        await Promise.resolve();
        writtenBytes += event.length;
        yield event;
      }
    },
  });
  const response = await near.post(CHAT, STREAM);
  let before = -1;
  while (before !== writtenBytes) {
    before = writtenBytes;
    await turns();
  }
  assert.ok(writtenBytes < 2 * 1024 * 1024, `${writtenBytes} bytes for a reader that took none`);
  await response.body?.cancel();
  await far.served[0];
});

Deno.test("64 requests at once each get their own answer", async () => {
  const far = new FarNode({ slots: 4 });
  const near = nearDoorTo(far.upstream(), { slots: 32 });
  const answers = new Map<string, string>();
  far.door.localTable.targetsOf.set("tiny", [{
    nodeId: FAR,
    slots: 4,
    upstream: {
      send: ({ body }) => {
        const { n } = JSON.parse(new TextDecoder().decode(body));
        return Promise.resolve({
          status: 200,
          headers: new Headers(SSE),
          body: ReadableStream.from(from([`data: ${n}\n\n`, "data: [DONE]\n\n"])),
        });
      },
    },
  }]);
  await Promise.all(Array.from({ length: 64 }, async (_, n) => {
    const response = await near.post(CHAT, { ...STREAM, n, pad: "x".repeat(n * 100) });
    answers.set(`data: ${n}\n\ndata: [DONE]\n\n`, await response.text());
  }));
  for (const [wanted, got] of answers) assert.equal(got, wanted);
  await Promise.all(far.served);
  assert.equal(far.door.finished.length, 64);
  assert.ok(far.streams.every((stream) => !stream.broken.aborted && !stream.isCancelled));
});

Deno.test("a link that is lost in the middle of a stream ends it with an error event", async () => {
  const far = new FarNode();
  const near = nearDoorTo(far.upstream());
  const first = Promise.withResolvers<void>();
  const seen = far.door.engine.script({
    headers: SSE,
    async *pieces() {
      yield bytes("data: 1\n\n");
      await first.promise;
    },
  });
  const response = await near.post(CHAT, STREAM);
  const { cancelled } = await seen;
  const reader = response.body!.getReader();
  assert.equal(new TextDecoder().decode((await reader.read()).value), "data: 1\n\n");
  const rest = reader.read();
  far.streams[0]?.cutOff();
  const event = new TextDecoder().decode((await rest).value);
  assert.equal(JSON.parse(event.replace(/^data: /, "")).error.code, "upstream_failed");
  assert.equal((await reader.read()).done, true);
  await cancelled;
  first.resolve();
});

Deno.test("a link that is lost before the answer is told as a failure of that node", async () => {
  const far = new FarNode();
  const near = nearDoorTo(far.upstream());
  const seen = far.door.engine.script({ isSilent: true });
  const asked = near.post(CHAT, STREAM);
  await seen;
  far.streams[0]?.cutOff();
  const response = await asked;
  assert.equal(response.status, 502);
  const { code, message } = await errorOf(response);
  assert.equal(code, "upstream_failed");
  assert.match(message, new RegExp(FAR));
});

Deno.test("what the far door says of a full queue or a loading model is passed on as it is", async () => {
  const limits = { admission: { queueMax: 0, waitMsMax: 1_000 } };
  const busy = new FarNode({ slots: 1, limits });
  const running = busy.door.engine.script({ isSilent: true });
  const near = nearDoorTo(busy.upstream());
  const client = new SimulatedExchange();
  const first = client.post(near, CHAT, STREAM);
  const { cancelled } = await running;
  const refused = await near.post(CHAT, STREAM);
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get("retry-after"), "5");
  assert.equal((await errorOf(refused)).code, "queue_full");
  client.leave();
  await Promise.all([first, cancelled]);

  const loading = new FarNode({ isEmpty: true });
  loading.door.localTable.loadingModels = [{ id: "tiny", phase: "loading", percent: 40 }];
  const told = await nearDoorTo(loading.upstream()).post(CHAT, STREAM);
  assert.equal(told.status, 503);
  assert.equal(told.headers.get("retry-after"), "5");
  const { code, phase, percent } = await errorOf(told);
  assert.deepEqual([code, phase, percent], ["model_loading", "loading", 40]);
});

Deno.test("one peer cannot fill the queue of a model: the far node's own caller waits in it", async () => {
  const far = new FarNode({ slots: 1, limits: { admission: { queueMax: 2, waitMsMax: 1_000 } } });
  const near = nearDoorTo(far.upstream());
  const running = far.door.engine.script({ isSilent: true });
  const greedy = new SimulatedExchange();
  const first = greedy.post(near, CHAT, STREAM);
  await running;
  const second = greedy.post(near, CHAT, STREAM);
  await turns();
  const refused = await near.post(CHAT, STREAM);
  assert.equal(refused.status, 429);
  assert.match((await errorOf(refused)).message, /one peer may hold 1 of the 2 places/);
  void far.door.engine.script({ whole: jsonBytes({ turn: "second" }) });
  void far.door.engine.script({ whole: jsonBytes({ turn: "local" }) });
  const local = far.door.post(CHAT, STREAM);
  await turns();
  greedy.leave();
  assert.equal((await local).status, 200);
  await Promise.allSettled([first, second]);
});

Deno.test("an engine's own complaint about the request is passed on, and nobody else is asked", async () => {
  const far = new FarNode();
  const near = nearDoorTo(far.upstream());
  const other = new MemoryUpstream();
  near.table.alsoServe("tiny", { nodeId: NEXT, upstream: other, slots: 1, isRemote: true });
  void far.door.engine.script({
    status: 400,
    whole: jsonBytes({ error: { code: 400, message: "too long", type: "exceed_context_size" } }),
  });
  const response = await near.post(CHAT, STREAM);
  assert.equal(response.status, 400);
  assert.deepEqual(await errorOf(response), {
    message: "too long",
    type: "exceed_context_size",
    code: "exceed_context_size",
    param: null,
  });
  assert.equal(other.seen.length, 0);
});

Deno.test("the next node is asked when the first link is suspect, closed, busy or gone", async () => {
  const next = new MemoryUpstream();
  const busy = new FarNode();
  busy.peers.stop();
  const silent = new FarNode();
  const suspect = silent.upstream();
  const ways = {
    closed: new TestPeerUpstream(FAR, undefined),
    stopping: busy.upstream(),
    "without the model": new FarNode({ isEmpty: true }).upstream(),
    suspect,
  };
  for (const [what, way] of Object.entries(ways)) {
    const near = nearDoorTo(way);
    near.table.alsoServe("tiny", { nodeId: NEXT, upstream: next, slots: 4, isRemote: true });
    void next.script({ whole: jsonBytes({ what }) });
    const seen = what === "suspect" ? silent.door.engine.script({ isSilent: true }) : undefined;
    const asked = near.post(CHAT, {});
    if (seen !== undefined) {
      const { cancelled } = await seen;
      suspect.suspect();
      await cancelled;
    }
    const response = await asked;
    assert.deepEqual(await response.json(), { what });
    assert.equal(response.headers.get("x-mesh-llm-node"), NEXT);
  }
});

Deno.test("two nodes that each believe the other serves a model do not pass it round", async () => {
  const far = new FarNode({ isEmpty: true });
  const near = nearDoorTo(far.upstream());
  // The far node's own clients would be sent back to the near one.
  far.door.table.serve("tiny", new TestPeerUpstream(FAR, () => assert.fail("a loop")));
  const response = await near.post(CHAT, STREAM);
  assert.equal(response.status, 502);
  assert.match((await errorOf(response)).message, /Cannot find model|No model is served/);
});

Deno.test("a request counts as demand where it came in, and nowhere else", async () => {
  const far = new FarNode();
  const near = nearDoorTo(far.upstream());
  void far.door.engine.script({ whole: jsonBytes({}) });
  const response = await near.post(CHAT, { model: "TINY.gguf" });
  assert.equal(response.status, 200);
  await response.body?.cancel();
  await Promise.all(far.served);
  assert.deepEqual(near.demanded, ["tiny"]);
  assert.deepEqual(far.door.demanded, []);
});
