import assert from "node:assert/strict";
import fc from "fast-check";
import {
  EMPTY_SLOT,
  idOf,
  loadingOf,
  nextSlot,
  nodeStatusOf,
  type SlotInput,
  type SlotModel,
  type SlotState,
} from "~/node/model_slot.ts";

const MODEL: SlotModel = {
  id: "tiny",
  path: "/models/tiny.gguf",
  sizeBytes: 1000,
  contextTokens: 2048,
  slots: 4,
  meta: {},
};

function after(...inputs: SlotInput[]): SlotState {
  return inputs.reduce(nextSlot, EMPTY_SLOT);
}

function transfer(what: string, doneBytes: number, isDone = false): SlotInput {
  const progress = { what, source: "disk", doneBytes, totalBytes: 100, isDone };
  return { kind: "transfer", progress };
}

const START: SlotInput = { kind: "start", model: MODEL };
const READY: SlotInput = { kind: "ready", nowUnixS: 7 };

Deno.test("a model goes from its name over files and loading to ready", () => {
  const story: readonly [SlotInput, status: string, phase: string | undefined][] = [
    [{ kind: "load", id: "tiny" }, "loading", "preparing"],
    [transfer("model tiny", 20), "downloading", "downloading model tiny"],
    [transfer("model tiny", 100, true), "loading", "preparing"],
    [START, "loading", "loading"],
    [{ kind: "loading", percent: 40 }, "loading", "loading"],
    [READY, "serving", undefined],
    [{ kind: "restarting", reason: "exit 1" }, "loading", "restarting"],
    [READY, "serving", undefined],
    [{ kind: "drain" }, "draining", undefined],
    [{ kind: "emptied" }, "idle", undefined],
  ];
  let state = EMPTY_SLOT;
  for (const [input, status, phase] of story) {
    state = nextSlot(state, input);
    assert.equal(nodeStatusOf(state), status, input.kind);
    assert.equal(loadingOf(state)?.phase, phase, input.kind);
  }
});

Deno.test("loadingOf() names the transfer that has most to come, with its percent", () => {
  const state = after({ kind: "load", id: "tiny" }, transfer("engine", 90), transfer("model", 20));
  assert.deepEqual(loadingOf(state), { id: "tiny", phase: "downloading model", percent: 20 });
});

Deno.test("loadingOf() has no percent while none is known", () => {
  assert.deepEqual(loadingOf(after(START)), { id: "tiny", phase: "loading" });
  assert.deepEqual(loadingOf(after(START, { kind: "loading", percent: 5 })), {
    id: "tiny",
    phase: "loading",
    percent: 5,
  });
});

Deno.test("a draining model does not come back because its engine reports once more", () => {
  const draining = after(START, READY, { kind: "drain" });
  assert.equal(nextSlot(draining, READY), draining);
  assert.equal(nextSlot(draining, { kind: "restarting", reason: "exit 1" }), draining);
});

Deno.test("a failure keeps the name and the reason, and is left by a new load", () => {
  const failed = after(START, { kind: "failed", reason: "no memory" });
  assert.deepEqual(failed, { kind: "failed", id: "tiny", reason: "no memory" });
  assert.equal(nextSlot(failed, { kind: "load", id: "other" }).kind, "preparing");
});

Deno.test("ready keeps the moment of its beginning", () => {
  const ready = after(START, READY);
  assert.equal(nextSlot(ready, { kind: "ready", nowUnixS: 99 }), ready);
});

const inputs = fc.oneof(
  fc.constantFrom<SlotInput>(
    { kind: "load", id: "tiny" },
    { kind: "named", id: "tiny" },
    transfer("model", 10),
    transfer("model", 100, true),
    START,
    { kind: "loading" },
    READY,
    { kind: "restarting", reason: "exit" },
    { kind: "failed", reason: "broken" },
    { kind: "drain" },
    { kind: "emptied" },
  ),
);

Deno.test("whatever happens, a slot has a status, and a name unless it is empty", () => {
  fc.assert(fc.property(fc.array(inputs), (sequence) => {
    const state = sequence.reduce(nextSlot, EMPTY_SLOT);
    assert.ok(nodeStatusOf(state).length > 0);
    assert.equal(idOf(state), state.kind === "empty" ? undefined : "tiny");
    assert.equal(
      loadingOf(state) !== undefined,
      ["preparing", "starting", "restarting"].includes(state.kind),
    );
  }));
});
