import assert from "node:assert/strict";
import fc from "fast-check";
import { planMesh } from "~/election/plan.ts";
import { whyHosted } from "~/election/why.ts";
import { hosted, member, viewArb } from "#support/election.ts";

Deno.test("a model's hosts say why they serve it, in their own words", () => {
  const why = "only member left with 6.0 GiB free for it";
  const members = [member(2, { hosted: [hosted("a", { why })] }), member(1)];
  assert.equal(whyHosted("a", members, undefined), `node-02: ${why}`);
});

Deno.test("a host that says nothing is said to do what it does", () => {
  const members = [
    member(2, { hosted: [hosted("a", { state: "loading" })] }),
    member(1, { hosted: [hosted("a")] }),
  ];
  assert.equal(
    whyHosted("a", members, undefined),
    "node-01: is serving it already, node-02: is loading it already",
  );
});

Deno.test("who wants a model is named, and how much it is asked for", () => {
  const host = member(1, { hosted: [hosted("a", { why: "asked for there" })], asksHere: ["a"] });
  const members = [host, member(2, { wants: ["a"] })];
  const of = (perMinute: number) => whyHosted("a", members, { askedBy: 2, perMinute });
  const begin = "node-01: asked for there; asked of the mesh at node-02";
  assert.equal(of(0), begin);
  assert.equal(of(0.3), `${begin}; asked for lately`);
  assert.equal(of(1.2), `${begin}; about 1 request a minute`);
  assert.equal(of(90.5), `${begin}; about 91 requests a minute`);
});

Deno.test("of many hosts three are named", () => {
  const members = [1, 2, 3, 4, 5].map((n) => member(n, { hosted: [hosted("a", { why: "w" })] }));
  assert.equal(whyHosted("a", members, undefined), "node-01: w, node-02: w, node-03: w and 2 more");
});

Deno.test("nothing is said of a model exactly when nobody holds it", () => {
  fc.assert(fc.property(viewArb(), (view) => {
    for (const { id, need } of planMesh(view).models) {
      const isHeld = view.members.some((one) =>
        one.hosted.some((model) => model.id === id && model.state !== "draining")
      );
      assert.equal(whyHosted(id, view.members, need) !== undefined, isHeld);
    }
  }));
});
