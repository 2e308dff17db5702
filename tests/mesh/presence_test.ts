import assert from "node:assert/strict";
import { id, recordOf, sentTo, TestMember, told } from "#support/membership.ts";

Deno.test("a member is here when it is linked and its record is known, and not before", () => {
  const member = new TestMember(0);
  assert.deepEqual(told(member.link(3)), []);
  assert.deepEqual(member.here, []);
  assert.deepEqual(told(member.records(3, recordOf(3))), ["joined 3"]);
  const [view] = member.machine.members();
  assert.deepEqual({ ...view }, {
    node: id(3),
    record: recordOf(3),
    health: "live",
    isDirect: true,
    isPunched: false,
    via: [],
  });
});

Deno.test("a record alone does not make a member be here", () => {
  const member = new TestMember(0);
  member.meet(1);
  assert.deepEqual(told(member.records(1, recordOf(2))), []);
  assert.deepEqual(member.here, [1]);
  assert.deepEqual(told(member.paths(1, [2])), ["joined 2"]);
  const view = member.machine.member(id(2));
  assert.deepEqual([view?.isDirect, view?.via, view?.health], [false, [id(1)], "live"]);
});

Deno.test("a link that falls silent ends its member at once when nobody else has it", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.meet(2);
  assert.deepEqual(told(member.health(1, "suspect")), ["suspect 1"]);
  assert.deepEqual(told(member.health(1, "live")), ["back 1"]);
  member.health(1, "suspect");
  assert.deepEqual(told(member.health(1, "silent")), ["gone 1"]);
  assert.deepEqual(told(member.health(1, "live")), ["joined 1"]);
  member.paths(2, [1]);
  member.health(1, "suspect");
  assert.deepEqual(told(member.health(1, "silent")), ["back 1"]);
  assert.deepEqual(member.machine.member(id(1))?.via, [id(2)]);
});

Deno.test("a closed link or a withdrawn path leaves a member suspect for a while", () => {
  const member = new TestMember(0);
  member.meet(1);
  assert.deepEqual(told(member.health(1, "closed")), ["suspect 1"]);
  assert.deepEqual(told(member.pass(1_999)), []);
  assert.deepEqual(told(member.pass(1)), ["gone 1"]);
  member.meet(2);
  member.paths(2, [1]);
  assert.deepEqual(member.here, [1, 2]);
  assert.deepEqual(told(member.paths(2, [], [1])), ["suspect 1"]);
  assert.deepEqual(told(member.paths(2, [1])), ["back 1"]);
});

Deno.test("a neighbour that is not heard leads nowhere", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.records(1, recordOf(2));
  member.paths(1, [2]);
  assert.deepEqual(told(member.health(1, "suspect")), ["suspect 1", "suspect 2"]);
  assert.deepEqual(told(member.health(1, "live")), ["back 1", "back 2"]);
  member.health(1, "suspect");
  assert.deepEqual(told(member.pass(2_000)), ["gone 2"]);
});

Deno.test("death claims of one neighbour about everybody take nobody away who is linked", () => {
  const member = new TestMember(0);
  for (const n of [1, 2, 3]) member.meet(n);
  assert.deepEqual(told(member.paths(1, [], [2, 3])), []);
  assert.deepEqual(told(member.say(1, { t: "paths", reset: true, up: [], down: [] })), []);
  assert.deepEqual(told(member.pass(10_000)), []);
  assert.deepEqual(member.here, [1, 2, 3]);
});

Deno.test("a farewell takes a member away at once, and older records do not bring it back", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.meet(2);
  member.paths(2, [1]);
  const farewell = recordOf(1, { incarnation: 2000, isLeaving: true });
  assert.deepEqual(told(member.records(1, farewell)), ["left 1"]);
  assert.deepEqual(told(member.records(2, recordOf(1, { incarnation: 1999 }))), []);
  assert.deepEqual(member.here, [2]);
  assert.deepEqual(told(member.records(2, recordOf(1, { incarnation: 2001 }))), ["joined 1"]);
});

Deno.test("a member started anew is here only when record and link are of the new process", () => {
  const member = new TestMember(0);
  member.meet(1);
  assert.deepEqual(told(member.link(1, { session: "session-new" })), ["suspect 1"]);
  const anew = recordOf(1, { incarnation: 2000, session: "session-new" });
  assert.deepEqual(told(member.records(1, anew)), ["changed 1", "back 1"]);
  assert.equal(member.machine.member(id(1))?.record, anew);
});

Deno.test("a client is never a member, whatever it says", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.link(5, { role: "client" });
  assert.deepEqual(member.machine.clients(), [id(5)]);
  assert.deepEqual(told(member.records(5, recordOf(5))), []);
  assert.deepEqual(told(member.paths(5, [7])), []);
  assert.equal(member.machine.judge(id(5), { node: id(5), incarnation: 9 }, 0), "refused");
  assert.deepEqual(member.here, [1]);
  const paths = sentTo(member.pass(1_000), 1, "paths");
  assert.ok(paths.every(({ up }) => !up.includes(id(5))), "a client is in our paths");
  member.health(5, "closed");
  assert.deepEqual(member.machine.clients(), []);
});
