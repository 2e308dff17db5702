import assert from "node:assert/strict";
import { until } from "#support/fake_engine.ts";
import { MeshTestNode, tellFigure } from "#support/mesh_nodes.ts";

const EPHEMERAL = { MESH_LLM_EPHEMERAL_KEY: "1" };

/** What a node answered to one request: the status, and who computed it. */
interface Answered {
  readonly status: number;
  readonly by: string | null;
}

async function ask(node: MeshTestNode, model: string): Promise<Answered> {
  const response = await node.chat(model);
  await response.body?.cancel();
  return { status: response.status, by: response.headers.get("x-mesh-llm-node") };
}

async function assertAnsweredBy(node: MeshTestNode, host: MeshTestNode, model: string) {
  assert.deepEqual(await ask(node, model), { status: 200, by: host.id });
}

/** How long a person waits; no assertion depends on it. */
function tellTime(what: string, node: MeshTestNode): void {
  const ms = Math.round(performance.now() - node.openedAtMs);
  tellFigure(`${what}: ${ms} ms after its "API:" line`);
}

Deno.test("a token is all that a second node needs to answer for the first one's model", async (t) => {
  await using host = await MeshTestNode.start({ serves: "alpha" });
  const token = await host.token();
  await host.node.line("Ready: alpha");

  for (const isClient of [false, true]) {
    const kind = isClient ? "a client" : "a member";
    await t.step(`${kind} with a throw-away key`, async () => {
      const serves = isClient ? {} : { serves: "beta" };
      await using joiner = await MeshTestNode.start({ ...serves, token, isClient, env: EPHEMERAL });
      await joiner.node.line("Ready: alpha");
      tellTime(`${kind} answers for the host's model`, joiner);
      assert.ok((await joiner.models()).includes("alpha"));
      await assertAnsweredBy(joiner, host, "alpha");
      const { mesh_id: meshId } = await host.events.status(() => true, "status");
      assert.equal(await joiner.node.line("Joined mesh "), `${meshId} (1 peers)`);
    });
  }

  await t.step("the member's own model is answered on both, each name by its host", async () => {
    await using joiner = await MeshTestNode.start({ serves: "beta", token });
    await Promise.all([joiner.listed("beta"), joiner.listed("alpha"), host.listed("beta")]);
    assert.deepEqual(await joiner.models(), ["beta", "alpha"]);
    assert.deepEqual(await host.models(), ["alpha", "beta"]);
    for (const node of [host, joiner]) {
      await assertAnsweredBy(node, host, "alpha");
      await assertAnsweredBy(node, joiner, "beta");
    }
    await host.node.line("Ready: beta");
  });
});

/** Asks one request after another until it is ended; tells what was answered. */
function askOnAndOn(node: MeshTestNode, model: string) {
  const answers: Answered[] = [];
  const ended = new AbortController();
  const asking = (async () => {
    while (!ended.signal.aborted) answers.push(await ask(node, model));
  })();
  return {
    answers,
    async end(): Promise<void> {
      ended.abort();
      await asking;
    },
  };
}

Deno.test("a joiner answers through the mesh while its own engine loads, without a gap", async () => {
  await using host = await MeshTestNode.start({ serves: "same" });
  await host.node.line("Ready: same");
  await using joiner = await MeshTestNode.start({
    serves: "same",
    token: await host.token(),
    script: { load: { untilControl: true } },
  });
  const asked = askOnAndOn(joiner, "same");
  const { answers } = asked;
  try {
    await joiner.node.line("Ready: same");
    await until(async () => (await joiner.fake.starts()).length > 0, "an engine that loads");
    const loadingFrom = answers.length;
    await until(() => answers.length > loadingFrom + 20, "answers meanwhile");
    assert.ok(answers.slice(loadingFrom).every(({ by }) => by === host.id));
    await joiner.fake.finishLoading();
    await joiner.events.status((status) => status.llama_ready, "engine that is ready");
    await until(() => answers.at(-1)?.by === joiner.id, "its own model taking over");
  } finally {
    await asked.end();
  }
  const first = answers.findIndex(({ status }) => status === 200);
  const early = answers.slice(0, first).map(({ status }) => status);
  // Before it has heard of the mesh it can only say that nobody serves the model, or that it loads.
  assert.ok(early.every((status) => status === 404 || status === 503), `${early}`);
  const later = answers.slice(first).map(({ status }) => status);
  assert.deepEqual(later.filter((status) => status !== 200), []);
  tellFigure(`${early.length} requests before the mesh was known, ${later.length} answered`);
});
