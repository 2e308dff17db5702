import assert from "node:assert/strict";
import { id, recordOf, TestMember, told } from "#support/membership.ts";

Deno.test("nothing is due before the first input, and then something always is", () => {
  const member = new TestMember(0);
  assert.equal(member.machine.wakeAtMs, Number.POSITIVE_INFINITY);
  member.give({ kind: "tick" });
  assert.ok(member.machine.wakeAtMs < Number.POSITIVE_INFINITY);
});

Deno.test("a tick when nothing is due does nothing", () => {
  const member = new TestMember(0);
  member.publish();
  member.meet(1);
  member.pass(1_000);
  assert.deepEqual(member.give({ kind: "tick" }), []);
});

Deno.test("a peer that floods us is closed, once, and not dialled for a minute", () => {
  const member = new TestMember(0);
  member.meet(1);
  let closes = 0;
  for (let n = 0; n < 2_000; n += 1) {
    for (const effect of member.say(1, { t: "want", nodes: [] })) {
      if (effect.kind === "close" && effect.reason === "flood") closes += 1;
    }
  }
  assert.equal(closes, 1);
  assert.equal(member.machine.judge(id(1), { node: id(9), incarnation: 1 }, 0), "refused");
  member.health(1, "closed");
  const early = member.pass(59_000).filter(({ kind }) => kind === "dial");
  assert.deepEqual(early, []);
  assert.equal(member.pass(2_000).filter(({ kind }) => kind === "dial").length, 1);
});

Deno.test("messages of somebody without a link are passed over", () => {
  const member = new TestMember(0);
  member.meet(1);
  assert.deepEqual(member.paths(7, [1, 2]), []);
  assert.deepEqual(told(member.records(7, recordOf(7))), []);
  assert.deepEqual(member.health(7, "live"), []);
});

Deno.test("10,000 invented members leave room for one who comes to us", () => {
  const member = new TestMember(0);
  member.meet(1);
  const invented = Array.from({ length: 10_000 }, (_, n) => {
    const node = `${id(1).slice(0, 36)}${String(n).padStart(6, "0")}A`;
    return recordOf(2, { node, dialable: "no", session: "session-none" });
  });
  for (let at = 0; at < invented.length; at += 100) {
    const some = invented.slice(at, at + 100);
    member.say(1, {
      t: "paths",
      reset: false,
      up: some.map(({ record }) => record.node),
      down: [],
    });
    member.records(1, ...some);
    member.pass(2_000);
  }
  assert.ok(member.machine.records().length <= 1024);
  member.meet(3);
  assert.ok(member.here.includes(3) && member.here.includes(1));
});

Deno.test("records() gives what is needed to find the mesh again", () => {
  const member = new TestMember(0);
  member.publish();
  member.meet(1);
  member.meet(2);
  member.records(1, recordOf(3), recordOf(4, { isLeaving: true }));
  member.health(2, "silent");
  const kept = member.machine.records().map(({ record }) => record.node);
  assert.deepEqual(kept.sort(), [id(1), id(2), id(3)]);
});
