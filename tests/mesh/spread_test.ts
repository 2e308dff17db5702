import assert from "node:assert/strict";
import { recordOf, sentTo, TestMember } from "#support/membership.ts";

Deno.test("our own record goes to every neighbour, many changes in one message", () => {
  const member = new TestMember(0);
  member.publish();
  member.link(1);
  member.link(2, { role: "client" });
  member.pass(1_000);
  member.publish({ incarnation: 1001 });
  member.publish({ incarnation: 1002 });
  const effects = member.pass(100);
  for (const n of [1, 2]) {
    const last = recordOf(0, { incarnation: 1002 }).jws;
    assert.deepEqual(sentTo(effects, n, "records"), [{ t: "records", records: [last] }]);
  }
});

Deno.test("our own record never goes back in time", () => {
  const member = new TestMember(0);
  member.link(1);
  member.publish({ incarnation: 1005 });
  member.pass(100);
  member.publish({ incarnation: 1004 });
  assert.deepEqual(sentTo(member.pass(5_000), 1, "records"), []);
});

Deno.test("a farewell does not wait", () => {
  const member = new TestMember(0);
  member.publish();
  member.link(1);
  member.pass(100);
  const effects = member.publish({ incarnation: 1001, isLeaving: true });
  assert.equal(sentTo(effects, 1, "records").length, 1);
});

Deno.test("the record of another goes to those who do not hear it themselves", () => {
  const member = new TestMember(0);
  for (const n of [1, 2, 3, 4]) member.meet(n);
  member.link(5, { role: "client" });
  member.paths(2, [1]);
  member.pass(1_000);
  member.records(1, recordOf(1, { incarnation: 2000 }));
  const effects = member.pass(600);
  const reached = [1, 2, 3, 4, 5].filter((n) => sentTo(effects, n, "records").length > 0);
  assert.deepEqual(reached, [3, 4, 5]);
});

Deno.test("what a neighbour passed on goes to those that it does not reach", () => {
  const member = new TestMember(0);
  for (const n of [1, 2, 3]) member.meet(n);
  member.paths(2, [1]);
  member.pass(1_000);
  member.records(1, recordOf(9));
  const effects = member.pass(600);
  assert.deepEqual([1, 2, 3].map((n) => sentTo(effects, n, "records").length), [0, 0, 1]);
});

Deno.test("a node that changes all the time is passed on twice a second", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.meet(2);
  member.pass(1_000);
  let messages = 0;
  for (let change = 1; change <= 100; change += 1) {
    member.records(1, recordOf(1, { incarnation: 1000 + change }));
    messages += sentTo(member.pass(50), 2, "records").length;
  }
  assert.ok(messages >= 9 && messages <= 11, `${messages} messages in 5 s`);
});

// Found in simulation: nobody told a node behind a NAT of a restart, since it still counted its dead link.
Deno.test("a restart is told to a neighbour that cannot be dialled, though it says it is linked", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.meet(2, { dialable: "no" });
  member.meet(3);
  for (const n of [2, 3]) member.paths(n, [1]);
  member.pass(1_000);
  member.records(1, recordOf(1, { incarnation: 2000, session: "session-new" }));
  const effects = member.pass(600);
  assert.deepEqual([2, 3].map((n) => sentTo(effects, n, "records").length), [1, 0]);
});

Deno.test("a few are enough to tell of a restart", () => {
  const last = 9;
  const member = new TestMember(last);
  for (const n of [1, 2, 3, 4]) member.meet(n);
  member.meet(8, { dialable: "no" });
  for (const n of [1, 2, 3, 4]) member.paths(n, [8]);
  member.paths(8, [0]);
  member.pass(1_000);
  member.records(1, recordOf(0));
  member.pass(1_000);
  member.records(1, recordOf(0, { incarnation: 2000, session: "session-new" }));
  assert.deepEqual(sentTo(member.pass(600), 8, "records"), []);
});
