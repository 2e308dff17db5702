/** Streams, silence and the queue, on virtual time. */
import assert from "node:assert/strict";
import { SimulatedExchange } from "#support/simulated_exchange.ts";
import { errorOf, TestDoor } from "#support/test_door.ts";

const CHAT = "/v1/chat/completions";
const STREAM = { model: "tiny", stream: true };
const SSE = { "content-type": "text/event-stream" };

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Lets everything run that waits for nothing from outside. */
function turn(): Promise<void> {
  return new Promise((turned) => setTimeout(turned, 0));
}

function from(...texts: string[]): () => AsyncGenerator<Uint8Array<ArrayBuffer>> {
  return async function* () {
    for (const text of texts) {
      await Promise.resolve();
      yield bytes(text);
    }
  };
}

Deno.test("a stream is passed on piece by piece", async () => {
  const door = new TestDoor();
  const second = Promise.withResolvers<void>();
  void door.engine.script({
    headers: SSE,
    async *pieces() {
      yield bytes("data: 1\n\n");
      await second.promise;
      yield bytes("data: 2\n\n");
    },
  });
  const response = await door.post(CHAT, STREAM);
  assert.equal(response.headers.get("content-type"), "text/event-stream");
  assert.equal(response.headers.get("x-accel-buffering"), "no");
  const reader = response.body!.getReader();
  assert.equal(new TextDecoder().decode((await reader.read()).value), "data: 1\n\n");
  second.resolve();
  assert.equal(new TextDecoder().decode((await reader.read()).value), "data: 2\n\n");
  assert.equal((await reader.read()).done, true);
  assert.deepEqual([door.finished[0]?.outcome, door.finished[0]?.responseBytes], ["answered", 18]);
});

Deno.test("a stream that breaks off ends with an error event after whole events", async () => {
  const door = new TestDoor();
  void door.engine.script({
    headers: SSE,
    pieces: from("data: 1\n\n", 'data: {"half'),
    cut: "after the pieces",
  });
  const text = await (await door.post(CHAT, STREAM)).text();
  const [first, second, ...rest] = text.split("\n\n");
  assert.equal(first, "data: 1");
  const { error } = JSON.parse(second?.replace(/^data: /, "") ?? "");
  assert.deepEqual([error.code, error.type, error.param], [
    "upstream_failed",
    "server_error",
    null,
  ]);
  assert.match(error.message, /broke off/);
  assert.deepEqual(rest, [""]);
  assert.deepEqual([door.finished[0]?.outcome, door.finished[0]?.code], [
    "broken",
    "upstream_failed",
  ]);
});

for (const path of ["/v1/messages", "/v1/responses"]) {
  Deno.test(`a stream of ${path} that breaks off ends with an event named error`, async () => {
    const door = new TestDoor();
    void door.engine.script({
      headers: SSE,
      pieces: from("event: a\ndata: 1\n\n"),
      cut: "after the pieces",
    });
    const text = await (await door.post(path, STREAM)).text();
    const data = /\n\nevent: error\ndata: (.*)\n\n$/.exec(text)?.[1] ?? "";
    const { type, error } = JSON.parse(data);
    if (path === "/v1/messages") assert.deepEqual([type, error.type], ["error", "api_error"]);
    else assert.equal(error.code, "upstream_failed");
  });
}

Deno.test("an answer that is no event stream is not begun before it is complete", async () => {
  const door = new TestDoor();
  void door.engine.script({
    headers: { "content-type": "application/json" },
    pieces: from('{"a":'),
    cut: "after the pieces",
  });
  const response = await door.post(CHAT, STREAM);
  assert.equal(response.status, 502);
  assert.match((await errorOf(response)).message, /broke off/);
  void door.engine.script({
    headers: { "content-type": "application/json" },
    pieces: from('{"a":', "1}"),
  });
  assert.deepEqual(await (await door.post(CHAT, STREAM)).json(), { a: 1 });
});

Deno.test("a very large answer is passed on as it comes, and broken off with its source", async () => {
  const door = new TestDoor();
  void door.engine.script({
    headers: { "content-type": "application/json" },
    pieces: from(...Array(5).fill("x".repeat(1024 * 1024))),
    cut: "after the pieces",
  });
  const response = await door.post(CHAT, STREAM);
  assert.equal(response.status, 200);
  await assert.rejects(response.text());
  assert.equal(door.finished[0]?.outcome, "broken");
});

