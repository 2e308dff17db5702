import assert from "node:assert/strict";
import type { MeshEffect } from "~/mesh/membership_ports.ts";
import { id, recordOf, sentTo, TestMember } from "#support/membership.ts";

const empty = { t: "digest", have: [], revoked: [], answer: false } as const;

/** Serials sent to number `n`. */
function revocationsTo(effects: readonly MeshEffect[], n: number): readonly string[] {
  return effects.flatMap((effect) =>
    effect.kind === "send_revocations" && effect.to === id(n) ? effect.serials : []
  );
}

Deno.test("both sides of a new link say what they have, and get what they lack", () => {
  const member = new TestMember(0);
  member.publish();
  member.meet(1);
  const greeting = sentTo(member.link(2), 2, "digest");
  const have = [0, 1].map((n) => ({ node: id(n), incarnation: 1000 }));
  assert.deepEqual(greeting, [{ t: "digest", have, revoked: [], answer: false }]);
  const answer = member.say(2, { ...empty, have: [{ node: id(0), incarnation: 1000 }] });
  assert.deepEqual(sentTo(answer, 2, "records"), [{ t: "records", records: [recordOf(1).jws] }]);
});

Deno.test("a client is not asked what it has, and gets what it lacks", () => {
  const member = new TestMember(0);
  member.publish();
  assert.deepEqual(sentTo(member.link(9, { role: "client" }), 9, "digest"), []);
  const answer = member.say(9, { ...empty, have: [{ node: id(7), incarnation: 5 }], answer: true });
  assert.deepEqual(sentTo(answer, 9, "records").length, 1);
  assert.deepEqual(sentTo(answer, 9, "want"), [], "a client was asked for a record");
});

Deno.test("one neighbour is compared with every half minute or so", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.meet(2);
  const effects = member.pass(10 * 60_000);
  const digests = [1, 2].flatMap((n) => sentTo(effects, n, "digest"));
  assert.ok(digests.length >= 16 && digests.length <= 26, `${digests.length} in ten minutes`);
  assert.ok(digests.every(({ answer }) => answer));
});

Deno.test("a digest that wants an answer is asked for what is newer there", () => {
  const member = new TestMember(0);
  member.meet(1);
  const have = [{ node: id(1), incarnation: 1001 }, { node: id(5), incarnation: 1 }];
  const effects = member.say(1, { ...empty, have, answer: true });
  assert.deepEqual(sentTo(effects, 1, "want"), [{ t: "want", nodes: [id(1), id(5)] }]);
  assert.deepEqual(sentTo(member.say(1, { ...empty, have }), 1, "want"), []);
});

Deno.test("a farewell is part of what one has: who missed it gets it", () => {
  const member = new TestMember(0);
  member.meet(1);
  const farewell = recordOf(2, { incarnation: 2000, isLeaving: true });
  member.records(1, farewell);
  const effects = member.say(1, { ...empty, have: [{ node: id(2), incarnation: 1999 }] });
  assert.ok(sentTo(effects, 1, "records")[0]?.records.includes(farewell.jws));
});

Deno.test("records that are wanted again and again are sent within bounds", () => {
  const member = new TestMember(0);
  member.meet(1);
  for (let n = 10; n < 50; n += 1) member.records(1, recordOf(n));
  const nodes = Array.from({ length: 40 }, (_, n) => id(10 + n));
  let sent = 0;
  for (let times = 0; times < 300; times += 1) {
    const effects = member.say(1, { t: "want", nodes });
    for (const { records } of sentTo(effects, 1, "records")) sent += records.length;
  }
  assert.ok(sent <= 1152, `${sent} records at one moment`);
});

Deno.test("a link that was silent is greeted again when it is heard", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.health(1, "silent");
  const effects = member.health(1, "live");
  assert.equal(sentTo(effects, 1, "digest").length, 1);
  assert.deepEqual(sentTo(effects, 1, "paths").map(({ reset }) => reset), [true]);
});

Deno.test("new revocations go to everybody that does not hear them from where we did", () => {
  const member = new TestMember(0);
  for (const n of [1, 2, 3]) member.meet(n);
  member.link(9, { role: "client" });
  member.paths(2, [1]);
  const effects = member.give({ kind: "revocations", from: id(1), serials: ["a"] });
  assert.deepEqual([1, 2, 3, 9].map((n) => revocationsTo(effects, n)), [[], [], ["a"], ["a"]]);
  const own = member.give({ kind: "revocations", from: undefined, serials: ["a", "b"] });
  assert.deepEqual([1, 2, 3, 9].map((n) => revocationsTo(own, n)), [["b"], ["b"], ["b"], ["b"]]);
});

Deno.test("a digest brings both sides the revocations that they lack", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.give({ kind: "revocations", from: undefined, serials: ["a", "b"] });
  const effects = member.say(1, { ...empty, revoked: ["b", "c"], answer: true });
  assert.deepEqual(revocationsTo(effects, 1), ["a"]);
  const [answer] = sentTo(effects, 1, "digest");
  assert.deepEqual([answer?.revoked, answer?.answer], [["a", "b"], false]);
});
