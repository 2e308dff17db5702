import assert from "node:assert/strict";
import fc from "fast-check";
import { explainModel, hostWords } from "~/election/explain.ts";
import { planMesh } from "~/election/plan.ts";
import { hosted, member, nodeOf, offer, ram, viewArb, viewOf, wish } from "#support/election.ts";

const wordsOf = (view: Parameters<typeof explainModel>[0], id: string, n: number) =>
  explainModel(view, id).members.find(({ node }) => node === nodeOf(n))?.words;

Deno.test("the only member with room is said to be that", () => {
  const view = viewOf(
    member(0, wish("a")),
    member(1, { onDisk: [offer("a", 6)], devices: ram(8) }),
    member(2, { onDisk: [offer("a", 6)], devices: ram(5) }),
  );
  const { summary, members, advice } = explainModel(view, "a");
  assert.equal(
    summary,
    'host of "a" is node-01: only member left that has it and 6.0 GiB free for it',
  );
  assert.deepEqual(members.map(({ isHost }) => isHost), [true, false, false]);
  assert.equal(wordsOf(view, "a", 2), "needs 6.0 GiB of ram, has 5.0 GiB");
  assert.equal(wordsOf(view, "a", 0), "does not have it and cannot fetch it");
  assert.equal(advice, undefined);
});

Deno.test("a model that fits nowhere is said to need what, and what is there", () => {
  const view = viewOf(
    member(0, wish("a")),
    member(1, { onDisk: [offer("a", 9)], devices: ram(5) }),
  );
  const { summary, advice } = explainModel(view, "a");
  assert.equal(
    summary,
    'no member can hold "a": it needs 9.0 GiB, the most that is free is 5.0 GiB on node-01',
  );
  assert.match(advice ?? "", /Add a member/);
});

Deno.test("a model that would fit in another's place is said to", () => {
  const view = viewOf(
    member(0, wish("b")),
    member(1, { onDisk: [offer("b")], hosted: [hosted("a")], asksHere: ["a"] }),
  );
  const { summary, advice } = explainModel(view, "b");
  assert.equal(summary, 'no member can hold "b": every member that is large enough is taken');
  assert.equal(advice, 'It would fit on node-01 once "a" is dropped there');
});

Deno.test("a model that nobody has is said to be missing", () => {
  assert.equal(
    explainModel(viewOf(member(0)), "x").summary,
    'no member can hold "x": nobody has it on disk, and nobody can fetch it',
  );
  assert.match(explainModel(viewOf(member(0)), "x").advice ?? "", /on the disk of a member/);
  assert.equal(
    explainModel(viewOf(member(0, { mayServe: false })), "x").summary,
    'no member can hold "x": nobody here serves models',
  );
  assert.match(explainModel(viewOf(), "x").summary, /nobody here serves models/);
});

Deno.test("a model that nobody asks for is planned as if somebody did", () => {
  const view = viewOf(member(0), member(1, { onDisk: [offer("a")] }));
  assert.match(explainModel(view, "a").summary, /^if it were asked for: host of "a" is node-01/);
});

Deno.test("every reason for not being a host has its words", () => {
  const view = viewOf(
    member(0, wish("a")),
    member(1, { hosted: [hosted("a")] }),
    member(2, { onDisk: [offer("a")], avoids: [{ id: "a", cause: "failed" }] }),
    member(3, { onDisk: [offer("a")], avoids: [{ id: "a", cause: "dropped" }] }),
    member(4, { onDisk: [offer("a", 1, "other")] }),
    member(5, { onDisk: [offer("a")], isLeaving: true }),
    member(6, { onDisk: [offer("a")], mayServe: false }),
    member(7, { onDisk: [offer("a")] }),
    member(8, { onDisk: [offer("a")], asksHere: ["z"] }),
    member(9, {
      onDisk: [offer("a")],
      hosted: [hosted("c", { state: "loading", isStalled: true })],
    }),
  );
  assert.deepEqual([1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => wordsOf(view, "a", n)), [
    "serves it already",
    "failed to load it, and tries again later",
    "was told to drop it",
    "has another file of that name",
    "leaves",
    "serves nothing",
    "would have room, and is not needed",
    'is kept for "z", asked for there',
    'is stuck loading "c"',
  ]);
});

Deno.test("every way to become a host has its words", () => {
  const neededBytes = 2 ** 30;
  const first = { kind: "first", source: "disk", neededBytes, instead: undefined } as const;
  assert.equal(hostWords({ kind: "asked_here" }), "asked for there");
  assert.equal(hostWords({ kind: "keeps", state: "loading" }), "is loading it already");
  assert.equal(hostWords({ ...first, rivals: 2 }), "best of 3 members with 1.0 GiB free for it");
  assert.equal(
    hostWords({ ...first, rivals: 0, source: "fetch", instead: { id: "b", why: "unused" } }),
    "only member left with 1.0 GiB free for it, has to fetch it, " +
      'gives up "b", which nobody used for an hour',
  );
  assert.equal(
    hostWords({
      kind: "replica",
      source: "disk",
      hosts: 2,
      neededBytes,
      instead: { id: "b", why: "replica" },
    }),
    'one more, as all 2 hosts are full, gives up "b", which others serve too',
  );
});

Deno.test("an explanation agrees with the plan, of any view and any name", () => {
  fc.assert(fc.property(viewArb(), fc.constantFrom("a", "d", "f", "unknown", ""), (view, id) => {
    const { members, summary, advice } = explainModel(view, id);
    assert.equal(members.length, view.members.length);
    assert.ok(summary.length > 0 && members.every(({ words }) => words.length > 0));
    const hosts = planMesh(view).models.find((model) => model.id === id)?.hosts;
    if (hosts === undefined) return;
    assert.deepEqual(
      members.filter(({ isHost }) => isHost).map(({ node }) => node),
      hosts.map(({ node }) => node),
    );
    assert.equal(advice === undefined, hosts.length > 0);
  }));
});
