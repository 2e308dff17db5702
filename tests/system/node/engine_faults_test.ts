import assert from "node:assert/strict";
import { until } from "#support/fake_engine.ts";
import { errorOf, FakeNode } from "#support/fake_node.ts";
import { isAlive } from "#support/processes.ts";
import { SseReader } from "#support/sse.ts";
import { readStream } from "#support/stream_load.ts";

const CHAT = "/v1/chat/completions";

/** Waits until the node has brought up its engine for the `count`th time. */
async function readyAgain(fake: FakeNode, count: number): Promise<void> {
  await until(async () => (await fake.starts()).length === count, `start ${count}`);
  await until(async () => (await fake.status()).node_status === "serving", "serving again");
}

async function assertAnswers(fake: FakeNode): Promise<void> {
  const response = await fake.chat();
  assert.equal(response.status, 200);
  assert.equal((await response.json()).object, "chat.completion");
}

Deno.test("an engine that crashes twice while loading is started a third time", async () => {
  await using fake = await FakeNode.ready({ script: { load: { exitCode: 1, exitStarts: 2 } } });
  assert.equal((await fake.starts()).length, 3);
  await assertAnswers(fake);
  await fake.node.told(
    /llama-server ended before it was ready, exit status 1; it is started again/,
  );
});

Deno.test("an engine that crashes at each load ends the program with its last lines", async () => {
  const lines = ["0.00.100.000 E llama_model_load: error loading model: scripted reason"];
  await using fake = await FakeNode.start({ script: { load: { exitCode: 3, lines } } });
  assert.equal((await fake.node.exited).code, 1);
  assert.doesNotMatch(fake.node.stdout, /^Ready:/m);
  const { stderr } = fake.node;
  assert.match(
    stderr,
    /^mesh-llm: llama-server ended before it was ready, exit status 3 \(the last of 3 times\)/m,
  );
  assert.match(stderr, /^ .*error loading model: scripted reason$/m);
  assert.doesNotMatch(stderr, /should not happen/);
  assert.equal((await fake.starts()).length, 3);
});

Deno.test("an engine that crashes is started again, and the next request is answered", async (t) => {
  await using fake = await FakeNode.ready();

  await t.step("idle: noticed from the process, at once", async () => {
    await fake.control({ exit: 134 });
    await fake.node.told(
      /llama-server ended while it served, exit status 134; it is started again/,
    );
    await readyAgain(fake, 2);
    await assertAnswers(fake);
  });

  await t.step("in the middle of a stream: the engine that is started again goes on", async () => {
    const crash = { kind: "stream", chunks: 8, crashAfter: 3 } as const;
    await fake.control({ answers: { [CHAT]: crash } });
    const { text, isDone, errors } = await readStream(await fake.chat({ stream: true }));
    assert.deepEqual([text.trim(), isDone, errors], ["word ".repeat(8).trim(), true, []]);
    await readyAgain(fake, 3);
    await assertAnswers(fake);
  });

  await t.step("in the middle of a stream that is not to go on: an error event", async () => {
    const crash = { kind: "stream", chunks: 8, crashAfter: 3 } as const;
    await fake.control({ answers: { [CHAT]: crash } });
    const headers = { "x-mesh-llm-continue": "off" };
    const response = await fake.chat({ stream: true }, { headers });
    assert.equal(response.status, 200);
    const reader = new SseReader(response.body);
    const blocks = [];
    for (let next = await reader.next(); next !== undefined; next = await reader.next()) {
      blocks.push(JSON.parse(next.data ?? "null"));
    }
    assert.equal(blocks.length, 4);
    assert.ok(blocks.slice(0, 3).every((block) => block.choices.length === 1));
    assert.equal(blocks[3].error.code, "upstream_failed");
    assert.match(blocks[3].error.message, /broke off/);
    await readyAgain(fake, 4);
    await assertAnswers(fake);
  });

  await t.step("before the first byte: a clean error, never a cut connection", async () => {
    await fake.control({ answers: { [CHAT]: { kind: "crash" } } });
    const response = await fake.chat();
    assert.equal(response.status, 502);
    const error = await errorOf(response);
    assert.equal(error["code"], "upstream_failed");
    await readyAgain(fake, 5);
    await assertAnswers(fake);
  });

  await t.step("the metrics count the restarts", async () => {
    const text = await (await fetch(`${await fake.node.apiBase()}/metrics`)).text();
    assert.match(text, /^mesh_llm_engine_restarts_total\{model="tiny"\} 4$/m);
  });
});