Deno.test("a first byte may take its time: 59 minutes are not too long", async () => {
  const door = new TestDoor();
  const seen = door.engine.script({ isSilent: true });
  const asked = door.post(CHAT, STREAM);
  const { cancelled } = await seen;
  door.time.advance(59 * 60_000);
  assert.equal(door.finished.length, 0);
  door.time.advance(60_000);
  const response = await asked;
  assert.equal(response.status, 504);
  const error = await errorOf(response);
  assert.equal(error.code, "upstream_timeout");
  await cancelled;
  assert.equal(door.time.pendingCount, 0);
});

Deno.test("a stream that falls silent for ten minutes ends with upstream_timeout", async () => {
  const door = new TestDoor();
  const seen = door.engine.script({
    headers: SSE,
    async *pieces() {
      yield bytes("data: 1\n\n");
      await new Promise(() => {});
    },
  });
  const response = await door.post(CHAT, STREAM);
  const reader = response.body!.getReader();
  await reader.read();
  const rest = reader.read();
  const { cancelled } = await seen;
  await turn();
  door.time.advance(599_999);
  assert.equal(door.finished.length, 0);
  door.time.advance(1);
  await cancelled;
  assert.match(new TextDecoder().decode((await rest).value), /"code":"upstream_timeout"/);
});

Deno.test("a client that leaves a stream cancels the engine's work", async () => {
  const door = new TestDoor();
  const seen = door.engine.script({
    headers: SSE,
    pieces: from(...Array(100).fill("data: 1\n\n")),
  });
  const response = await door.post(CHAT, STREAM);
  const { cancelled } = await seen;
  const reader = response.body!.getReader();
  await reader.read();
  await reader.cancel();
  await cancelled;
  assert.equal(door.finished[0]?.outcome, "client gone");
  assert.equal(door.time.pendingCount, 0);
});

Deno.test("a client that leaves before the first byte cancels the engine's work", async () => {
  const door = new TestDoor();
  const seen = door.engine.script({ isSilent: true });
  const exchange = new SimulatedExchange();
  const asked = exchange.post(door, CHAT, STREAM);
  const { cancelled } = await seen;
  exchange.leave();
  await cancelled;
  assert.equal((await asked).status, 499);
  assert.deepEqual([door.finished[0]?.outcome, door.finished[0]?.status], ["client gone", 499]);
  assert.equal(door.time.pendingCount, 0);
});

Deno.test("requests beyond the slots wait in order, and a slot is handed on at the end", async () => {
  const door = new TestDoor({ slots: 1 });
  const ends = [1, 2, 3].map(() => Promise.withResolvers<void>());
  const seen = ends.map(({ promise }, i) =>
    door.engine.script({
      async *pieces() {
        await promise;
        yield bytes(`${i}`);
      },
    })
  );
  const asked = ends.map((_, i) => door.post(CHAT, { ...STREAM, n: i }));
  for (const [i, end] of ends.entries()) {
    const { body } = await seen[i]!;
    assert.match(new TextDecoder().decode(body), new RegExp(`"n":${i}`));
    assert.equal(door.engine.seen.length, i + 1);
    end.resolve();
    assert.equal(await (await asked[i]!).text(), `${i}`);
  }
});

Deno.test("a full queue answers queue_full with Retry-After from measured times", async () => {
  const limits = { admission: { queueMax: 1, waitMsMax: 600_000 } };
  const door = new TestDoor({ slots: 1, limits });
  const first = Promise.withResolvers<void>();
  const seen = door.engine.script({
    async *pieces() {
      await first.promise;
      yield bytes("{}");
    },
  });
  const running = door.post(CHAT, STREAM);
  await seen;
  void door.engine.script({ isSilent: true });
  const waiting = new SimulatedExchange();
  const waited = waiting.post(door, CHAT, STREAM);
  await waiting.settled();
  door.time.advance(30_000);
  const refused = await door.post(CHAT, STREAM);
  assert.equal(refused.status, 429);
  assert.equal(refused.headers.get("retry-after"), "5");
  assert.equal((await errorOf(refused)).code, "queue_full");
  first.resolve();
  await (await running).text();
  // One answer was measured by now: it took 30 s, and one request waits for one slot.
  const last = new SimulatedExchange();
  const unanswered = last.post(door, CHAT, STREAM);
  await last.settled();
  const later = await door.post(CHAT, STREAM);
  assert.equal(later.headers.get("retry-after"), "30");
  for (const exchange of [waiting, last]) exchange.leave();
  await Promise.all([waited, unanswered]);
});

