/** The whole program with the real llama-server and the starter model. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { until } from "#support/fake_engine.ts";
import { NodeProcess } from "#support/node_process.ts";
import { argumentsOf, environmentOf, isAlive } from "#support/processes.ts";
import { startRealNode } from "#support/real_node.ts";
import { SseReader } from "#support/sse.ts";
import { TEST_MODELS_DIR } from "#support/model.ts";

const MODEL = "SmolLM2-135M-Instruct";
const PROMPT = "zebra-prompt-that-nobody-may-keep";

async function post(node: NodeProcess, path: string, body: unknown, signal?: AbortSignal) {
  return await fetch(`${await node.apiBase()}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
}

async function answerOf(node: NodeProcess, path: string, body: unknown) {
  const response = await post(node, path, body);
  assert.equal(response.status, 200);
  return await response.json();
}

const QUESTION = {
  model: MODEL,
  temperature: 0,
  messages: [{ role: "user", content: "What is the capital of France? Answer in one sentence." }],
};

/** Goes on until somebody stops it, as far as the context reaches. */
const ENDLESS = {
  model: MODEL,
  messages: [{ role: "user", content: "Count." }],
  stream: true,
  "ignore_eos": true,
  "max_tokens": 100_000,
};
const ONE_TOKEN = { ...QUESTION, "max_tokens": 1 };
/** The engine's threads wait for each other: on a busy machine it is slower by far. */
const BUSY_DEADLINE_MS = 180_000;

/** The process id of the engine, from the node's own record of it. */
async function enginePid(node: NodeProcess): Promise<number> {
  const runDir = join(node.homeDir, "run", String(node.pid));
  const names = (await Array.fromAsync(Deno.readDir(runDir))).map(({ name }) => name);
  const name = names.find((one) => /^\d+\.json$/.test(one));
  if (name === undefined) throw new Error(`No engine in ${runDir}: ${names}`);
  return Number(name.slice(0, -".json".length));
}

Deno.test("the starter model answers through the whole program", async (t) => {
  await using stack = new AsyncDisposableStack();
  const node = await startRealNode(stack);
  assert.equal(await node.line("Ready: "), MODEL);

  await t.step("a completion", async () => {
    const answer = await answerOf(node, "/v1/chat/completions", QUESTION);
    assert.match(answer.choices[0].message.content, /Paris/);
    const text = await answerOf(node, "/v1/completions", {
      model: MODEL,
      prompt: "The capital of France is",
      temperature: 0,
      "max_tokens": 4,
    });
    assert.match(text.choices[0].text, /Paris/);
  });

  await t.step("a stream: pieces, then the end", async () => {
    const response = await post(node, "/v1/chat/completions", { ...QUESTION, stream: true });
    assert.match(response.headers.get("content-type") ?? "", /^text\/event-stream/);
    const reader = new SseReader(response.body);
    const pieces: string[] = [];
    for (let next = await reader.next(); next !== undefined; next = await reader.next()) {
      pieces.push(next.data ?? "");
    }
    assert.equal(pieces.pop(), "[DONE]");
    const words = pieces.map((piece) => JSON.parse(piece).choices[0]?.delta?.content ?? "");
    assert.match(words.join(""), /Paris/);
    assert.ok(words.length > 3);
  });

  await t.step("words to tokens and back, and the template of the chat", async () => {
    const content = "Hello, wörld!";
    const { tokens } = await answerOf(node, "/tokenize", { model: MODEL, content });
    assert.ok(tokens.length > 2 && tokens.every(Number.isInteger));
    const back = await answerOf(node, "/detokenize", { model: MODEL, tokens });
    assert.equal(back.content, content);
    const { prompt } = await answerOf(node, "/apply-template", QUESTION);
    assert.match(prompt, /<\|im_start\|>user\nWhat is the capital of France\?/);
    const counted = await answerOf(node, "/v1/messages/count_tokens", QUESTION);
    assert.ok(counted["input_tokens"] > 5);
  });

  await t.step("an error of the engine comes through in our shape", async () => {
    const response = await post(node, "/v1/chat/completions", { model: MODEL, messages: 5 });
    assert.ok(response.status >= 400 && response.status < 500, `status ${response.status}`);
    const { error } = await response.json();
    assert.equal(typeof error.message, "string");
    assert.equal(typeof error.code, "string");
  });
});

/** Times that the engine said this, by its own log. */
async function saidCount(node: NodeProcess, words: string): Promise<number> {
  const log = await Deno.readTextFile(join(node.homeDir, "logs", "llama-server.log"));
  return log.split(words).length - 1;
}

/** Waits until the engine has given up so many requests. */
async function untilCancelled(node: NodeProcess, count: number): Promise<void> {
  const isSo = async () => await saidCount(node, "cancel task") === count;
  await until(isSo, "the engine stops", BUSY_DEADLINE_MS);
}

