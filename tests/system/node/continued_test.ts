/** Hosts die under load: every answer is complete, and the pause in it is short. Figures are printed, not judged. */
import assert from "node:assert/strict";
import { until } from "#support/fake_engine.ts";
import { KilledHosts, type RoundResult, type Victim } from "#support/killed_host.ts";
import { tellFigure } from "#support/mesh_nodes.ts";
import { quantile } from "#support/stream_load.ts";

const LOAD = { streams: 64, unstreamed: 8 };
/** Between two words: an answer lasts three seconds, so that the last to begin finds none at its end. */
const PAUSE_MS = 50;
/** A quarter of a second for each word: an answer is longer than the ten seconds that a host gives what runs. */
const SLOW_PAUSE_MS = 250;
/** Hosts killed one after the other; the test with the real engine kills two more. */
const KILLS = 8;

async function check(
  mesh: KilledHosts,
  victim: Victim,
  pauseMs = PAUSE_MS,
): Promise<RoundResult> {
  const result = await mesh.round({ ...LOAD, victim, pauseMs });
  const { streams, unstreamed } = result;
  for (const { isBroken, fault, errors } of streams) {
    assert.deepEqual([isBroken, errors, fault], [false, [], undefined]);
  }
  assert.deepEqual(unstreamed, Array(LOAD.unstreamed).fill(`200 ${mesh.model}`));
  const continued = streams.filter(({ continuedOn }) => continuedOn !== undefined);
  const pauses = streams.map(({ pauseMs }) => pauseMs);
  tellFigure(
    `${victim}: ${continued.length} of ${streams.length} streams continued, longest pause ` +
      `${Math.round(Math.max(...pauses))} ms, median ${Math.round(quantile(pauses, 0.5))} ms`,
  );
  if (victim !== "host in order" || pauseMs === SLOW_PAUSE_MS) {
    assert.ok(continued.length > 0, "somebody went on");
  }
  return result;
}

Deno.test("hosts and engines die under load, and no request notices more than a pause", async (t) => {
  await using mesh = await KilledHosts.start();

  await t.step("an engine is killed, and is back", async () => {
    const { struck } = await check(mesh, "engine");
    await until(async () => (await struck.fake.starts()).length === 2, "its second start");
    const answersItself = async (): Promise<boolean> => {
      const response = await struck.chat(mesh.model, { "max_tokens": 1 });
      assert.deepEqual([response.status, (await response.json()).model], [200, mesh.model]);
      return response.headers.get("x-mesh-llm-node") === struck.id;
    };
    await until(answersItself, "an answer of the engine that is back");
    await mesh.restore();
  });

  for (let kill = 1; kill <= KILLS; kill += 1) {
    await t.step(`host ${kill} of ${KILLS} is killed`, async () => {
      const { struck } = await check(mesh, "host");
      assert.equal((await struck.node.exited).signal, "SIGKILL");
      await mesh.restore();
    });
  }

  await t.step("a host ends in order", async () => {
    const { struck } = await check(mesh, "host in order");
    assert.equal((await struck.node.exited).code, 0);
    await mesh.restore();
  });

  await t.step("a host ends in order before its streams do", async () => {
    const { struck } = await check(mesh, "host in order", SLOW_PAUSE_MS);
    assert.equal((await struck.node.exited).code, 0);
  });
});