Deno.test("requests during a restart are told so, and when to come back", async () => {
  await using fake = await FakeNode.ready();
  const { pid } = await fake.engine();
  // Its next life begins with a load that lasts until it is told to end.
  const scriptPath = `${fake.binDir}/script.json`;
  const script = JSON.parse(await Deno.readTextFile(scriptPath));
  await Deno.writeTextFile(scriptPath, JSON.stringify({ ...script, load: { untilControl: true } }));
  Deno.kill(pid, "SIGKILL");
  await fake.node.told(/it is started again/);
  const response = await fake.chat();
  assert.equal(response.status, 503);
  assert.match(response.headers.get("retry-after") ?? "", /^[1-9]\d*$/);
  const error = await errorOf(response);
  assert.equal(error["code"], "model_loading");
  assert.match(String(error["phase"]), /^(restarting|loading)$/);
  await until(async () => (await fake.starts()).length === 2, "the second start");
  await fake.finishLoading();
  await readyAgain(fake, 2);
  await assertAnswers(fake);
});

Deno.test("an engine that breaks single answers stays, and each client learns of it", async (t) => {
  await using fake = await FakeNode.ready();
  const { pid } = await fake.engine();

  await t.step("a stream that is cut ends with an error event", async () => {
    await fake.control({ answers: { [CHAT]: { kind: "stream", chunks: 8, cutAfter: 2 } } });
    const text = await (await fake.chat({ stream: true })).text();
    assert.match(text, /"code":"upstream_failed"/);
    assert.doesNotMatch(text, /\[DONE\]/);
  });

  await t.step("an answer that is cut before it began is 502", async () => {
    await fake.control({ answers: { [CHAT]: { kind: "close" } } });
    const response = await fake.chat();
    assert.equal(response.status, 502);
    await response.body?.cancel();
  });

  await t.step("an answer shorter than announced is 502, never half an answer", async () => {
    const short = { kind: "truncated", announcedBytes: 500, body: '{"half":' } as const;
    await fake.control({ answers: { [CHAT]: short } });
    const response = await fake.chat();
    assert.equal(response.status, 502);
    await response.body?.cancel();
  });

  await t.step("an error of the engine keeps its status and words, in our shape", async () => {
    const error = { code: 400, message: "context is too long", type: "exceed_context_size_error" };
    const body = JSON.stringify({ error });
    await fake.control({ answers: { [CHAT]: { kind: "raw", status: 400, body } } });
    const response = await fake.chat();
    assert.equal(response.status, 400);
    const told = await errorOf(response);
    assert.equal(told["message"], "context is too long");
    assert.equal(told["code"], "exceed_context_size_error");
  });

  await t.step("the engine was not restarted for any of it", async () => {
    await fake.control({ answers: {} });
    await assertAnswers(fake);
    assert.equal((await fake.engine()).pid, pid);
    assert.equal((await fake.starts()).length, 1);
  });
});

Deno.test("an engine that hangs is ended, even against its will, and started again", async () => {
  await using fake = await FakeNode.ready();
  const { pid } = await fake.engine();
  // Stopped, a process keeps its sockets and answers nothing; SIGTERM does not reach it either.
  Deno.kill(pid, "SIGSTOP");
  const unlucky = fake.chat();
  await fake.node.told(/llama-server did not answer: its health failed 3 times in a row/);
  const response = await unlucky;
  assert.equal(response.status, 502);
  await response.body?.cancel();
  await readyAgain(fake, 2);
  assert.equal(await isAlive(pid), false);
  await assertAnswers(fake);
});
