import assert from "node:assert/strict";
import { id, recordOf, TestMember, told } from "#support/membership.ts";

Deno.test("judge() lets only news of neighbours that are members be checked", () => {
  const member = new TestMember(0);
  member.publish();
  member.meet(1);
  const judge = (from: number, node: number, incarnation: number) =>
    member.machine.judge(id(from), { node: id(node), incarnation }, 0);
  assert.deepEqual([judge(1, 1, 1000), judge(1, 1, 1001), judge(1, 7, 0)], [
    "known",
    "news",
    "news",
  ]);
  assert.equal(judge(2, 7, 1), "refused", "there is no link");
  assert.deepEqual([judge(1, 0, 1000), judge(1, 0, 1001)], ["known", "news"], "of ourselves");
});

Deno.test("judge() bounds what a peer makes us check: 10,000 invented nodes at once", () => {
  const member = new TestMember(0);
  member.meet(1);
  let checked = 0;
  for (let n = 0; n < 10_000; n += 1) {
    const node = `${id(1).slice(0, 36)}${String(n).padStart(6, "0")}A`;
    if (member.machine.judge(id(1), { node, incarnation: 1 }, 0) === "news") checked += 1;
  }
  assert.equal(checked, 1152);
  assert.equal(member.machine.judge(id(1), { node: id(9), incarnation: 1 }, 1_000), "news");
});

Deno.test("a newer record of a member that is here is told, once", () => {
  const member = new TestMember(0);
  member.meet(1);
  const newer = recordOf(1, { incarnation: 1001 });
  assert.deepEqual(told(member.records(1, newer, newer)), ["changed 1"]);
  assert.deepEqual(told(member.records(1, recordOf(1))), []);
  assert.equal(member.machine.member(id(1))?.record, newer);
});

Deno.test("our own record as an earlier run left it is not an alarm", () => {
  const member = new TestMember(0);
  member.publish();
  member.meet(1);
  const old = recordOf(0, { incarnation: 900, session: "session-old" });
  assert.deepEqual(member.records(1, old), []);
});

Deno.test("an own record from a clock that was set back is outrun, and nobody dies of it", () => {
  const member = new TestMember(0);
  member.publish();
  member.meet(1);
  const ahead = recordOf(0, { incarnation: 5_000, session: "session-old" });
  assert.deepEqual(member.records(1, ahead), [{ kind: "outrun", incarnation: 65_000 }]);
  member.publish({ incarnation: 65_000 });
  const stale = recordOf(0, { incarnation: 5_007, session: "session-old" });
  assert.deepEqual(member.records(1, stale), []);
});

Deno.test("another process with our key that answers is a clash", () => {
  const member = new TestMember(0);
  member.publish();
  member.meet(1);
  member.records(1, recordOf(0, { incarnation: 5_000, session: "session-clone" }));
  member.publish({ incarnation: 65_000 });
  const effects = member.records(
    1,
    recordOf(0, { incarnation: 125_000, session: "session-clone" }),
  );
  assert.deepEqual(effects, [{ kind: "clash", session: "session-clone" }]);
});

Deno.test("a client takes no alarm from records of its key: it has none", () => {
  const client = new TestMember(0, { role: "client" });
  client.meet(1);
  assert.deepEqual(client.publish(), []);
  assert.deepEqual(told(client.records(1, recordOf(0, { session: "session-old" }))), []);
  assert.equal(client.machine.judge(id(1), { node: id(0), incarnation: 9_999 }, 0), "known");
});

Deno.test("a node that is revoked goes with its link and is not dialled", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.meet(2);
  member.paths(2, [1]);
  const effects = member.give({ kind: "revoked", node: id(1), reason: "revoked" });
  assert.deepEqual(told(effects), ["left 1"]);
  assert.ok(effects.some((effect) => effect.kind === "close" && effect.reason === "revoked"));
  member.health(1, "closed");
  const later = member.pass(60_000);
  assert.ok(!later.some((effect) => effect.kind === "dial"));
  assert.deepEqual(member.here, [2]);
});
