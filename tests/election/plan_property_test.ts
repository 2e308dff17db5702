import assert from "node:assert/strict";
import fc from "fast-check";
import { planMesh } from "~/election/plan.ts";
import type { ElectionMember, HostedModel, MeshView } from "~/election/ports.ts";
import {
  HOUR_MS,
  memberArb,
  obeyed,
  plannedFor,
  settled,
  shapeOf,
  viewArb,
} from "#support/election.ts";

const MANY = { numRuns: 300 };

function bytesOf(member: ElectionMember, id: string): number {
  const found = [...member.hosted, ...member.onDisk, ...member.fetchable].find((one) =>
    one.id === id
  );
  return found?.needs.reduce((sum, { bytes }) => sum + bytes, 0) ?? Number.NaN;
}

function isRunning(member: ElectionMember, id: string): boolean {
  return member.hosted.some((model) => model.id === id && model.state !== "draining");
}

Deno.test("the plan never overcommits a device, nor a member", () => {
  fc.assert(
    fc.property(viewArb(), (view) => {
      const plan = planMesh(view);
      for (const member of view.members) {
        const planned = plannedFor(plan, member.node);
        // What runs there already is a fact, however small its record says the member is.
        if (planned.every((id) => isRunning(member, id))) continue;
        const bytes = planned.reduce((sum, id) => sum + bytesOf(member, id), 0);
        assert.ok(bytes <= (member.devices[0]?.capacityBytes ?? 0), `${member.node}: ${planned}`);
        assert.ok(planned.length <= member.modelsMax, `${member.node}: ${planned}`);
      }
    }),
    MANY,
  );
});

Deno.test("the plan is the same whatever the order of members, models and reports", () => {
  const shuffled = viewArb().chain((view) =>
    fc.tuple(
      fc.constant(view),
      fc.shuffledSubarray([...view.members], { minLength: view.members.length }),
    )
  );
  fc.assert(
    fc.property(shuffled, ([view, members]) => {
      const turned = members.map((member) => ({
        ...member,
        onDisk: member.onDisk.toReversed(),
        fetchable: member.fetchable.toReversed(),
        hosted: member.hosted.toReversed(),
        demand: member.demand.toReversed(),
        wants: member.wants.toReversed(),
        avoids: member.avoids.toReversed(),
      }));
      assert.deepEqual(planMesh({ members: turned }), planMesh(view));
    }),
    MANY,
  );
});

Deno.test("loading what was planned leaves the plan as it is", () => {
  const some = viewArb().chain((view) =>
    fc.tuple(
      fc.constant(view),
      fc.array(fc.constantFrom<HostedModel["state"]>("loading", "fetching", "serving"), {
        minLength: view.members.length,
        maxLength: view.members.length,
      }),
    )
  );
  fc.assert(
    fc.property(some, ([view, states]) => {
      const plan = planMesh(view);
      let after = view;
      for (const [index, { node }] of view.members.entries()) {
        after = obeyed(after, plan, { node, state: states[index] ?? "loading" });
      }
      assert.deepEqual(shapeOf(planMesh(after)), shapeOf(plan));
    }),
    MANY,
  );
});

/** Members that go take their wishes along: only what they hold is looked at here. */
function quiet(member: ElectionMember): ElectionMember {
  return { ...member, demand: [], wants: [], asksHere: [] };
}

Deno.test("a member's leaving changes only what it held", () => {
  const cases = fc.tuple(viewArb(), memberArb(9)).map(([view, leaver]) => ({
    view: settled({ members: [...view.members, quiet(leaver)] }),
    node: leaver.node,
  }));
  fc.assert(
    fc.property(cases, ({ view, node }) => {
      const before = planMesh(view);
      const rest = planMesh({ members: view.members.filter((member) => member.node !== node) });
      const held = plannedFor(before, node);
      const givenUp = rest.models.flatMap(({ hosts }) =>
        hosts.flatMap(({ cause }) =>
          "instead" in cause && cause.instead !== undefined ? [cause.instead.id] : []
        )
      );
      const [had, has] = [shapeOf(before), shapeOf(rest)];
      for (const [id, nodes] of Object.entries(had)) {
        if (held.includes(id) || givenUp.includes(id)) continue;
        assert.deepEqual(has[id] ?? [], nodes, `${id} moved, which ${node} did not hold`);
      }
    }),
    MANY,
  );
});

Deno.test("what was asked for where it runs, and what is in use nowhere else, stays", () => {
  fc.assert(
    fc.property(viewArb(), (view: MeshView) => {
      const plan = shapeOf(planMesh(view));
      for (const member of view.members) {
        if (!member.mayServe || member.isLeaving) continue;
        for (const { id, state, unusedMs } of member.hosted) {
          if (state !== "serving") continue;
          const isAsked = member.asksHere.includes(id);
          if (isAsked) {
            assert.ok(plan[id]?.includes(member.node), `${id} was taken from ${member.node}`);
          }
          const isWanted = view.members.some((one) => !one.isLeaving && one.wants.includes(id));
          if (isWanted || unusedMs < HOUR_MS) {
            assert.ok((plan[id]?.length ?? 0) > 0, `${id} lost its last host`);
          }
        }
      }
    }),
    MANY,
  );
});

Deno.test("a model that is asked for has a host whenever a free member can hold it", () => {
  fc.assert(
    fc.property(viewArb(), (view) => {
      const plan = planMesh(view);
      for (const { id, hosts, need, fingerprint } of plan.models) {
        if (hosts.length > 0 || (need.askedBy === 0 && need.perMinute === 0)) continue;
        for (const member of view.members) {
          const isFree = member.mayServe && !member.isLeaving && member.hosted.length === 0 &&
            member.asksHere.length === 0 && plannedFor(plan, member.node).length === 0;
          const found = member.onDisk.find((one) =>
            one.id === id && one.fingerprint === fingerprint
          );
          if (!isFree || found === undefined || member.avoids.some((one) => one.id === id)) {
            continue;
          }
          if (
            view.members.every(({ asksHere, wants, demand }) =>
              asksHere.includes(id) && !wants.includes(id) && demand.every((one) => one.id !== id)
            )
          ) continue;
          const isOnlyAskedHere = need.perMinute === 0 &&
            view.members.every((one) => one.isLeaving || !one.wants.includes(id));
          assert.ok(
            isOnlyAskedHere || bytesOf(member, id) > (member.devices[0]?.capacityBytes ?? 0),
            `${id} has no host though ${member.node} is free`,
          );
        }
      }
    }),
    MANY,
  );
});
