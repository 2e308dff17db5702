/** Hosts die under load: every answer is complete, and the pause in it is short. Figures are printed, not judged. */
import assert from "node:assert/strict";
import { KilledHosts, type RoundOptions, WHOLE_ANSWER } from "#support/killed_host.ts";
import { tellFigure } from "#support/mesh_nodes.ts";
import { quantile } from "#support/stream_load.ts";

/** Few, on a machine that other tests share: `deno task soak` takes more. */
const LOAD = { streams: 16, unstreamed: 4 };
/** Between two words: an answer lasts three seconds, so that the last to begin finds none at its end. */
const PAUSE_MS = 50;

async function check(
  mesh: KilledHosts,
  victim: RoundOptions["victim"],
  pauseMs = PAUSE_MS,
): Promise<void> {
  const { streams, statuses } = await mesh.round({ ...LOAD, victim, pauseMs });
  for (const { text, isDone, errors, status } of streams) {
    assert.deepEqual([status, errors, isDone, text], [200, [], true, WHOLE_ANSWER]);
  }
  assert.deepEqual(statuses, Array(LOAD.unstreamed).fill(200));
  const continued = streams.filter(({ continuedOn }) => continuedOn !== undefined);
  const pauses = streams.map(({ pauseMs }) => pauseMs);
  tellFigure(
    `${victim}: ${continued.length} of ${streams.length} streams continued, longest pause ` +
      `${Math.round(Math.max(...pauses))} ms, median ${Math.round(quantile(pauses, 0.5))} ms`,
  );
  if (victim !== "host in order" || pauseMs > 100) {
    assert.ok(continued.length > 0, "somebody went on");
  }
}

Deno.test("hosts and engines die under load, and no request notices more than a pause", async (t) => {
  await using mesh = await KilledHosts.start();
  for (const victim of ["engine", "host", "host in order", "host"] as const) {
    await t.step(`a ${victim} ends`, () => check(mesh, victim));
    await t.step("the next round", () => mesh.restore());
  }
  // A quarter of a second for each word: longer than the ten seconds that a host gives what runs.
  await t.step("a host ends in order before its streams do", () => {
    return check(mesh, "host in order", 250);
  });
});
