import assert from "node:assert/strict";
import { join } from "node:path";
import { until } from "#support/fake_engine.ts";
import { errorOf, FAKE_MODEL, FakeNode } from "#support/fake_node.ts";
import { isAlive } from "#support/processes.ts";
import { writeTinyModel } from "#support/tiny_gguf.ts";

async function jsonOf(url: string): Promise<{ status: number; body: Record<string, unknown> }> {
  const response = await fetch(url);
  return { status: response.status, body: await response.json() };
}

Deno.test("a node answers before its engine is ready, and says how far it is", async (t) => {
  await using fake = await FakeNode.start({
    script: { load: { untilControl: true, progress: [0, 0.4] } },
  });
  const { node } = fake;
  const api = await node.apiBase();

  await t.step("both doors are open while the engine loads", async () => {
    await until(async () => (await fake.status()).progress?.percent === 40, "40 percent");
    const status = await fake.status();
    assert.equal(status.node_status, "loading");
    assert.equal(status.progress?.phase, "loading");
    assert.doesNotMatch(node.stdout, /^Ready:/m);
  });

  await t.step("/health is 503, and /v1/models lists nothing that cannot answer", async () => {
    const health = await jsonOf(`${api}/health`);
    assert.equal(health.status, 503);
    assert.equal(health.body["status"], "loading");
    assert.deepEqual(health.body["models"], [{ id: FAKE_MODEL, phase: "loading", percent: 40 }]);
    assert.deepEqual((await jsonOf(`${api}/v1/models`)).body["data"], []);
  });

  await t.step("a request is told phase, percent and when to come back", async () => {
    for (const model of [FAKE_MODEL, undefined]) {
      const response = await fake.chat({ model });
      assert.equal(response.status, 503);
      assert.match(response.headers.get("retry-after") ?? "", /^[1-9]\d*$/);
      const error = await errorOf(response);
      assert.deepEqual([error["code"], error["phase"], error["percent"]], [
        "model_loading",
        "loading",
        40,
      ]);
      assert.match(String(error["message"]), /"tiny" cannot answer yet: loading \(40 %\)/);
    }
  });

  await t.step("another model is unknown, not loading", async () => {
    const response = await fake.chat({ model: "other" });
    assert.equal(response.status, 404);
    assert.equal((await errorOf(response))["code"], "model_not_found");
  });

  await t.step("when the engine is ready, everything answers", async () => {
    await fake.control({ finishLoading: true });
    assert.equal(await node.line("Ready: "), FAKE_MODEL);
    assert.deepEqual(await jsonOf(`${api}/health`), { status: 200, body: { status: "ok" } });
    const { body } = await jsonOf(`${api}/v1/models`);
    assert.deepEqual((body["data"] as { id: string }[]).map(({ id }) => id), [FAKE_MODEL]);
    const response = await fake.chat();
    assert.equal(response.status, 200);
    assert.equal((await response.json()).object, "chat.completion");
  });

  await t.step("the lines on stdout come in order, each once", () => {
    const names = node.stdout.trimEnd().split("\n").map((line) => line.split(": ")[0]);
    assert.deepEqual(names, ["Pid", "Invite token", "API", "Console", "Ready"]);
    assert.equal(Number(/^Pid: (\d+)$/m.exec(node.stdout)?.[1]), node.pid);
  });
});

Deno.test("a model can be dropped and another one loaded while the node runs", async (t) => {
  await using fake = await FakeNode.ready();
  const { node } = fake;
  const { pid } = await fake.engine();

  await t.step("only the holder of the management token may", async () => {
    const url = `${await node.consoleBase()}/api/models/${FAKE_MODEL}`;
    const response = await fetch(url, { method: "DELETE" });
    assert.equal(response.status, 401);
    await response.body?.cancel();
  });

  await t.step("a second model is refused while one is served", async () => {
    const path = await writeTinyModel(join(fake.dir, "second.gguf"), { seed: 2 });
    const response = await fake.manage("POST", "/api/models", { model: path });
    assert.equal(response.status, 400);
    assert.match(String((await errorOf(response))["message"]), /busy with "tiny"/);
  });

  await t.step("dropping ends the engine, and says so", async () => {
    const response = await fake.manage("DELETE", `/api/models/${FAKE_MODEL}`);
    assert.deepEqual([response.status, await response.json()], [200, { model: FAKE_MODEL }]);
    assert.equal(await isAlive(pid), false);
    assert.equal((await fake.status()).node_status, "idle");
    const answer = await fake.chat();
    assert.equal(answer.status, 503);
    assert.match(answer.headers.get("retry-after") ?? "", /^\d+$/);
    assert.equal((await errorOf(answer))["code"], "no_host");
    const again = await fake.manage("DELETE", `/api/models/${FAKE_MODEL}`);
    assert.equal(again.status, 404);
    await again.body?.cancel();
  });

  await t.step("a name that means nothing is refused with a sentence", async () => {
    const response = await fake.manage("POST", "/api/models", { model: "SmolLM2-135M-Instrukt" });
    assert.equal(response.status, 400);
    assert.match(String((await errorOf(response))["message"]), /Did you mean/);
  });

  await t.step("another model is loaded in its place", async () => {
    const path = join(fake.dir, "second.gguf");
    const response = await fake.manage("POST", "/api/models", { model: path });
    assert.deepEqual([response.status, await response.json()], [202, { model: "second" }]);
    await node.line("Ready: second");
    const answer = await fake.chat({ model: "second" });
    assert.equal(answer.status, 200);
    await answer.body?.cancel();
    const old = await fake.chat();
    assert.equal(old.status, 404);
    await old.body?.cancel();
  });

  await t.step("a broken one fails with its reason, and the next load mends that", async () => {
    await (await fake.manage("DELETE", "/api/models/second")).body?.cancel();
    const broken = join(fake.dir, "broken.gguf");
    await Deno.writeTextFile(broken, "GGUF is not here");
    await (await fake.manage("POST", "/api/models", { model: broken })).body?.cancel();
    await until(async () => (await fake.status()).node_status === "failed", "failed");
    assert.match((await fake.status()).error ?? "", /broken\.gguf/);
    await (await fake.manage("POST", "/api/models", { model: fake.modelPath })).body?.cancel();
    await until(async () => (await fake.status()).node_status === "serving", "serving again");
    const answer = await fake.chat();
    assert.equal(answer.status, 200);
    await answer.body?.cancel();
  });
});
