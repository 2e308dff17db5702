import assert from "node:assert/strict";
import { until } from "#support/fake_engine.ts";
import { errorOf } from "#support/fake_node.ts";
import { MeshTestNode, startNodes, tellFigure } from "#support/mesh_nodes.ts";
import { SseReader } from "#support/sse.ts";

const CHAT = "/v1/chat/completions";
const ENDLESS = { kind: "stream", chunks: 1_000_000, pauseMs: 5 } as const;

/** Kills a host and tells how long the others take to notice. */
async function kill(victim: MeshTestNode, others: readonly MeshTestNode[]) {
  await victim.die();
  const killedMs = performance.now();
  return {
    async noticed(): Promise<void> {
      for (const { events } of others) {
        const suspect = await events.peer(victim.id, "suspect");
        const gone = await events.peer(victim.id, "gone");
        assert.ok(suspect.atMs <= gone.atMs);
        const [suspectMs, goneMs] = [suspect, gone].map(({ atMs }) => Math.round(atMs - killedMs));
        tellFigure(`suspect after ${suspectMs} ms, gone after ${goneMs} ms`);
        await events.status(({ peers }) => peers.every(({ id }) => id !== victim.id), "status");
      }
    },
  };
}

/** Asks the node for the other model again and again: no trouble of others may touch it. */
function askMeanwhile(node: MeshTestNode, model: string) {
  const ended = new AbortController();
  const statuses = new Map<number, number>();
  const asking = (async () => {
    while (!ended.signal.aborted) {
      const response = await node.chat(model);
      await response.body?.cancel();
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
    }
  })();
  return async (): Promise<ReadonlyMap<number, number>> => {
    ended.abort();
    await asking;
    return statuses;
  };
}

/** Asks until nobody serves the model; every answer in between must be a clean one. */
async function askUntilUnknown(node: MeshTestNode, model: string): Promise<void> {
  const codes: string[] = [];
  let slowestMs = 0;
  while (codes.at(-1) !== "404 model_not_found") {
    const beganMs = performance.now();
    const response = await node.chat(model);
    slowestMs = Math.max(slowestMs, performance.now() - beganMs);
    const code = `${response.status} ${(await errorOf(response))["code"]}`;
    assert.match(code, /^(404 model_not_found|502 upstream_failed|503 no_host)$/);
    codes.push(code);
  }
  tellFigure(`only host killed: ${[...new Set(codes)]}; slowest ${Math.round(slowestMs)} ms`);
}

interface ModelCount {
  readonly name: string;
  readonly "node_count": number;
}

/** Both of two hosts are known. */
function hasTwins({ mesh_models: models }: { readonly "mesh_models": readonly ModelCount[] }) {
  return models.some(({ name, node_count: count }) => name === "twin" && count === 2);
}

/** Which of two hosts has the request that was just sent: the one at work, then the other. */
async function atWork(
  one: MeshTestNode,
  two: MeshTestNode,
): Promise<readonly [MeshTestNode, MeshTestNode]> {
  const active = async ({ fake }: MeshTestNode) => (await fake.record()).active;
  await until(async () => await active(one) + await active(two) === 1, "an engine at work");
  return await active(one) === 1 ? [one, two] : [two, one];
}

Deno.test("hosts are killed: what they had begun, what comes then, and everybody else", async (t) => {
  await using entry = await MeshTestNode.start({ serves: "alpha" });
  const token = await entry.token();
  await using stack = new AsyncDisposableStack();
  const [one, two, solo, client] = await startNodes(stack, [
    { serves: "twin", token },
    { serves: "twin", token },
    { serves: "solo", token },
    { token, isClient: true },
  ]);
  assert.ok(one !== undefined && two !== undefined && solo !== undefined && client !== undefined);
  await Promise.all([entry, client].map(async (node) => {
    await node.events.status(hasTwins, "both hosts");
    await node.listed("solo");
  }));
  const end = askMeanwhile(client, "alpha");

  await solo.fake.control({ answers: { [CHAT]: ENDLESS } });
  const stream = new SseReader((await client.chat("solo", { stream: true })).body);
  assert.match((await stream.next())?.data ?? "", /word/);
  for (const { fake } of [one, two]) await fake.control({ answers: { [CHAT]: { kind: "hang" } } });
  const asked = entry.chat("twin");
  const [victim, survivor] = await atWork(one, two);
  await survivor.fake.control({ answers: {} });
  const startedMs = performance.now();
  const others = [entry, client, survivor];
  const [killed, alone] = await Promise.all([kill(victim, others), kill(solo, others)]);
  const unknown = askUntilUnknown(entry, "solo");

  await t.step("a request without a first byte is answered by the replica", async () => {
    const response = await asked;
    await response.body?.cancel();
    tellFigure(`answered elsewhere after ${Math.round(performance.now() - startedMs)} ms`);
    const by = response.headers.get("x-mesh-llm-node");
    assert.deepEqual([response.status, by], [200, survivor.id]);
  });

  await t.step("all others find them suspect, then gone", async () => {
    await Promise.all([killed.noticed(), alone.noticed()]);
    assert.deepEqual(await client.models(), ["alpha", "twin"]);
  });

  await t.step("a stream under way ends with an error", async () => {
    let last = "";
    for (let block = await stream.next(); block !== undefined; block = await stream.next()) {
      last = block.data ?? last;
    }
    tellFigure(`the stream ended ${Math.round(performance.now() - startedMs)} ms after the kill`);
    assert.match(last, /"error":\{/);
  });

  await t.step("requests that only a dead host could answer get a plain no", () => unknown);

  await t.step("requests for another model never noticed", async () => {
    const statuses = await end();
    assert.deepEqual([...statuses.keys()], [200]);
    tellFigure(`${statuses.get(200)} requests for another model meanwhile`);
  });
});
