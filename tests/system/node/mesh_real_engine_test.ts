/** Two nodes with the real llama-server and the starter model: what comes over the link is what the host gives. */
import assert from "node:assert/strict";
import OpenAI from "openai";
import { MeshTestNode } from "#support/mesh_nodes.ts";
import { startRealNode } from "#support/real_node.ts";

const MODEL = "SmolLM2-135M-Instruct";
const BODY = {
  model: MODEL,
  temperature: 0,
  seed: 7,
  "max_tokens": 16,
  messages: [{
    role: "user" as const,
    content: "What is the capital of France? Answer in one sentence.",
  }],
};

interface Answer {
  readonly contentType: string | null;
  readonly nodeId: string | null;
  readonly text: string;
}

async function ask(base: string, isStream: boolean): Promise<Answer> {
  const response = await fetch(`${base}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...BODY, stream: isStream }),
  });
  assert.equal(response.status, 200);
  const contentType = response.headers.get("content-type");
  const nodeId = response.headers.get("x-mesh-llm-node");
  return { contentType, nodeId, text: lasting(await response.text()) };
}

/** The bytes without what differs from one run to the next: ids, the time, how long it took. */
function lasting(text: string): string {
  return text
    .replaceAll(/"id":"chatcmpl-[^"]+"/g, '"id":""')
    .replaceAll(/"created":\d+/g, '"created":0')
    .replaceAll(/"timings":\{[^{}]*\}/g, '"timings":{}')
    // The engine's cache holds the prompt from the second time on.
    .replaceAll(/"cached_tokens":\d+/g, '"cached_tokens":0');
}

Deno.test({
  name: "over the link comes what the host gives, byte for byte, and the openai package is content",
  // The SDK keeps its connections to the end of the process.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    await using stack = new AsyncDisposableStack();
    const host = await startRealNode(stack);
    const token = await host.line("Invite token: ");
    const client = stack.use(await MeshTestNode.start({ token, isClient: true }));
    await Promise.all([host.line("Ready: "), client.listed(MODEL)]);
    const member = stack.use(await MeshTestNode.start({ token }));
    await member.listed(MODEL);
    const api = await host.apiBase();
    // The first of all fills the engine's cache, so that the others are answered alike.
    const [, whole, stream] = [await ask(api, true), await ask(api, false), await ask(api, true)];
    assert.match(whole.text, /Paris/);
    assert.ok(stream.text.endsWith("data: [DONE]\n\n"));

    for (const [kind, node] of [["client", client], ["member", member]] as const) {
      await t.step(`a ${kind} gives the same stream and the same answer in one piece`, async () => {
        assert.deepEqual(await ask(node.api, true), stream);
        assert.deepEqual(await ask(node.api, false), whole);
      });
    }

    await t.step("the openai package, unchanged, through the client", async () => {
      const baseURL = `${client.api}/v1`;
      const openai = new OpenAI({ baseURL, apiKey: "any-key", maxRetries: 0 });
      const answer = await openai.chat.completions.create(BODY);
      assert.equal(
        answer.choices[0]?.message.content,
        JSON.parse(whole.text).choices[0].message.content,
      );
      const pieces: string[] = [];
      for await (const chunk of await openai.chat.completions.create({ ...BODY, stream: true })) {
        pieces.push(chunk.choices[0]?.delta.content ?? "");
      }
      assert.equal(pieces.join(""), answer.choices[0]?.message.content);
      assert.ok(pieces.length > 3, "it came in pieces");
    });
  },
});
