/** The real engine: a greedy answer that was cut and continued has the text of one that was not. */
import assert from "node:assert/strict";
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
/** So many events in all streams together, and the host is killed: all are in the middle then. */
const KILL_AT = 24;

interface Asked {
  readonly response: Response;
  readonly result: Promise<StreamResult>;
}

async function ask(base: string, question: string, onEvent = () => {}): Promise<Asked> {
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

/** The pid of a node's engine, as the node itself keeps it for the next start. */
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

  const cutAll = async (strike: (victim: NodeProcess) => Promise<void>): Promise<void> => {
    let events = 0;
    const middle = Promise.withResolvers<void>();
    const onEvent = (): void => void (events += 1, events === KILL_AT && middle.resolve());
    const asked = await Promise.all(QUESTIONS.map((text) => ask(client.api, text, onEvent)));
    await middle.promise;
    const nodes = asked.map(({ response }) => response.headers.get("x-mesh-llm-node"));
    const { node_id: idOfOne } = await (await fetch(`${await one.consoleBase()}/api/status`))
      .json();
    await strike(nodes[0] === idOfOne ? one : two);
    const results = await Promise.all(asked.map(({ result }) => result));
    for (const { errors, isDone } of results) assert.deepEqual([errors, isDone], [[], true]);
    const isSame = results.map(({ text }, i) => text === uncut[i]);
    const continued = results.filter(({ continuedOn }) => continuedOn !== undefined);
    const pauses = continued.map(({ pauseMs }) => Math.round(pauseMs));
    tellFigure(`${continued.length} of 4 continued, pauses ${pauses} ms, same text: ${isSame}`);
    assert.ok(continued.length > 0);
    assert.equal(results[0]?.text, uncut[0]);
  };

  await t.step(
    "its engine is killed",
    () => cutAll(async (victim) => Deno.kill(await enginePid(victim), "SIGKILL")),
  );
  await t.step("its host is killed", async () => {
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
