import assert from "node:assert/strict";
import { id, recordOf, sentTo, TestMember } from "#support/membership.ts";

Deno.test("the record of a node that a neighbour names is asked for, unless it comes by itself", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.paths(1, [2, 3]);
  member.records(1, recordOf(2));
  assert.deepEqual(sentTo(member.pass(400), 1, "want"), [{ t: "want", nodes: [id(3)] }]);
});

Deno.test("another neighbour is asked when the first does not answer, three times in all", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.meet(2);
  member.paths(1, [9]);
  member.paths(2, [9]);
  const effects = member.pass(60_000);
  const asked = [1, 2].map((n) => sentTo(effects, n, "want").length);
  assert.deepEqual(asked, [2, 1]);
});

Deno.test("nobody is asked for a node that said goodbye, or for ourselves", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.records(1, recordOf(2, { isLeaving: true }));
  member.paths(1, [0, 2]);
  assert.deepEqual(sentTo(member.pass(5_000), 1, "want"), []);
});

Deno.test("asking for many is cut into messages", () => {
  const member = new TestMember(0);
  const names = Array.from({ length: 150 }, (_, n) => id(5).slice(0, 40) + `${n}`.padStart(3, "A"));
  member.meet(1);
  member.say(1, { t: "paths", reset: true, up: names, down: [] });
  const sizes = sentTo(member.pass(400), 1, "want").map(({ nodes }) => nodes.length);
  assert.deepEqual(sizes, [64, 64, 22]);
});