Deno.test("a client that leaves the queue gives its place to the next and never reaches the engine", async () => {
  const limits = { admission: { queueMax: 1, waitMsMax: 600_000 } };
  const door = new TestDoor({ slots: 1, limits });
  const first = Promise.withResolvers<void>();
  const seen = door.engine.script({
    async *pieces() {
      await first.promise;
      yield bytes("{}");
    },
  });
  const running = door.post(CHAT, STREAM);
  await seen;
  const leaver = new SimulatedExchange();
  const left = leaver.post(door, CHAT, STREAM);
  await leaver.settled();
  leaver.leave();
  assert.equal((await left).status, 499);
  void door.engine.script({ whole: bytes("{}") });
  const next = door.post(CHAT, STREAM);
  first.resolve();
  await (await running).text();
  assert.equal((await next).status, 200);
  assert.equal(door.engine.seen.length, 2);
});

Deno.test("a request that waited too long for a slot gets upstream_timeout", async () => {
  const door = new TestDoor({ slots: 1 });
  const busy = new SimulatedExchange();
  const seen = door.engine.script({ isSilent: true });
  const running = busy.post(door, CHAT, STREAM);
  await seen;
  const waiter = new SimulatedExchange();
  const asked = waiter.post(door, CHAT, STREAM);
  await waiter.settled();
  door.time.advance(600_000);
  const response = await asked;
  assert.equal(response.status, 504);
  assert.match((await errorOf(response)).message, /no free slot/);
  busy.leave();
  await running;
});

Deno.test("a body that does not arrive gets request_timeout and an end of the connection", async () => {
  const door = new TestDoor();
  const exchange = new SimulatedExchange({ declaredBytes: 1000 });
  const asked = exchange.ask(door, CHAT);
  await exchange.settled();
  for (let i = 0; i < 30; i += 1) {
    exchange.deliver("x");
    door.time.advance(1_000);
  }
  const response = await asked;
  assert.equal(response.status, 408);
  assert.equal(response.headers.get("connection"), "close");
  assert.equal((await errorOf(response)).code, "request_timeout");
  assert.equal(door.time.pendingCount, 0);
});

Deno.test("a body that breaks off gets invalid_request_error", async () => {
  const door = new TestDoor();
  const exchange = new SimulatedExchange({ declaredBytes: 1000 });
  const asked = exchange.ask(door, CHAT);
  await exchange.settled();
  exchange.deliver('{"model"');
  exchange.breakOff();
  const response = await asked;
  assert.equal(response.status, 400);
  assert.equal((await errorOf(response)).code, "invalid_request_error");
});

Deno.test("the memory of bodies is given back however a request ends", async () => {
  const door = new TestDoor({ limits: { bodiesBytesMax: 100 } });
  const body = JSON.stringify({ model: "tiny", pad: "x".repeat(40) });
  for (let i = 0; i < 5; i += 1) {
    void door.engine.script({ whole: bytes("{}") });
    assert.equal((await door.post(CHAT, body)).status, 200);
    assert.equal((await door.post(CHAT, body.replace("tiny", "nope"))).status, 404);
    assert.equal((await door.post(CHAT, `${body}x`)).status, 400);
  }
  const tooMuch = await door.post(CHAT, { model: "tiny", pad: "x".repeat(100) });
  assert.equal(tooMuch.status, 429);
  assert.equal((await errorOf(tooMuch)).code, "queue_full");
  void door.engine.script({ whole: bytes("{}") });
  assert.equal((await door.post(CHAT, body)).status, 200);
});

Deno.test("a peer that fills the memory of bodies keeps out neither clients here nor all other peers", async () => {
  const door = new TestDoor({ limits: { bodiesBytesMax: 400 } });
  door.localTable.serve("tiny", door.engine, { slots: 100 });
  const body = JSON.stringify({ model: "tiny", pad: "x".repeat(75) });
  assert.equal(body.length, 100);
  const headers = { host: "localhost" };
  const askAs = async (nodeId?: string): Promise<Response> => {
    const peer = nodeId === undefined ? undefined : { nodeId, model: undefined };
    return await door.app.request(CHAT, { method: "POST", body, headers }, { peer });
  };
  const held = async (nodeId: string): Promise<void> => {
    const seen = door.engine.script({ isSilent: true });
    void askAs(nodeId);
    await seen;
  };
  await held("greedy");
  await held("greedy");
  assert.equal((await askAs("greedy")).status, 429, "it has its half");
  await held("other");
  assert.equal((await askAs("other")).status, 429, "peers have three quarters");
  void door.engine.script({ whole: bytes("{}") });
  assert.equal((await askAs()).status, 200);
});