Deno.test("a client that leaves frees the slot of the real engine", async (t) => {
  await using stack = new AsyncDisposableStack();
  const node = await startRealNode(stack, ["--parallel", "1"]);
  assert.equal(await node.line("Ready: "), MODEL);

  await t.step("in a stream", async () => {
    const controller = new AbortController();
    const response = await post(node, "/v1/chat/completions", ENDLESS, controller.signal);
    assert.notEqual(await new SseReader(response.body).next(), undefined);
    controller.abort();
    await untilCancelled(node, 1);
    const answer = await answerOf(node, "/v1/chat/completions", ONE_TOKEN);
    assert.equal(answer.usage.completion_tokens, 1);
  });

  await t.step("while its prompt is read", async () => {
    const controller = new AbortController();
    // So many that the engine still reads when its log tells that it has begun.
    const messages = [{ role: "user", content: "one two three ".repeat(200) }];
    const asked = post(node, "/v1/chat/completions", { ...ENDLESS, messages }, controller.signal)
      .then((response) => response.body?.cancel(), () => undefined);
    // The third that it takes up, after the stream and the one token.
    const hasBegun = async () => await saidCount(node, "processing task") === 3;
    await until(hasBegun, "the request in the engine's hands", BUSY_DEADLINE_MS);
    controller.abort();
    await asked;
    await untilCancelled(node, 2);
    const answer = await answerOf(node, "/v1/chat/completions", ONE_TOKEN);
    assert.equal(answer.usage.completion_tokens, 1);
  });
});

async function isHealthy(node: NodeProcess): Promise<boolean> {
  const health = await fetch(`${await node.apiBase()}/health`);
  await health.body?.cancel();
  return health.status === 200;
}

Deno.test("the real engine is kept alive, and told no more than it needs", async (t) => {
  await using stack = new AsyncDisposableStack();
  const node = await startRealNode(stack, ["--log-level", "trace"]);
  assert.equal(await node.line("Ready: "), MODEL);
  const pid = await enginePid(node);

  await t.step(
    "its process is told no secret that others could read, and no more than needed",
    async () => {
      const { LLAMA_API_KEY: key = "", ...others } = await environmentOf(pid);
      assert.match(key, /^[0-9a-f]{64}$/);
      assert.ok(!(await argumentsOf(pid)).join(" ").includes(key));
      const foreign = Object.keys(others).filter((name) =>
        /HOME$|HF_|MESH_LLM|TOKEN|SECRET/.test(name)
      );
      assert.deepEqual(foreign.filter((name) => name !== "XDG_CACHE_HOME"), []);
    },
  );

  await t.step("kill -9 of llama-server: started again, the next request is answered", async () => {
    Deno.kill(pid, "SIGKILL");
    await node.told(/it is started again/);
    await until(() => isHealthy(node), "health", BUSY_DEADLINE_MS);
    assert.notEqual(await enginePid(node), pid);
    const answer = await answerOf(node, "/v1/chat/completions", QUESTION);
    assert.match(answer.choices[0].message.content, /Paris/);
  });

  await t.step("what was asked is in no log, not even what the engine could not read", async () => {
    const messages = [{ role: "user", content: PROMPT }];
    const asked = { model: MODEL, messages, "max_tokens": 1 };
    await answerOf(node, "/v1/chat/completions", asked);
    const odd = [{ grammar: `root ::= ${PROMPT}` }, { "json_schema": { type: PROMPT } }];
    for (const more of odd) {
      const response = await post(node, "/v1/chat/completions", { ...asked, ...more });
      assert.ok(response.status >= 400, `status ${response.status}`);
      await response.body?.cancel();
    }
    const current = await enginePid(node);
    assert.equal((await node.stop()).code, 0);
    assert.equal(await isAlive(current), false);
    const log = await Deno.readTextFile(join(node.homeDir, "logs", "llama-server.log"));
    assert.match(log, /listening on/);
    for (const text of [log, node.stderr, node.stdout]) assert.ok(!text.includes(PROMPT));
  });

  await t.step("a second start has all at hand: it fetches nothing, and serves", async () => {
    const { homeDir } = node;
    const deadEnd = { HF_ENDPOINT: "http://127.0.0.1:1", MESH_LLM_MODELS_DIR: TEST_MODELS_DIR };
    await using again = await NodeProcess.start({ homeDir, env: deadEnd });
    assert.equal(await again.line("Ready: "), MODEL);
    assert.doesNotMatch(again.stderr, /did not work|complete$|warning/m);
    assert.equal((await again.stop()).code, 0);
  });
});

Deno.test("SIGTERM lets a stream of the real engine end complete", async () => {
  await using stack = new AsyncDisposableStack();
  const node = await startRealNode(stack);
  await node.line("Ready: ");
  // Few: a node that ends gives them ten seconds, in which a busy machine makes a dozen or two.
  const body = { ...ENDLESS, "max_tokens": 12 };
  const response = await post(node, "/v1/chat/completions", body);
  const reader = new SseReader(response.body);
  assert.notEqual(await reader.next(), undefined);
  node.kill("SIGTERM");
  const events: string[] = [];
  for (let next = await reader.next(); next !== undefined; next = await reader.next()) {
    events.push(next.data ?? "");
  }
  assert.equal(events.at(-1), "[DONE]");
  assert.ok(events.some((event) => event.includes('"finish_reason":"length"')));
  assert.equal((await node.exited).code, 0);
});
