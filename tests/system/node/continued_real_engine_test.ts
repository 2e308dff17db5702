/** The real engine: answers that were cut go on as if they had not been. Figures are printed, not judged. */
import assert from "node:assert/strict";
import { until } from "#support/fake_engine.ts";
import { KilledHosts, type Victim } from "#support/killed_host.ts";
import { tellFigure } from "#support/mesh_nodes.ts";

const LOAD = { streams: 4, unstreamed: 2 };

async function check(mesh: KilledHosts, victim: Victim) {
  const result = await mesh.round({ ...LOAD, victim });
  const { streams, unstreamed } = result;
  // All words are right: none is missing at a seam, and none comes twice.
  for (const { isBroken, fault, errors } of streams) {
    assert.deepEqual([isBroken, errors, fault], [false, [], undefined]);
  }
  assert.deepEqual(unstreamed, Array(LOAD.unstreamed).fill(`200 ${mesh.model}`));
  const continued = streams.filter(({ continuedOn }) => continuedOn !== undefined);
  const pauses = continued.map(({ pauseMs }) => Math.round(pauseMs));
  tellFigure(`${victim}: ${continued.length} of 4 continued, pauses ${pauses} ms`);
  assert.ok(continued.length > 0, "somebody went on");
  return result;
}

Deno.test("a cut answer of the real engine goes on as if it had not been cut", async (t) => {
  await using mesh = await KilledHosts.start("real");

  await t.step("an engine is killed, and is back", async () => {
    const { struck } = await check(mesh, "engine");
    const answersItself = async (): Promise<boolean> => {
      const response = await struck.chat(mesh.model, { "max_tokens": 1 });
      assert.deepEqual([response.status, (await response.json()).model], [200, mesh.model]);
      return response.headers.get("x-mesh-llm-node") === struck.id;
    };
    await until(answersItself, "an answer of the engine that is back");
    await mesh.restore();
  });

  for (const kill of [1, 2]) {
    await t.step(`host ${kill} of 2 is killed`, async () => {
      await check(mesh, "host");
      await mesh.restore();
    });
  }
});
