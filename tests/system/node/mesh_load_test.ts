import assert from "node:assert/strict";
import { until } from "#support/fake_engine.ts";
import { MeshTestNode, tellFigure } from "#support/mesh_nodes.ts";

const CHAT = "/v1/chat/completions";
const CALLERS = 64;
const REQUESTS_EACH = 8;
const CHUNKS = 20;

/** One caller: streams and answers in one piece by turns, each read to its end. */
async function call(node: MeshTestNode): Promise<void> {
  for (let turn = 0; turn < REQUESTS_EACH; turn += 1) {
    const stream = turn % 2 === 0;
    const response = await node.chat("alpha", { stream });
    const text = await response.text();
    assert.equal(response.status, 200, text);
    if (!stream) assert.equal(JSON.parse(text).object, "chat.completion");
    else assert.equal(text.match(/^data: /gm)?.length, CHUNKS + 1);
  }
}

async function residentBytes(node: MeshTestNode): Promise<number> {
  const metrics = await (await fetch(`${node.api}/metrics`)).text();
  return Number(/^mesh_llm_resident_memory_bytes (\S+)$/m.exec(metrics)?.[1]);
}

/** Asks over a bare connection and never reads what comes. */
async function askWithoutReading(node: MeshTestNode): Promise<Deno.TcpConn> {
  const connection = await Deno.connect({
    hostname: "127.0.0.1",
    port: Number(new URL(node.api).port),
  });
  const body = JSON.stringify({ model: "alpha", stream: true, messages: [] });
  const head = [
    `POST ${CHAT} HTTP/1.1`,
    "Host: localhost",
    "Content-Type: application/json",
    `Content-Length: ${body.length}`,
  ];
  await connection.write(new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n${body}`));
  return connection;
}

/** The node's queues and the engine's hands are empty. */
async function isIdle(node: MeshTestNode): Promise<boolean> {
  const status = await node.fake.status();
  return status.inflight_requests === 0 && status.queued_requests === 0;
}

Deno.test("many callers share one link, and one that does not read stops nobody", async (t) => {
  await using host = await MeshTestNode.start({
    serves: "alpha",
    args: ["--parallel", "16"],
    script: { chunks: CHUNKS },
  });
  await using client = await MeshTestNode.start({ token: await host.token(), isClient: true });
  await client.listed("alpha");

  await t.step(`${CALLERS} callers: every answer whole, none lost`, async () => {
    const startedMs = performance.now();
    await Promise.all(Array.from({ length: CALLERS }, () => call(client)));
    const seconds = (performance.now() - startedMs) / 1000;
    const count = CALLERS * REQUESTS_EACH;
    tellFigure(`${count} requests in ${seconds.toFixed(1)} s, ${Math.round(count / seconds)}/s`);
    // The engine counts an answer when it is out of its hands, which may be after it arrived.
    await until(async () => (await host.fake.record()).active === 0, "the engine at rest");
    const { received, answered, aborted } = await host.fake.record();
    assert.deepEqual([received, answered, aborted], [count, count, 0]);
    await until(async () => await isIdle(host) && await isIdle(client), "idle nodes");
  });

  await t.step("a reader that does not read is held back, and nobody else", async () => {
    const before = (await host.fake.record()).answered;
    // Some 100 MB: much more than all buffers on the way.
    await host.fake.control({ chunks: 1_000_000 });
    const stalled = await askWithoutReading(client);
    await until(async () => (await host.fake.record()).active === 1, "the stream under way");
    await host.fake.control({ chunks: CHUNKS });
    await Promise.all(Array.from({ length: 8 }, () => call(client)));
    await until(async () => (await host.fake.record()).active === 1, "the stalled one alone");
    assert.equal((await host.fake.record()).answered - before, 8 * REQUESTS_EACH);
    for (const node of [host, client]) {
      const bytes = await residentBytes(node);
      tellFigure(`${node === host ? "host" : "client"}: ${Math.round(bytes / 2 ** 20)} MiB`);
      assert.ok(bytes > 0 && bytes < 400 * 2 ** 20, `${bytes} bytes in memory`);
    }
    stalled.close();
    await until(async () => (await host.fake.record()).active === 0, "the stream's end");
    await until(async () => await isIdle(host) && await isIdle(client), "idle nodes");
  });
});
