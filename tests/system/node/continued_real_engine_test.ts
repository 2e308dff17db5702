/** The real engine: a greedy answer that was cut and continued has the text of one that was not. */
import assert from "node:assert/strict";
import type { StatusSnapshot } from "~/api/ports.ts";
import { until } from "#support/fake_engine.ts";
import { MeshTestNode, tellFigure } from "#support/mesh_nodes.ts";
import type { NodeProcess } from "#support/node_process.ts";
import { startRealNode } from "#support/real_node.ts";
import { readStream, type StreamResult } from "#support/stream_load.ts";

const MODEL = "SmolLM2-135M-Instruct";
const ARGS = ["--model", MODEL, "--parallel", "8", "--ctx-size", "1024"];
const QUESTIONS = [
  "Tell me a story about a fox and a hen.",
  "List ten animals and say one thing about each.",
  "Explain how bread is made, step by step.",
  "Describe a walk along the sea in the evening.",
];
const TOKENS = 40;
/** So many events of the first stream, and its host is killed: that one is in the middle then, however slow others are. */
const KILL_AT = 6;

interface Asked {
  readonly response: Response;
  readonly result: Promise<StreamResult>;
}

async function ask(base: string, question: string, onEvent?: () => void): Promise<Asked> {
  const response = await fetch(`${base}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      model: MODEL,
      stream: true,
      temperature: 0,
      cache_prompt: false,
      max_tokens: TOKENS,
      messages: [{ role: "user", content: question }],
    }),
  });
  assert.equal(response.status, 200);
  return { response, result: readStream(response, onEvent) };
}

async function statusOf(node: NodeProcess): Promise<StatusSnapshot> {
  return await (await fetch(`${await node.consoleBase()}/api/status`)).json();
}

/** The pid of a node's engine: its only child. */
async function enginePid(node: NodeProcess): Promise<number> {
  const lines = await new Deno.Command("pgrep", { args: ["-P", String(node.pid)] }).output();
  return Number(new TextDecoder().decode(lines.stdout).trim().split("\n")[0]);
}

Deno.test("a cut answer of the real engine goes on as if it had not been cut", async (t) => {
  await using stack = new AsyncDisposableStack();
  const one = await startRealNode(stack, ARGS);
  const token = await one.line("Invite token: ");
  const two = await startRealNode(stack, [...ARGS, "--join", token]);
  await Promise.all([one, two].map((node) => node.line("Ready: ")));
  const client = stack.use(await MeshTestNode.start({ token, isClient: true }));
  await client.events.status(
    ({ mesh_models: models }) => models.some(({ node_count: count }) => count === 2),
    "both hosts",
  );
  const uncut: string[] = [];
  for (const question of QUESTIONS) {
    uncut.push((await (await ask(client.api, question)).result).text);
  }

  const idOfOne = (await statusOf(one)).node_id;
  const cutAll = async (strike: (victim: NodeProcess) => Promise<void>): Promise<void> => {
    let events = 0;
    const middle = Promise.withResolvers<void>();
    const onEvent = (): void => void (events += 1, events === KILL_AT && middle.resolve());
    const asking = QUESTIONS.map((text, i) => ask(client.api, text, i === 0 ? onEvent : undefined));
    const [first] = asking;
    const host = (await first)?.response.headers.get("x-mesh-llm-node");
    await middle.promise;
    await strike(host === idOfOne ? one : two);
    const results = await Promise.all(asking.map(async (asked) => await (await asked).result));
    for (const { errors, isDone } of results) assert.deepEqual([errors, isDone], [[], true]);
    const isSame = results.map(({ text }, i) => text === uncut[i]);
    const continued = results.filter(({ continuedOn }) => continuedOn !== undefined);
    const pauses = continued.map(({ pauseMs }) => Math.round(pauseMs));
    tellFigure(`${continued.length} of 4 continued, pauses ${pauses} ms, same text: ${isSame}`);
    assert.ok(continued.length > 0);
    assert.equal(results[0]?.text, uncut[0]);
  };

  await t.step("its engine is killed", async () => {
    const engines = new Map([[one, await enginePid(one)], [two, await enginePid(two)]]);
    await cutAll((victim) => {
      Deno.kill(engines.get(victim) ?? assert.fail(), "SIGKILL");
      return Promise.resolve();
    });
  });
  await t.step("its host is killed", async () => {
    for (const node of [one, two]) {
      await until(async () => (await statusOf(node)).llama_ready, "both engines");
    }
    await client.events.status(
      ({ mesh_models: models }) => models.some(({ node_count: count }) => count === 2),
      "both hosts",
    );
    await cutAll(async (victim) => {
      victim.kill("SIGKILL");
      await victim.exited;
    });
  });
});
