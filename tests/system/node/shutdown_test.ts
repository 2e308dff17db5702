import assert from "node:assert/strict";
import { join } from "node:path";
import { until } from "#support/fake_engine.ts";
import { FakeNode } from "#support/fake_node.ts";
import { runProgram } from "#support/node_process.ts";
import { isAlive } from "#support/processes.ts";
import { SseReader } from "#support/sse.ts";

/** A stream of some hundred milliseconds, of which the first event has arrived. */
async function openStream(fake: FakeNode, chunks: number): Promise<SseReader> {
  await fake.control({ chunks, pauseMs: 20 });
  const response = await fake.chat({ stream: true });
  assert.equal(response.status, 200);
  const reader = new SseReader(response.body);
  assert.notEqual(await reader.next(), undefined);
  return reader;
}

async function restOf(reader: SseReader): Promise<string[]> {
  const rest: string[] = [];
  for (let next = await reader.next(); next !== undefined; next = await reader.next()) {
    rest.push(next.data ?? "");
  }
  return rest;
}

/** What is left when the program has ended: no engine, no trace of the run. */
async function assertGone(fake: FakeNode): Promise<void> {
  for (const { pid } of await fake.starts()) assert.equal(await isAlive(pid), false);
  const left = await Array.fromAsync(Deno.readDir(join(fake.node.homeDir, "run")));
  assert.deepEqual(left.filter(({ isDirectory }) => isDirectory), []);
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  Deno.test(`${signal} during a stream lets it end complete, then the program ends with 0`, async () => {
    await using fake = await FakeNode.ready();
    const reader = await openStream(fake, 40);
    fake.node.kill(signal);
    const rest = await restOf(reader);
    assert.equal(rest.length, 40);
    assert.equal(rest.at(-1), "[DONE]");
    assert.equal((await fake.node.exited).code, 0);
    await assertGone(fake);
  });
}

Deno.test("while a node ends, new requests are refused, not left hanging", async () => {
  await using fake = await FakeNode.ready();
  const reader = await openStream(fake, 40);
  const api = await fake.node.apiBase();
  fake.node.kill("SIGTERM");
  // Either the door is shut already, or it says that no model is served any more.
  await until(async () => {
    try {
      const response = await fetch(`${api}/health`);
      await response.body?.cancel();
      return response.status === 503;
    } catch {
      return true;
    }
  }, "the end of taking requests");
  assert.equal((await restOf(reader)).at(-1), "[DONE]");
  assert.equal((await fake.node.exited).code, 0);
});

Deno.test("a second signal ends a node at once, and its stream with an error or a cut", async () => {
  await using fake = await FakeNode.ready();
  // Far more than the ten seconds that a first signal would give.
  const reader = await openStream(fake, 100_000);
  fake.node.kill("SIGTERM");
  await until(
    async () => (await fake.status().catch(() => undefined)) === undefined,
    "closed doors",
  );
  assert.equal(await isAlive(fake.node.pid), true);
  const rest = restOf(reader);
  fake.node.kill("SIGTERM");
  const isCut = await rest.then((events) => !events.includes("[DONE]"), () => true);
  assert.ok(isCut);
  assert.equal((await fake.node.exited).code, 0);
  await assertGone(fake);
});

Deno.test("mesh-llm stop ends a node in the same orderly way, and waits for that", async (t) => {
  await using fake = await FakeNode.ready();
  const home = ["--home", fake.node.homeDir];
  const reader = await openStream(fake, 40);
  const [stopped, rest] = await Promise.all([runProgram(["stop", ...home]), restOf(reader)]);
  assert.equal(rest.at(-1), "[DONE]");
  assert.deepEqual(stopped, {
    code: 0,
    stdout: `Stopped the node, process ${fake.node.pid}\n`,
    stderr: "",
  });
  assert.equal((await fake.node.exited).code, 0);
  await assertGone(fake);

  await t.step("a second stop finds nothing to end, and says so", async () => {
    const { code, stdout, stderr } = await runProgram(["stop", ...home]);
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /^mesh-llm: Cannot stop a node: none runs on /);
  });
});

Deno.test("a node can be ended while its engine loads", async () => {
  await using fake = await FakeNode.start({ script: { load: { untilControl: true } } });
  await until(async () => (await fake.starts()).length === 1, "the engine's start");
  const { code, stdout } = await runProgram(["stop", "--home", fake.node.homeDir, "--json"]);
  assert.deepEqual([code, JSON.parse(stdout)], [0, { stopped: fake.node.pid }]);
  assert.equal((await fake.node.exited).code, 0);
  assert.doesNotMatch(fake.node.stdout, /^Ready:/m);
  await assertGone(fake);
});

Deno.test("an engine that ignores SIGTERM does not outlive its node", async () => {
  await using fake = await FakeNode.ready({ script: { ignoresSigterm: true, ignoresStdin: true } });
  const { pid } = await fake.engine();
  assert.equal((await fake.node.stop()).code, 0);
  assert.equal(await isAlive(pid), false);
});
