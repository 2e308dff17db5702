import assert from "node:assert/strict";
import fc from "fast-check";
import { Election, type ElectionInput } from "~/election/election.ts";
import type { MeshView } from "~/election/ports.ts";
import { nodeOf, viewArb } from "#support/election.ts";

const input: fc.Arbitrary<ElectionInput> = fc.oneof(
  { weight: 4, arbitrary: viewArb(5).map((view) => ({ kind: "view" as const, view })) },
  { weight: 3, arbitrary: fc.constant({ kind: "tick" as const }) },
  fc.record({
    kind: fc.constantFrom("failed", "dropped_by_hand", "asked_by_hand"),
    id: fc.constantFrom("a", "b", "c"),
  }),
);

Deno.test("whatever a node sees, it loads only what it has room for and drops only what it runs", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(input, fc.nat(100_000)), { maxLength: 40 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (inputs, chance) => {
        const machine = new Election({ self: nodeOf(0), rng: { next: () => chance } });
        let nowMs = 0;
        let view: MeshView = { members: [] };
        for (const [one, afterMs] of inputs) {
          nowMs += afterMs;
          if (one.kind === "view") view = one.view;
          const effects = machine.handle(one, nowMs);
          const self = view.members.find(({ node }) => node === nodeOf(0));
          const running = self?.hosted ?? [];
          for (const effect of effects) {
            if (effect.kind === "load") {
              assert.ok(running.length < (self?.modelsMax ?? 0), "no seat");
              assert.ok(running.every(({ id }) => id !== effect.id), "runs already");
              assert.equal(self?.mayServe, true);
              assert.equal(self.isLeaving, false);
            } else if (effect.kind === "drop") {
              const model = running.find(({ id }) => id === effect.id);
              assert.ok(model !== undefined && model.state !== "draining");
              assert.ok(!self?.asksHere.includes(effect.id), "taken from its owner");
            }
          }
          const wakeMs = machine.wakeAtMs(nowMs);
          assert.ok(wakeMs === undefined || wakeMs > nowMs);
        }
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("nodes that see the same never load one model at two places that nobody asked for there", () => {
  fc.assert(
    fc.property(viewArb(), (view) => {
      const loads = new Map<string, number>();
      for (const { node, asksHere } of view.members) {
        const machine = new Election({ self: node, rng: { next: () => 0.3 } });
        machine.handle({ kind: "view", view }, 0);
        const effects = machine.handle({ kind: "tick" }, 20_000);
        for (const effect of effects) {
          if (effect.kind !== "load" || asksHere.includes(effect.id)) continue;
          loads.set(effect.id, (loads.get(effect.id) ?? 0) + 1);
        }
      }
      assert.ok([...loads.values()].every((count) => count === 1), JSON.stringify([...loads]));
    }),
    { numRuns: 300 },
  );
});
