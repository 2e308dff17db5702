import assert from "node:assert/strict";
import fc from "fast-check";
import { contentOf, type OwnFacts, saysTheSame } from "~/node/mesh/own_record.ts";
import type { SlotState } from "~/node/model_slot.ts";

const MODEL = {
  id: "tiny",
  path: "/models/tiny.gguf",
  sizeBytes: 1000,
  contextTokens: 4096,
  slots: 4,
  meta: { n_params: 135 },
};

function facts(changes: Partial<OwnFacts> = {}): OwnFacts {
  return {
    node: "n".repeat(43),
    session: "s",
    version: "0.1.0",
    protocol: 1,
    leafHash: "h",
    addresses: [],
    dialable: "unknown",
    engine: undefined,
    offeredBytes: 0,
    models: [],
    slot: { kind: "empty" },
    election: undefined,
    isLeaving: false,
    ...changes,
  };
}

Deno.test("own record: a ready model is served, with what clients want to know", () => {
  const slot: SlotState = { kind: "ready", model: MODEL, sinceUnixS: 1_700_000_000 };
  assert.deepEqual(contentOf(facts({ slot })).serving, [{
    id: "tiny",
    createdUnixS: 1_700_000_000,
    slots: 4,
    sizeBytes: 1000,
    meta: { n_params: 135, n_ctx: 4096, n_slots: 4, size: 1000 },
  }]);
});

Deno.test("own record: says nothing of paths on the disk", () => {
  const slot: SlotState = { kind: "ready", model: MODEL, sinceUnixS: 1 };
  assert.ok(!JSON.stringify(contentOf(facts({ slot }))).includes("/models"));
});

Deno.test("own record: a model on its way is loading; one without a name yet is not told", () => {
  const starting: SlotState = { kind: "starting", model: MODEL, percent: 40 };
  assert.deepEqual(contentOf(facts({ slot: starting })).loading, [{
    id: "tiny",
    phase: "loading",
  }]);
  const unnamed: SlotState = {
    kind: "preparing",
    id: "(the best that fits)",
    transfers: new Map(),
  };
  assert.deepEqual(contentOf(facts({ slot: unnamed })).loading, []);
});

Deno.test("own record: progress changes nothing that others are told", () => {
  const at = (percent: number) =>
    contentOf(facts({ slot: { kind: "starting", model: MODEL, percent } }));
  assert.ok(saysTheSame(at(10), at(90)));
});

Deno.test("own record: who leaves serves nothing", () => {
  const slot: SlotState = { kind: "ready", model: MODEL, sinceUnixS: 1 };
  const content = contentOf(facts({ slot, isLeaving: true }));
  assert.deepEqual([content.serving, content.isLeaving], [[], true]);
});

Deno.test("own record: memory is told in steps, never more than there is", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 2 ** 45 }), (offeredBytes) => {
    const told = contentOf(facts({ offeredBytes })).offeredBytes;
    assert.ok(
      told <= offeredBytes && told * 1.21 + 2 >= offeredBytes,
      `${told} of ${offeredBytes}`,
    );
  }));
  assert.equal(contentOf(facts({ offeredBytes: 0 })).offeredBytes, 0);
});
