import assert from "node:assert/strict";
import { join } from "node:path";
import { inspectEngine } from "~/engine/io/inspect.ts";
import { serverCommand } from "~/engine/command_line.ts";
import type { EngineSnapshot } from "~/node/engine_driver.ts";
import { type DrivenEngine, withDrivenEngine } from "#support/driven_engine.ts";
import { ensureTestEngine } from "#support/engine.ts";
import { ensureTestModel } from "#support/model.ts";

const isReady = ({ phase }: EngineSnapshot) => phase === "ready";

async function withRealEngine(use: (engine: DrivenEngine) => Promise<void>): Promise<void> {
  const [install, modelPath] = await Promise.all([ensureTestEngine(), ensureTestModel()]);
  await withDrivenEngine({ install, config: { stopGraceMs: 10_000 } }, async (engine) => {
    await engine.start({ modelPath, modelAlias: "smollm2", contextTokens: 4096, slots: 2 });
    await engine.when(isReady, "the model is loaded");
    await use(engine);
  });
}

async function post(engine: DrivenEngine, path: string, body: unknown): Promise<Response> {
  const { port, apiKey } = engine.driver.endpoint() ?? assert.fail("not ready");
  return await fetch(`http://127.0.0.1:${port}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
}

Deno.test("the real engine tells what it is and can do", async () => {
  const facts = await inspectEngine(await ensureTestEngine(), { parentEnv: {} });
  assert.ok(facts.build !== undefined && facts.build > 0);
  assert.match(facts.rpcVersion ?? "", /^\d+\.\d+\.\d+$/);
  for (const flag of ["--model", "--host", "--port", "--ctx-size", "--parallel"]) {
    assert.ok(facts.flags.has(flag), flag);
  }
});

Deno.test("the real engine has every flag that is of use to us", async () => {
  const install = await ensureTestEngine();
  const facts = await inspectEngine(install, { parentEnv: {} });
  const { args } = serverCommand({
    facts,
    program: install.server,
    plan: { modelPath: "/m.gguf", modelAlias: "m", contextTokens: 512, slots: 1 },
    port: 1,
    apiKey: "k",
    parentEnv: {},
  });
  const wanted = "--alias --cache-ram --fit --no-ui --offline --jinja --metrics --cors-origins " +
    "--threads-http --log-verbosity";
  for (const flag of wanted.split(" ")) assert.ok(args.includes(flag), flag);
});

Deno.test("the real engine loads, tells how far it is, and answers", async () => {
  await withRealEngine(async (engine) => {
    assert.ok(engine.seen.some(({ percent }) => percent !== undefined), "no percentage was seen");
    const response = await post(engine, "/v1/chat/completions", {
      messages: [{
        role: "user",
        content: "What is the capital of France? Answer in one sentence.",
      }],
      temperature: 0,
      max_tokens: 24,
    });
    const { choices, model } = await response.json();
    assert.match(choices[0].message.content, /Paris/);
    assert.equal(model, "smollm2");
  });
});

Deno.test("the real engine stops when it is asked to", async () => {
  await withRealEngine(async (engine) => {
    await engine.driver.stop();
    assert.equal(engine.driver.snapshot.phase, "stopped");
    const phases = engine.seen.map(({ phase }) => phase);
    assert.deepEqual(phases.slice(-2), ["stopping", "stopped"]);
  });
});

Deno.test("the real engine is started again when it is killed", async () => {
  await withRealEngine(async (engine) => {
    const { pid = 0 } = engine.driver.snapshot;
    Deno.kill(pid, "SIGKILL");
    await engine.when((snapshot) => isReady(snapshot) && snapshot.pid !== pid, "a new one is up");
    const restarting = engine.seen.find(({ phase }) => phase === "restarting");
    assert.match(restarting?.reason ?? "", /SIGKILL/);
  });
});

Deno.test("no word of a request gets into log or last lines of the real engine", async () => {
  await withRealEngine(async (engine) => {
    const secret = "Zanzibar";
    const requests: [string, unknown][] = [
      ["/v1/chat/completions", { messages: [{ role: "user", content: secret }], max_tokens: 4 }],
      ["/v1/chat/completions", `{"messages":[{"role":"user","content":"${secret}`],
      ["/v1/chat/completions", { messages: [{ role: secret, content: 5 }] }],
      ["/v1/chat/completions", { messages: [], response_format: { type: secret } }],
      ["/v1/completions", { prompt: secret, grammar: `root ::= ${secret} "`, max_tokens: 4 }],
      ["/v1/completions", { prompt: secret, stop: [secret], max_tokens: 4 }],
      ["/v1/responses", { input: secret, max_output_tokens: 4 }],
      ["/v1/messages", { messages: [{ role: "user", content: secret }], max_tokens: 4 }],
      ["/tokenize", { content: secret }],
      ["/infill", { input_prefix: secret, n_predict: 4 }],
      [`/${secret}`, { prompt: secret }],
    ];
    for (const [path, body] of requests) {
      const response = await post(engine, path, body);
      await response.text();
    }
    const { pid = 0 } = engine.driver.snapshot;
    Deno.kill(pid, "SIGABRT");
    const { lastLines = [] } = await engine.when(
      ({ phase }) => phase === "restarting",
      "its end is seen",
    );
    const log = await Deno.readTextFile(join(engine.home, "logs", "llama-server.log"));
    assert.match(log, /prompt eval time/);
    assert.match(log, /withheld/);
    assert.ok(!log.includes(secret), "a request is quoted in the log");
    assert.ok(lastLines.length > 0 && !lastLines.join().includes(secret));
  });
});

Deno.test("the real engine is not taken for hung while it reads a long prompt", async () => {
  await withRealEngine(async (engine) => {
    const response = await post(engine, "/v1/completions", {
      prompt: "the quick brown fox jumps over a lazy dog. ".repeat(60),
      max_tokens: 1,
    });
    const { usage } = await response.json();
    assert.ok(usage.prompt_tokens > 500);
    assert.ok(!engine.seen.some(({ phase }) => phase === "unhealthy" || phase === "restarting"));
  });
});

Deno.test("a file that is no model fails with the real engine's own words", async () => {
  const install = await ensureTestEngine();
  await withDrivenEngine({ install }, async (engine) => {
    const modelPath = join(engine.home, "broken.gguf");
    await Deno.writeTextFile(modelPath, "GGUF but not really");
    await engine.start({ modelPath });
    const { reason, lastLines } = await engine.when(
      ({ phase }) => phase === "failed",
      "it is given up",
    );
    assert.match(reason ?? "", /before it was ready/);
    assert.match((lastLines ?? []).join("\n"), /failed to load|error loading|invalid/i);
  });
});
