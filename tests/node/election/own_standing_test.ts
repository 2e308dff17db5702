import assert from "node:assert/strict";
import { GIB } from "~/base/units.ts";
import { OwnStanding, type OwnStandingOptions } from "~/node/election/own_standing.ts";
import type { SlotModel, SlotState } from "~/node/model_slot.ts";
import { member, offer, ram } from "#support/election.ts";
import { VirtualTime } from "#support/virtual_time.ts";

const MODEL: SlotModel = {
  id: "b",
  path: "/models/b.gguf",
  sizeBytes: 7,
  contextTokens: 2_048,
  slots: 2,
  meta: {},
};
const EMPTY: SlotState = { kind: "empty" };
const READY: SlotState = { kind: "ready", model: MODEL, sinceUnixS: 200 };

function standing(changes: Partial<OwnStandingOptions> = {}) {
  const time = new VirtualTime();
  const own = new OwnStanding({
    clock: time,
    mayServe: () => true,
    disk: () => [{ id: "Beta", sizeBytes: 1_000 }],
    catalogue: [],
    requested: {},
    wants: [],
    ...changes,
  });
  return { time, own };
}

Deno.test("standing: serves nothing before the memory was looked at", () => {
  const { own } = standing();
  assert.equal(own.record(EMPTY, []).mayServe, false);
  assert.equal(own.measure({ devices: [], ramFreeBytes: 4 * GIB }, EMPTY), true);
  const record = own.record(EMPTY, []);
  assert.deepEqual([record.mayServe, record.onDisk.map(({ id }) => id)], [true, ["Beta"]]);
});

Deno.test("standing: what was typed is wanted by the name that members have for it", () => {
  const wants = [
    "/home/ada/gamma.gguf",
    "beta",
    "org/repo/Other-Q4.gguf",
    "smollm2-135m-instruct",
    "https://huggingface.co/org/repo/resolve/main/delta.gguf?download=true",
  ];
  const { own } = standing({ wants });
  const others = [member(2, { onDisk: [offer("Gamma")] })];
  assert.deepEqual(own.record(EMPTY, others).wants, [
    "Gamma",
    "Beta",
    "Other-Q4",
    "SmolLM2-135M-Instruct",
    "delta",
  ]);
});

Deno.test("standing: what was asked for here is loaded by the words that named it, and bounded", () => {
  const { own } = standing();
  own.ask("b", "/models/b.gguf");
  assert.deepEqual([own.nameOf("b"), own.nameOf("c")], ["/models/b.gguf", "c"]);
  for (let n = 0; n < 8; n += 1) own.ask(`m${n}`, `m${n}`);
  assert.deepEqual(own.record(EMPTY, []).asksHere, [...Array(8).keys()].map((n) => `m${n}`));
  own.unask("m7");
  assert.equal(own.hasAsked("m7"), false);
});

Deno.test("standing: demand is told when it changes, and makes a known model one to fetch", () => {
  const catalogue = [{ id: "starter", sizeBytes: 1_000 }];
  const { own } = standing({ catalogue });
  own.measure({ devices: [], ramFreeBytes: 4 * GIB }, EMPTY);
  assert.deepEqual(own.record(EMPTY, []).fetchable, []);
  assert.equal(own.count("starter"), true);
  const { demand, fetchable } = own.record(EMPTY, []);
  assert.deepEqual([demand.map(({ id }) => id), fetchable], [
    ["starter"],
    [own.fetchable({ id: "starter", sizeBytes: 1_000 })],
  ]);
});

Deno.test("standing: use is that of the model that is served, from when it was ready", () => {
  const { own, time } = standing();
  own.measure({ devices: [], ramFreeBytes: 4 * GIB }, EMPTY);
  own.follow({ kind: "starting", model: MODEL });
  own.follow(READY);
  own.began();
  own.began();
  time.advance(60_000);
  const [busy] = own.record(READY, []).hosted;
  assert.equal(busy?.busy, 1);
  own.ended(1_000);
  own.ended(1_000);
  time.advance(2 * 3_600_000);
  const [idle] = own.record(READY, []).hosted;
  assert.deepEqual([idle?.busy, idle?.unusedMs], [0, 2 * 3_600_000]);
  assert.ok((idle?.serviceMs ?? 0) > 0);
  own.follow(EMPTY);
  own.follow(READY);
  assert.equal(own.record(READY, []).hosted[0]?.unusedMs, 0, "a model anew");
});

Deno.test("standing: memory stands still while an engine starts", () => {
  const { own } = standing();
  own.measure({ devices: [], ramFreeBytes: 4 * GIB }, EMPTY);
  const slot: SlotState = { kind: "starting", model: MODEL };
  assert.equal(own.measure({ devices: [], ramFreeBytes: GIB }, slot), false);
  assert.ok(
    (own.record(slot, []).devices[0]?.capacityBytes ?? 0) > (ram(2)[0]?.capacityBytes ?? 0),
  );
});

Deno.test("standing: why a model is served is said of that model only", () => {
  const { own } = standing();
  own.explain("a", "its host is full");
  assert.equal(own.whyOf("a"), "its host is full");
  assert.equal(own.whyOf("b"), undefined);
});
