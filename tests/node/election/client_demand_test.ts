import assert from "node:assert/strict";
import fc from "fast-check";
import { CLIENT_MODELS_MAX, ClientDemand } from "~/node/election/client_demand.ts";

const MINUTE_MS = 60_000;
const NAMES = Array.from({ length: 20 }, (_, n) => `model-${n}`);
const known = (): ReadonlySet<string> => new Set(NAMES);

Deno.test("what an honest client says counts", () => {
  const demand = new ClientDemand();
  let counted = 0;
  for (let second = 0; second < 60; second += 1) {
    const asked = [{ id: "model-1", requests: 2 }, { id: "model-2", requests: 1 }];
    for (const { requests } of demand.admit("c", asked, { known, nowMs: second * 1_000 })) {
      counted += requests;
    }
  }
  assert.equal(counted, 60 * 3);
});

Deno.test("names that mean nothing here do not count, and take nobody's place", () => {
  const demand = new ClientDemand();
  const invented = Array.from({ length: 8 }, (_, n) => ({ id: `invented-${n}`, requests: 64 }));
  assert.deepEqual(demand.admit("c", invented, { known, nowMs: 0 }), []);
  const real = [{ id: "model-1", requests: 3 }];
  assert.deepEqual(demand.admit("c", real, { known, nowMs: 1_000 }), real);
});

Deno.test("a client can have few models asked for at a time, and others once those are forgotten", () => {
  const demand = new ClientDemand();
  const admit = (from: number, nowMs: number): readonly string[] =>
    demand.admit("c", NAMES.slice(from, from + 8).map((id) => ({ id, requests: 1 })), {
      known,
      nowMs,
    }).map(({ id }) => id);
  assert.equal(admit(0, 0).length, CLIENT_MODELS_MAX);
  assert.deepEqual(admit(8, 5 * MINUTE_MS), []);
  assert.equal(admit(0, 5 * MINUTE_MS).length, CLIENT_MODELS_MAX);
  assert.deepEqual(admit(8, 10 * MINUTE_MS), []);
  assert.equal(admit(8, 15 * MINUTE_MS).length, CLIENT_MODELS_MAX);
});

Deno.test("a client that talks all the time is not listened to, and keeps no other from being heard", () => {
  const demand = new ClientDemand();
  let looks = 0;
  const counting = (): ReadonlySet<string> => {
    looks += 1;
    return known();
  };
  for (let n = 0; n < 1_000; n += 1) {
    demand.admit("loud", [{ id: "model-1", requests: 1 }], { known: counting, nowMs: n });
  }
  assert.ok(looks <= 10, `${looks} looks at the mesh`);
  const asked = [{ id: "model-1", requests: 1 }];
  assert.deepEqual(demand.admit("quiet", asked, { known, nowMs: 1_000 }), asked);
});

Deno.test("no client is believed more than its rate, whatever it says", () => {
  const message = fc.record({
    passMs: fc.nat(2_000),
    asked: fc.array(
      fc.record({
        id: fc.constantFrom(...NAMES, "invented"),
        requests: fc.integer({ min: 1, max: 64 }),
      }),
      { maxLength: 8 },
    ),
  });
  fc.assert(fc.property(fc.array(message, { maxLength: 60 }), (messages) => {
    const demand = new ClientDemand();
    let nowMs = 0;
    let counted = 0;
    const models = new Set<string>();
    for (const { passMs, asked } of messages) {
      nowMs += passMs;
      for (const { id, requests } of demand.admit("c", asked, { known, nowMs })) {
        assert.ok(requests >= 1 && id !== "invented");
        counted += requests;
        models.add(id);
      }
    }
    assert.ok(counted <= 64 + nowMs / 1_000 * 4);
    assert.ok(models.size <= CLIENT_MODELS_MAX, "within ten minutes");
  }));
});
