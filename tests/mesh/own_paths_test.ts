import assert from "node:assert/strict";
import { id, recordOf, sentTo, TestMember } from "#support/membership.ts";

Deno.test("a new neighbour hears all our paths, the others the change, once", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.meet(2);
  const first = sentTo(member.pass(200), 1, "paths");
  assert.deepEqual(first, [{ t: "paths", reset: false, up: [id(1), id(2)], down: [] }]);
  const greeting = sentTo(member.link(3), 3, "paths");
  assert.deepEqual(greeting, [{ t: "paths", reset: true, up: [id(1), id(2)], down: [] }]);
  assert.deepEqual(sentTo(member.pass(200), 1, "paths"), [], "3 has no record yet");
  member.records(3, recordOf(3));
  assert.deepEqual(sentTo(member.pass(200), 1, "paths"), [
    { t: "paths", reset: false, up: [id(3)], down: [] },
  ]);
});

Deno.test("a neighbour that is suspect is promised to nobody", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.meet(2);
  member.pass(200);
  member.health(2, "suspect");
  assert.deepEqual(sentTo(member.pass(200), 1, "paths"), [
    { t: "paths", reset: false, up: [], down: [id(2)] },
  ]);
  member.health(2, "live");
  member.health(2, "suspect");
  assert.deepEqual(sentTo(member.pass(200), 1, "paths"), [], "nothing came of it");
});

Deno.test("a client has no paths to tell", () => {
  const client = new TestMember(0, { role: "client" });
  const effects = [...client.meet(1), ...client.meet(2), ...client.pass(1_000)];
  assert.deepEqual([1, 2].flatMap((n) => sentTo(effects, n, "paths")), []);
});
