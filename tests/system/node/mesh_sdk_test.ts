/** The openai package leaves in the middle: the work of a far engine ends with it. */
import assert from "node:assert/strict";
import OpenAI, { APIUserAbortError } from "openai";
import { until } from "#support/fake_engine.ts";
import { MeshTestNode } from "#support/mesh_nodes.ts";

const CHAT = "/v1/chat/completions";
const BODY = { model: "alpha", messages: [{ role: "user" as const, content: "Count." }] };

/** Until nothing of any request is left on the node. */
async function idle(node: MeshTestNode): Promise<void> {
  await until(async () => {
    const status = await node.fake.status();
    return status.inflight_requests === 0 && status.queued_requests === 0;
  }, "an idle node");
}

Deno.test({
  name: "who leaves the openai package's request ends the work of the far engine",
  // The SDK keeps its connections to the end of the process.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    await using host = await MeshTestNode.start({ serves: "alpha", args: ["--parallel", "1"] });
    await using client = await MeshTestNode.start({ token: await host.token(), isClient: true });
    await client.listed("alpha");
    const openai = new OpenAI({ baseURL: `${client.api}/v1`, apiKey: "any-key", maxRetries: 0 });

    await t.step("during the prefill, before the first byte", async () => {
      await host.fake.control({ answers: { [CHAT]: { kind: "hang" } } });
      const controller = new AbortController();
      const asked = openai.chat.completions.create(
        { ...BODY, stream: true },
        { signal: controller.signal },
      );
      await until(async () => (await host.fake.record()).active === 1, "the engine at work");
      controller.abort();
      await assert.rejects(async () => await asked, APIUserAbortError);
      await until(async () => (await host.fake.record()).aborted === 1, "the work's end");
    });

    await t.step("in the middle of a stream", async () => {
      const answer = { kind: "stream", chunks: 1_000_000, pauseMs: 2 } as const;
      await host.fake.control({ answers: { [CHAT]: answer } });
      const stream = await openai.chat.completions.create({ ...BODY, stream: true });
      for await (const _ of stream) {
        stream.controller.abort();
        break;
      }
      await until(async () => (await host.fake.record()).aborted === 2, "the work's end");
    });

    await t.step("while it waits for its turn: the far engine never hears of it", async () => {
      await host.fake.control({ answers: { [CHAT]: { kind: "hang" } } });
      const { received } = await host.fake.record();
      const [first, second] = [new AbortController(), new AbortController()];
      const running = openai.chat.completions.create(BODY, { signal: first.signal });
      const refusedFirst = assert.rejects(async () => await running, APIUserAbortError);
      await until(async () => (await host.fake.record()).active === 1, "the engine at work");
      const waiting = openai.chat.completions.create(BODY, { signal: second.signal });
      const refusedSecond = assert.rejects(async () => await waiting, APIUserAbortError);
      await until(async () => {
        const [far, near] = await Promise.all([host.fake.status(), client.fake.status()]);
        return far.queued_requests + near.queued_requests > 0;
      }, "one that waits");
      second.abort();
      await refusedSecond;
      await until(async () => {
        const [far, near] = await Promise.all([host.fake.status(), client.fake.status()]);
        return far.queued_requests + near.queued_requests === 0;
      }, "none that waits");
      first.abort();
      await refusedFirst;
      await Promise.all([idle(host), idle(client)]);
      assert.equal((await host.fake.record()).received, received + 1);
    });

    await t.step("the next one is answered", async () => {
      await host.fake.control({ answers: {} });
      const answer = await openai.chat.completions.create(BODY);
      assert.match(answer.choices[0]?.message.content ?? "", /^word word/);
      await Promise.all([idle(host), idle(client)]);
    });
  },
});
