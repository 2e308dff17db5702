/** Three nodes and two models by the real engine: every node answers for both, and none for the other. */
import assert from "node:assert/strict";
import { STARTER } from "~/models/catalogue.ts";
import { errorOf } from "#support/fake_node.ts";
import { MeshTestNode, startNodes } from "#support/mesh_nodes.ts";
import { readStream } from "#support/stream_load.ts";

const NOISE = "noise";
const ARGS = ["--ctx-size", "512", "--parallel", "2"];
const TOKENS = 12;
const BODY = {
  messages: [{ role: "user", content: "Count from 1 to 100, separated by commas." }],
  temperature: 0,
  "max_tokens": TOKENS,
  // What has learned nothing may end with any token.
  "ignore_eos": true,
};

interface Answer {
  readonly nodeId: string | null;
  readonly models: readonly string[];
  readonly text: string;
  readonly completionTokens: number | undefined;
  readonly promptTokens: number | undefined;
}

async function ask(node: MeshTestNode, model: string): Promise<Answer> {
  const response = await node.chat(model, BODY);
  assert.equal(response.status, 200);
  const { model: name, choices, usage } = await response.json();
  return {
    nodeId: response.headers.get("x-mesh-llm-node"),
    models: [name],
    text: choices[0].message.content,
    completionTokens: usage.completion_tokens,
    promptTokens: usage.prompt_tokens,
  };
}

async function askForStream(node: MeshTestNode, model: string): Promise<Answer> {
  const options = { stream: true, "stream_options": { include_usage: true } };
  const response = await node.chat(model, { ...BODY, ...options });
  const result = await readStream(response);
  const { status, errors, isDone } = result;
  assert.deepEqual([status, errors, isDone], [200, [], true]);
  return { ...result, nodeId: response.headers.get("x-mesh-llm-node") };
}

Deno.test("three nodes answer for two models of the real engine, each by its host", async (t) => {
  await using stack = new AsyncDisposableStack();
  const starter = stack.use(await MeshTestNode.start({ servesStarter: true, args: ARGS }));
  const token = await starter.token();
  const [noise, client] = await startNodes(stack, [
    { serves: NOISE, engine: "real", token, args: ARGS },
    { isClient: true, token },
  ]);
  assert.ok(noise !== undefined && client !== undefined);
  const nodes = { starter, noise, client };
  const hosts = [{ model: STARTER.name, host: starter }, { model: NOISE, host: noise }];
  for (const node of Object.values(nodes)) {
    await Promise.all(hosts.map(({ model }) => node.listed(model)));
    assert.deepEqual((await node.models()).sort(), hosts.map(({ model }) => model).sort());
  }

  const promptTokens = new Map<string, Set<number | undefined>>();
  for (const [name, node] of Object.entries(nodes)) {
    for (const { model, host } of hosts) {
      await t.step(`${model}, asked of the ${name} node`, async () => {
        for (const answer of [await ask(node, model), await askForStream(node, model)]) {
          assert.deepEqual([answer.nodeId, answer.models], [host.id, [model]]);
          assert.equal(answer.completionTokens, TOKENS);
          // Only one of them has learned to count.
          assert.equal(answer.text.startsWith("1, 2, 3,"), model === STARTER.name, answer.text);
          const known = promptTokens.get(model) ?? new Set();
          promptTokens.set(model, known.add(answer.promptTokens));
        }
      });
    }
  }

  await t.step("each model has read the same prompt everywhere, in tokens of its own", () => {
    const [ours, others] = hosts.map(({ model }) => [...promptTokens.get(model) ?? []]);
    assert.deepEqual([ours?.length, others?.length], [1, 1]);
    assert.notEqual(ours?.[0], others?.[0]);
  });

  await t.step("a model that nobody has is answered by neither", async () => {
    for (const node of Object.values(nodes)) {
      const response = await node.chat("third", BODY);
      assert.equal(response.status, 404);
      assert.equal((await errorOf(response))["code"], "model_not_found");
    }
  });
});
