/** Two replicas of one model, and many clients at one entry node. Figures are printed, not judged. */
import assert from "node:assert/strict";
import { MeshTestNode, tellFigure } from "#support/mesh_nodes.ts";

const CLIENTS = 32;
const SERVICE_MS = 100;
const ARGS = ["--parallel", "4", "--ctx-size", "512"];
const MODEL = "twin";

/** Asks with all clients, one request after the other each; returns requests a second, and who answered how many. */
async function load(entry: MeshTestNode, requests: number) {
  const counts = new Map<string, number>();
  let left = requests;
  const startedMs = performance.now();
  await Promise.all(Array.from({ length: CLIENTS }, async (_, i) => {
    while (left > 0) {
      left -= 1;
      const messages = [{ role: "user", content: `client ${i}` }];
      const response = await entry.chat(MODEL, { messages });
      assert.equal(response.status, 200, await response.text());
      const node = response.headers.get("x-mesh-llm-node") ?? "";
      counts.set(node, (counts.get(node) ?? 0) + 1);
    }
  }));
  return { perSecond: requests / ((performance.now() - startedMs) / 1000), counts };
}

Deno.test("two replicas answer about twice as many requests, each by its speed", async (t) => {
  await using entry = await MeshTestNode.start({ serves: "other" });
  const token = await entry.token();
  await using stack = new AsyncDisposableStack();
  const start = async () => {
    const script = { serviceMs: SERVICE_MS };
    const host = await MeshTestNode.start({ serves: MODEL, token, args: ARGS, script });
    return stack.use(host);
  };
  const hasHosts = (count: number) =>
    entry.events.status(
      ({ mesh_models: models }) =>
        models.some(({ name, node_count: hosts }) => name === MODEL && hosts === count),
      `${count} hosts`,
    );
  const one = await start();
  await hasHosts(1);
  const alone = await load(entry, 160);
  const two = await start();
  await hasHosts(2);

  await t.step("both answer", async () => {
    const both = await load(entry, 320);
    const ratio = both.perSecond / alone.perSecond;
    tellFigure(
      `one ${alone.perSecond.toFixed(1)}/s, two ${both.perSecond.toFixed(1)}/s: ${
        ratio.toFixed(2)
      }x`,
    );
    assert.equal((both.counts.get(one.id) ?? 0) + (both.counts.get(two.id) ?? 0), 320);
    assert.ok(both.counts.size === 2, "both are asked");
  });

  await t.step("the slower one gets less", async () => {
    await two.fake.control({ serviceMs: 3 * SERVICE_MS });
    const { counts } = await load(entry, 320);
    const share = (counts.get(two.id) ?? 0) / 320;
    tellFigure(`speeds 3:1, the slower answers ${(share * 100).toFixed(1)} % (ideal 25 %)`);
    assert.ok((counts.get(one.id) ?? 0) > (counts.get(two.id) ?? 0));
  });
});
