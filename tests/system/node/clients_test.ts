import assert from "node:assert/strict";
import { until } from "#support/fake_engine.ts";
import { errorOf, FAKE_MODEL, FakeNode } from "#support/fake_node.ts";
import { SseReader } from "#support/sse.ts";

const CHAT = "/v1/chat/completions";
/** Requests that may wait for one model; see PROXY_LIMITS. */
const QUEUE_MAX = 64;

/** Sends a request that nobody expects an answer to. */
function askAndLeave(fake: FakeNode, controller: AbortController, body = {}): Promise<void> {
  return fake.chat(body, { signal: controller.signal })
    .then((response) => response.body?.cancel())
    .catch((error) => {
      if (!controller.signal.aborted) throw error;
    });
}

async function assertAnswers(fake: FakeNode): Promise<void> {
  const response = await fake.chat();
  assert.equal(response.status, 200);
  await response.body?.cancel();
}

/** True when nothing of any request is left in the node. */
async function isIdle(fake: FakeNode): Promise<boolean> {
  const status = await fake.status();
  return status.inflight_requests === 0 && status.queued_requests === 0;
}

Deno.test("a client that leaves ends the engine's work, whenever it leaves", async (t) => {
  await using fake = await FakeNode.ready({ args: ["--parallel", "1"] });

  await t.step("before the first byte", async () => {
    await fake.control({ answers: { [CHAT]: { kind: "hang" } } });
    const controller = new AbortController();
    const asked = askAndLeave(fake, controller);
    await until(async () => (await fake.record()).active === 1, "the engine at work");
    controller.abort();
    await asked;
    await until(async () => (await fake.record()).aborted === 1, "the engine's work cancelled");
    await until(() => isIdle(fake), "an idle node");
  });

  await t.step("in the middle of a stream", async () => {
    await fake.control({ answers: { [CHAT]: { kind: "stream", chunks: 1_000_000, pauseMs: 5 } } });
    const controller = new AbortController();
    const response = await fake.chat({ stream: true }, { signal: controller.signal });
    assert.notEqual(await new SseReader(response.body).next(), undefined);
    controller.abort();
    await until(async () => (await fake.record()).aborted === 2, "the engine's work cancelled");
    await until(() => isIdle(fake), "an idle node");
  });

  await t.step("while it waits for its turn: the engine never hears of it", async () => {
    await fake.control({ answers: { [CHAT]: { kind: "hang" } } });
    const before = (await fake.record()).received;
    const [first, second] = [new AbortController(), new AbortController()];
    const running = askAndLeave(fake, first);
    await until(async () => (await fake.record()).active === 1, "the engine at work");
    const waiting = askAndLeave(fake, second);
    await until(async () => (await fake.status()).queued_requests === 1, "one that waits");
    second.abort();
    await waiting;
    await until(async () => (await fake.status()).queued_requests === 0, "none that waits");
    first.abort();
    await running;
    await until(() => isIdle(fake), "an idle node");
    assert.equal((await fake.record()).received, before + 1);
  });

  await t.step("its slot is free for the next one", async () => {
    await fake.control({ answers: {} });
    await assertAnswers(fake);
  });
});

Deno.test("beyond the queue's bound clients are told when to come back", async (t) => {
  await using fake = await FakeNode.ready({ args: ["--parallel", "1"] });
  await fake.control({ answers: { [CHAT]: { kind: "hang" } } });
  const [first, others] = [new AbortController(), new AbortController()];
  const running = askAndLeave(fake, first);
  await until(async () => (await fake.record()).active === 1, "the engine at work on one");
  const waiting = Array.from({ length: QUEUE_MAX }, () => askAndLeave(fake, others));
  await until(async () => (await fake.status()).queued_requests === QUEUE_MAX, "a full queue");

  await t.step("429 with Retry-After, at once", async () => {
    const response = await fake.chat();
    assert.equal(response.status, 429);
    assert.match(response.headers.get("retry-after") ?? "", /^[1-9]\d*$/);
    const error = await errorOf(response);
    assert.deepEqual([error["code"], error["type"]], ["queue_full", "rate_limit_error"]);
  });

  await t.step("the lists and the status answer all the same", async () => {
    const api = await fake.node.apiBase();
    const models = await (await fetch(`${api}/v1/models`)).json();
    assert.equal(models.data[0].id, FAKE_MODEL);
    const metrics = await (await fetch(`${api}/metrics`)).text();
    assert.match(metrics, /^mesh_llm_requests_waiting 64$/m);
  });

  await t.step("when they have left, the next one is answered", async () => {
    // Who waits leaves first: the slot of the one that runs would go to one whose leaving is still on its way.
    others.abort();
    await Promise.all(waiting);
    await until(async () => (await fake.status()).queued_requests === 0, "none that waits");
    first.abort();
    await running;
    await until(() => isIdle(fake), "an idle node");
    await fake.control({ answers: {} });
    await assertAnswers(fake);
    assert.equal((await fake.record()).received, 2);
  });
});

Deno.test("those who wait are answered in turn, each once", async () => {
  await using fake = await FakeNode.ready({ args: ["--parallel", "2"] });
  await fake.control({ serviceMs: 5 });
  const responses = await Promise.all(Array.from({ length: 50 }, () => fake.chat()));
  for (const response of responses) {
    assert.equal(response.status, 200);
    assert.equal((await response.json()).object, "chat.completion");
  }
  // The engine counts an answer when it is out of its hands, which may be after it arrived.
  await until(async () => (await fake.record()).active === 0, "the engine at rest");
  const { received, answered } = await fake.record();
  assert.deepEqual([received, answered], [50, 50]);
});

/** Asks over a bare connection and never reads what comes. */
async function askWithoutReading(fake: FakeNode): Promise<Deno.TcpConn> {
  const { port } = new URL(await fake.node.apiBase());
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
  const body = JSON.stringify({ model: FAKE_MODEL, stream: true, messages: [] });
  const head = [
    `POST ${CHAT} HTTP/1.1`,
    "Host: localhost",
    "Content-Type: application/json",
    `Content-Length: ${body.length}`,
  ];
  await connection.write(new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n${body}`));
  return connection;
}

Deno.test("a reader that does not read stops its own stream, and nobody else's", async () => {
  await using fake = await FakeNode.ready({ args: ["--parallel", "2"] });
  // Some 100 MB: much more than all buffers on the way.
  await fake.control({ chunks: 1_000_000 });
  const stalled = await askWithoutReading(fake);
  await until(async () => (await fake.record()).active === 1, "the stream under way");
  await fake.control({ chunks: 8 });
  for (let count = 0; count < 20; count += 1) {
    const text = await (await fake.chat({ stream: true })).text();
    assert.match(text, /\[DONE\]\n\n$/);
  }
  // The engine is held back: nobody collects the stream on its way.
  await until(async () => (await fake.record()).active === 1, "the engine at work on one alone");
  assert.equal((await fake.record()).answered, 20);
  const metrics = await (await fetch(`${await fake.node.apiBase()}/metrics`)).text();
  const resident = Number(/^mesh_llm_resident_memory_bytes (\S+)$/m.exec(metrics)?.[1]);
  assert.ok(resident > 0 && resident < 400 * 2 ** 20, `${resident} bytes in memory`);
  stalled.close();
  await until(async () => (await fake.record()).aborted === 1, "the stream's end");
  await until(() => isIdle(fake), "an idle node");
});
