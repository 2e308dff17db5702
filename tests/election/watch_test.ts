import assert from "node:assert/strict";
import type { MeshPlan } from "~/election/ports.ts";
import { planMesh } from "~/election/plan.ts";
import { MemberWatch } from "~/election/watch.ts";
import { hosted, member, nodeOf, offer, viewOf, wish } from "#support/election.ts";

const NONE: MeshPlan = { models: [] };

Deno.test("a load is given up after ten minutes, a download after hours", () => {
  const states = { loading: 600_000, fetching: 6 * 3_600_000 } as const;
  for (const state of ["loading", "fetching"] as const) {
    const watch = new MemberWatch();
    const view = viewOf(member(1, { hosted: [hosted("a", { state })] }));
    watch.observe(view, NONE, 0);
    assert.equal(watch.wakeAtMs(0), states[state]);
    assert.equal(watch.correct(view, states[state] - 1).members[0], view.members[0]);
    assert.equal(watch.correct(view, states[state]).members[0]?.hosted[0]?.isStalled, true);
  }
});

Deno.test("a load that ended and began again has all its time", () => {
  const watch = new MemberWatch();
  const view = viewOf(member(1, { hosted: [hosted("a", { state: "loading" })] }));
  watch.observe(view, NONE, 0);
  watch.observe(viewOf(member(1)), NONE, 300_000);
  watch.observe(view, NONE, 400_000);
  assert.equal(watch.wakeAtMs(400_000), 1_000_000);
});

Deno.test("a member that does not begin is not counted on for a quarter of an hour", () => {
  const watch = new MemberWatch();
  const view = viewOf(member(0, wish("a")), member(1, { onDisk: [offer("a")] }));
  const plan = planMesh(view);
  assert.equal(watch.observe(view, plan, 0), false);
  assert.equal(watch.observe(view, plan, 45_000), true);
  assert.deepEqual(watch.correct(view, 45_000).members[1]?.avoids, [{ id: "a", cause: "failed" }]);
  assert.deepEqual(planMesh(watch.correct(view, 45_000)).models[0]?.hosts, []);
  assert.equal(watch.observe(view, NONE, 45_000 + 900_000), true);
  assert.equal(watch.correct(view, 945_000).members[1], view.members[1]);
});

Deno.test("a member that begins, or whose plan changes, has done nothing wrong", () => {
  const watch = new MemberWatch();
  const view = viewOf(member(0, wish("a")), member(1, { onDisk: [offer("a")] }));
  watch.observe(view, planMesh(view), 0);
  const begun = viewOf(member(0), member(1, { hosted: [hosted("a", { state: "loading" })] }));
  assert.equal(watch.observe(begun, planMesh(view), 44_000), false);
  assert.equal(watch.observe(view, planMesh(view), 45_000), false);
  assert.deepEqual(planMesh(watch.correct(view, 46_000)).models[0]?.hosts[0]?.node, nodeOf(1));
});
