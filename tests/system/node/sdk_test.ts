/** The official SDKs, unchanged, against the real engine with the real starter model. */
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI, { APIError, NotFoundError } from "openai";
import { startRealNode } from "#support/real_node.ts";

const QUESTION = "What is the capital of France? Answer in one sentence.";
const MODEL = "SmolLM2-135M-Instruct";

Deno.test({
  name: "the official SDKs work unchanged against the starter model",
  // The SDKs keep their connections to the end of the process.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    await using stack = new AsyncDisposableStack();
    const node = await startRealNode(stack);
    assert.equal(await node.line("Ready: "), MODEL);
    await openAiSteps(t, `${await node.apiBase()}/v1`);
    await anthropicSteps(t, await node.apiBase());
  },
});

async function openAiSteps(t: Deno.TestContext, baseURL: string): Promise<void> {
  const openai = new OpenAI({ baseURL, apiKey: "any-key", maxRetries: 0 });

  await t.step("openai: models.list() names the model", async () => {
    const names = [];
    for await (const model of openai.models.list()) names.push(model.id);
    assert.deepEqual(names, [MODEL]);
  });

  await t.step("openai: chat.completions.create() knows the capital of France", async () => {
    const answer = await openai.chat.completions.create({
      model: MODEL,
      temperature: 0,
      messages: [{ role: "user", content: QUESTION }],
    });
    assert.match(answer.choices[0]?.message.content ?? "", /Paris/);
    assert.ok((answer.usage?.completion_tokens ?? 0) > 0);
  });

  await t.step("openai: a stream brings the same words in pieces", async () => {
    const stream = await openai.chat.completions.create({
      model: MODEL,
      temperature: 0,
      stream: true,
      messages: [{ role: "user", content: QUESTION }],
    });
    const pieces: string[] = [];
    for await (const chunk of stream) pieces.push(chunk.choices[0]?.delta.content ?? "");
    assert.match(pieces.join(""), /Paris/);
    assert.ok(pieces.length > 3, "it came in pieces");
  });

  await otherOpenAiSteps(t, openai);
}

async function otherOpenAiSteps(t: Deno.TestContext, openai: OpenAI): Promise<void> {
  await t.step("openai: completions.create() continues a text", async () => {
    const answer = await openai.completions.create({
      model: MODEL,
      prompt: "The capital of France is",
      temperature: 0,
      max_tokens: 4,
    });
    assert.match(answer.choices[0]?.text ?? "", /Paris/);
  });

  await t.step("openai: embeddings of a chat model are a clean error", async () => {
    await assert.rejects(
      openai.embeddings.create({ model: MODEL, input: "hello" }),
      (error: Error) => error instanceof APIError && typeof error.status === "number",
    );
  });

  await t.step("openai: an unknown model is not answered by another", async () => {
    await assert.rejects(
      openai.chat.completions.create({ model: "gpt-x", messages: [] }),
      (error: Error) => {
        assert.ok(error instanceof NotFoundError);
        assert.equal(error.code, "model_not_found");
        return true;
      },
    );
  });

  await t.step("openai: an aborted stream ends, and the next request is answered", async () => {
    const stream = await openai.chat.completions.create({
      model: MODEL,
      stream: true,
      messages: [{ role: "user", content: "Count from one to a thousand." }],
    });
    for await (const _ of stream) {
      stream.controller.abort();
      break;
    }
    const answer = await openai.chat.completions.create({
      model: MODEL,
      max_tokens: 1,
      messages: [{ role: "user", content: "Hi" }],
    });
    assert.equal(answer.usage?.completion_tokens, 1);
  });
}

async function anthropicSteps(t: Deno.TestContext, baseURL: string): Promise<void> {
  const anthropic = new Anthropic({ baseURL, apiKey: "any-key", maxRetries: 0 });
  const request = {
    model: MODEL,
    "max_tokens": 24,
    temperature: 0,
    messages: [{ role: "user" as const, content: QUESTION }],
  };

  await t.step("anthropic: messages.create() knows the capital of France", async () => {
    const answer = await anthropic.messages.create(request);
    const text = answer.content.map((block) => block.type === "text" ? block.text : "").join("");
    assert.match(text, /Paris/);
  });

  await t.step("anthropic: messages.stream() brings the same words in pieces", async () => {
    const stream = anthropic.messages.stream(request);
    const pieces: string[] = [];
    stream.on("text", (text) => pieces.push(text));
    await stream.finalMessage();
    assert.match(pieces.join(""), /Paris/);
    assert.ok(pieces.length > 3, "it came in pieces");
  });

  await t.step("anthropic: an unknown model is an error that the SDK understands", async () => {
    await assert.rejects(
      anthropic.messages.create({ ...request, model: "claude-x" }),
      (error: Error) => error instanceof Anthropic.NotFoundError,
    );
  });
}
