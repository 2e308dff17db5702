import assert from "node:assert/strict";
import fc from "fast-check";
import { hostsJustified, isFull, lot, readModels } from "~/election/model_facts.ts";
import { hosted, HOUR_MS, member, nodeOf, offer, viewArb, wish } from "#support/election.ts";

const host = (n: number, changes = {}) => {
  const model = hosted("a", changes);
  return { member: member(n, { hosted: [model] }), model, isPinned: false };
};

Deno.test("hosts are justified by requests, their time and the slots of a host", () => {
  const at = (perMinute: number, changes = {}) =>
    hostsJustified([host(1, changes)], { perMinute, share: 0.5 });
  // 60 a minute of 4 s each are 4 at once; half of 4 slots are 2.
  assert.equal(at(60, { serviceMs: 4_000 }), 2);
  assert.equal(at(60, { serviceMs: 4_000, slots: 8 }), 1);
  assert.equal(at(0), 1);
  // A host that claims hours is believed two minutes.
  assert.equal(at(1, { serviceMs: 1e12 }), at(1, { serviceMs: 120_000 }));
  assert.equal(hostsJustified([], { perMinute: 60, share: 0.5 }), 5);
});

Deno.test("only who serves and is nearly out of slots is full", () => {
  assert.equal(isFull(host(1, { busy: 0.75 })), true);
  assert.equal(isFull(host(1, { busy: 0.5 })), false);
  assert.equal(isFull(host(1, { busy: 1, state: "draining" })), false);
});

Deno.test("a model is known when it is asked for by flag, used, or served; a mere file is not", () => {
  const models = readModels([
    member(0, { ...wish("used"), wants: ["wanted"], asksHere: ["own"] }),
    member(1, { onDisk: [offer("used"), offer("file")], hosted: [hosted("served")] }),
  ]);
  assert.deepEqual([...models.keys()], ["own", "served", "used", "wanted"]);
  assert.deepEqual(models.get("wanted")?.need, { askedBy: 1, perMinute: 0 });
  assert.equal(models.get("wanted")?.isWanted, true);
  assert.equal(models.get("own")?.isWanted, false);
});

Deno.test("a model is unused only when nobody asked for an hour in any way", () => {
  const idle = member(1, { hosted: [hosted("a", { unusedMs: HOUR_MS })] });
  const isUnused = (...others: Parameters<typeof member>[1][]) =>
    readModels([idle, ...others.map((changes, n) => member(n + 2, changes))]).get("a")?.isUnused;
  assert.equal(isUnused(), true);
  assert.equal(isUnused({ hosted: [hosted("a")] }), false);
  assert.equal(isUnused({ wants: ["a"] }), false);
  assert.equal(isUnused(wish("a", 0.25)), false);
});

Deno.test("the file that is meant is the one in use, then served, then on most disks", () => {
  const served = (n: number, print: string, unusedMs = 0) =>
    member(n, { hosted: [hosted("a", { fingerprint: print, unusedMs })] });
  const meant = (...members: Parameters<typeof readModels>[0]) =>
    readModels([member(9, wish("a")), ...members]).get("a")?.fingerprint;
  assert.equal(meant(served(1, "x", HOUR_MS), served(2, "y"), served(3, "x", HOUR_MS)), "y");
  assert.equal(meant(served(1, "x"), served(2, "y"), served(3, "x")), "x");
  const disks = ["x", "x", "y"].map((print, n) => member(n, { onDisk: [offer("a", 1, print)] }));
  assert.equal(meant(...disks), "x");
  assert.equal(meant(...disks, served(7, "y")), "y");
});

Deno.test("one member can make the mesh care about few models by flag", () => {
  const wants = Array.from({ length: 100 }, (_, n) => `model-${n}`);
  assert.equal(readModels([member(0, { wants, asksHere: wants })]).size, 8);
});

Deno.test("lots are spread, and the same for the same names", () => {
  const winners = new Set(
    Array.from({ length: 50 }, (_, n) =>
      [0, 1, 2, 3].map(nodeOf)
        .sort((a, b) => lot(`model-${n}`, a) - lot(`model-${n}`, b))[0]),
  );
  assert.equal(winners.size, 4);
  assert.equal(lot("a", "b"), lot("a", "b"));
});

Deno.test("whatever members say, every model has its facts", () => {
  fc.assert(fc.property(viewArb(), ({ members }) => {
    for (const [id, facts] of readModels(members)) {
      assert.equal(facts.id, id);
      assert.ok(facts.need.perMinute >= 0 && Number.isFinite(facts.need.perMinute));
      assert.ok(facts.hosts.every(({ model }) => model.id === id && model.state !== "draining"));
    }
  }));
});
