import assert from "node:assert/strict";
import {
  electionRecordOf,
  offerToFetch,
  type OwnElectionFacts,
} from "~/node/election/own_member.ts";
import type { SlotModel, SlotState } from "~/node/model_slot.ts";
import { offer, ram } from "#support/election.ts";

const MODEL: SlotModel = {
  id: "b",
  path: "/models/b.gguf",
  sizeBytes: 7,
  fingerprint: "print-b",
  contextTokens: 2_048,
  slots: 3,
  meta: {},
};

function factsOf(changes: Partial<OwnElectionFacts> = {}): OwnElectionFacts {
  return {
    mayServe: true,
    speed: 0,
    devices: ram(4),
    onDisk: [offer("a"), offer("b"), offer("c")],
    catalogue: [{ id: "b", sizeBytes: 5 }, { id: "starter", sizeBytes: 5 }],
    slot: { kind: "empty" },
    sinceUnixS: 100,
    usage: undefined,
    why: "asked for there",
    asksHere: [],
    wants: [],
    demand: [],
    avoids: [],
    wantedAnywhere: new Set(),
    ...changes,
  };
}

Deno.test("own member: each state of the slot in the election's words", () => {
  const transfer = { what: "model", doneBytes: 1 };
  const cases: readonly (readonly [SlotState, string | undefined])[] = [
    [{ kind: "empty" }, undefined],
    [{ kind: "preparing", id: "b", isNamed: true, transfers: new Map() }, "loading"],
    [
      { kind: "preparing", id: "b", isNamed: true, transfers: new Map([["m", transfer]]) },
      "fetching",
    ],
    [{ kind: "starting", model: MODEL }, "loading"],
    [{ kind: "restarting", model: MODEL, reason: "it crashed" }, "loading"],
    [{ kind: "ready", model: MODEL, sinceUnixS: 200 }, "serving"],
    [{ kind: "draining", model: MODEL }, "draining"],
    [{ kind: "failed", id: "b", reason: "no memory" }, undefined],
  ];
  for (const [slot, state] of cases) {
    const [hosted] = electionRecordOf(factsOf({ slot })).hosted;
    assert.equal(hosted?.state, state, slot.kind);
    if (hosted === undefined) continue;
    assert.equal(hosted.sinceUnixS, slot.kind === "ready" ? 200 : 100);
    assert.deepEqual(hosted.needs, offer("b").needs);
    assert.equal(hosted.fingerprint, "print-b");
    assert.equal(hosted.why, "asked for there");
  }
});

Deno.test("own member: while it is not known what is loaded, nothing else is to be", () => {
  const slot: SlotState = { kind: "preparing", id: "/home/ada/secret.gguf", transfers: new Map() };
  const record = electionRecordOf(factsOf({ slot }));
  assert.deepEqual([record.mayServe, record.hosted], [false, []]);
});

Deno.test("own member: how the model is used comes from its meter", () => {
  const slot: SlotState = { kind: "ready", model: MODEL, sinceUnixS: 200 };
  const usage = { busy: 0.5, serviceMs: 64, unusedMs: 0 };
  const [hosted] = electionRecordOf(factsOf({ slot, usage })).hosted;
  assert.deepEqual(
    [hosted?.slots, hosted?.busy, hosted?.serviceMs, hosted?.sizeBytes],
    [3, 0.5, 64, 7],
  );
});

Deno.test("own member: what somebody wants stands first, and is fetched only when it is not here", () => {
  const wantedAnywhere = new Set(["c", "b", "starter"]);
  const { onDisk, fetchable } = electionRecordOf(factsOf({ wantedAnywhere }));
  assert.deepEqual(onDisk.map(({ id }) => id), ["b", "c", "a"]);
  assert.deepEqual(fetchable, [offerToFetch({ id: "starter", sizeBytes: 5 }, ram(4))]);
  assert.deepEqual(electionRecordOf(factsOf()).fetchable, [], "nobody wants it");
  const idle = electionRecordOf(factsOf({ wantedAnywhere, mayServe: false }));
  assert.deepEqual(idle.fetchable, [], "it serves nothing");
});
