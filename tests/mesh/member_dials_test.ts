import assert from "node:assert/strict";
import type { MeshEffect } from "~/mesh/membership_ports.ts";
import { addressOf, dialled, id, recordOf, sentTo, TestMember } from "#support/membership.ts";

/** Fails every dial among `effects`, and those that follow for `ms`; returns when each began. */
function failing(member: TestMember, effects: readonly MeshEffect[], ms: number): number[] {
  const begunMs: number[] = [];
  let now = effects;
  const untilMs = member.nowMs + ms;
  while (member.nowMs < untilMs) {
    for (const effect of now) {
      if (effect.kind !== "dial") continue;
      begunMs.push(member.nowMs);
      now = member.give({ kind: "dialed", peer: effect.peer, outcome: "failed" });
    }
    const left = Math.min(untilMs, member.machine.wakeAtMs) - member.nowMs;
    now = member.pass(Math.max(1, left));
  }
  return begunMs;
}

Deno.test("the lower id dials at once, the higher one a moment later", () => {
  const lower = new TestMember(0);
  lower.meet(5);
  assert.deepEqual(dialled([...lower.records(5, recordOf(1))]), [1]);
  const higher = new TestMember(9);
  higher.meet(5);
  assert.deepEqual(dialled(higher.records(5, recordOf(1))), []);
  assert.deepEqual(dialled(higher.pass(499)), []);
  assert.deepEqual(dialled(higher.pass(501)), [1]);
});

Deno.test("a peer that is linked meanwhile is not dialled", () => {
  const member = new TestMember(9);
  member.meet(5);
  member.records(5, recordOf(1));
  member.link(1);
  assert.deepEqual(dialled(member.pass(60_000)), []);
});

Deno.test("an absent member is tried every two seconds at the least, and every half minute after ten", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.pass(100);
  const tries = failing(member, member.health(1, "closed"), 15 * 60_000);
  const gaps = tries.slice(1).map((at, index) => at - (tries[index] ?? 0));
  const early = gaps.filter((_, index) => (tries[index] ?? 0) < 9 * 60_000);
  const late = gaps.filter((_, index) => (tries[index] ?? 0) > 11 * 60_000);
  assert.ok(Math.max(...early) <= 2_001 && Math.min(...early.slice(4)) >= 1_000);
  assert.ok(late.length > 0 && Math.max(...late) <= 30_001 && Math.min(...late) >= 15_000);
});

Deno.test("addresses take turns in being the first", () => {
  const member = new TestMember(0);
  const addresses = [addressOf(1), addressOf(2), addressOf(3)];
  const firsts: string[] = [];
  let effects: readonly MeshEffect[] = member.records(undefined, recordOf(1, { addresses }));
  for (let times = 0; times < 4; times += 1) {
    for (const effect of effects) {
      if (effect.kind !== "dial") continue;
      assert.equal(effect.addresses.length, 3);
      firsts.push(effect.addresses[0]?.ip ?? "");
      member.give({ kind: "dialed", peer: effect.peer, outcome: "failed" });
    }
    effects = member.pass(2_000);
  }
  assert.deepEqual(firsts.slice(0, 4), ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.1"]);
});

Deno.test("no more than eight dials at once, four of them for the absent", () => {
  const member = new TestMember(0);
  const absent = Array.from({ length: 20 }, (_, n) => recordOf(n + 1));
  assert.equal(dialled(member.records(undefined, ...absent)).length, 4);
  member.meet(30);
  member.say(30, { t: "paths", reset: true, up: [40, 41, 42, 43, 44, 45].map(id), down: [] });
  const present = [40, 41, 42, 43, 44, 45].map((n) => recordOf(n));
  assert.deepEqual(dialled(member.records(30, ...present)), [40, 41, 42, 43]);
  assert.deepEqual(dialled(member.pass(1_000)), []);
  assert.deepEqual(dialled(member.give({ kind: "dialed", peer: id(40), outcome: "up" })).length, 1);
});

Deno.test("a dial that is never answered gives its place back", () => {
  const member = new TestMember(0);
  member.records(undefined, recordOf(1));
  assert.deepEqual(dialled(member.pass(29_000)), []);
  assert.ok(dialled(member.pass(60_000)).includes(1));
});

Deno.test("who refuses us is left alone for a while", () => {
  const member = new TestMember(0);
  member.records(undefined, recordOf(1));
  member.give({ kind: "dialed", peer: id(1), outcome: "refused" });
  assert.deepEqual(dialled(member.pass(9_000)), []);
  assert.deepEqual(dialled(member.pass(12_000)), [1]);
});

Deno.test("a node that was started anew is dialled at its new address, although its old link still counts", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.meet(2);
  member.paths(2, [1]);
  const anew = recordOf(1, {
    incarnation: 2000,
    session: "session-new",
    addresses: [addressOf(1, 4001)],
  });
  const [dial] = member.records(2, anew).filter(({ kind }) => kind === "dial");
  assert.deepEqual(dial, {
    kind: "dial",
    peer: id(1),
    addresses: [addressOf(1, 4001)],
    leafHash: id(1),
  });
});

Deno.test("a link with a new process is not dialled over while its record is on its way", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.link(1, { session: "session-new" });
  assert.deepEqual(dialled(member.pass(5_000)), []);
});

Deno.test("nodes of an invite are dialled until somebody is linked", () => {
  const member = new TestMember(0);
  const seed = { nodeId: id(1), addresses: [addressOf(1)], leafHash: id(1) };
  const effects = member.give({ kind: "seeds", seeds: [seed, { ...seed, nodeId: id(0) }] });
  assert.deepEqual(dialled(effects), [1]);
  assert.ok(failing(member, effects, 5_000).length > 2);
  member.meet(2);
  member.pass(2_000);
  assert.deepEqual(dialled(member.pass(60_000)), []);
});

Deno.test("a node to begin with that was revoked is dialled no more; one whose certificate expired is", () => {
  for (const reason of ["revoked", "expired"] as const) {
    const member = new TestMember(0);
    const seed = { nodeId: id(1), addresses: [addressOf(1)], leafHash: id(1) };
    const effects = member.give({ kind: "seeds", seeds: [seed] });
    assert.deepEqual(dialled(effects), [1]);
    member.give({ kind: "revoked", node: id(1), reason });
    const after = failing(member, effects, 60_000);
    // The first is that of before.
    assert.equal(after.length > 1, reason === "expired");
  }
});

Deno.test("regression: who is alone dials those that said goodbye: they may be back and unable to dial", () => {
  const member = new TestMember(0);
  member.meet(1);
  member.meet(2);
  member.records(1, recordOf(1, { incarnation: 1001, isLeaving: true }));
  const before = member.health(1, "closed");
  assert.deepEqual(dialled([...before, ...member.pass(60_000)]), [], "2 would tell");
  const effects = member.health(2, "closed");
  assert.ok(dialled([...effects, ...member.pass(2_100)]).includes(1));
});

Deno.test("who leaves dials nobody any more", () => {
  const member = new TestMember(0);
  member.publish();
  member.meet(1);
  member.publish({ incarnation: 1001, isLeaving: true });
  member.health(1, "closed");
  assert.deepEqual(dialled(member.pass(60_000)), []);
});

Deno.test("two that cannot be dialled are told to dial each other, through a neighbour", () => {
  const member = new TestMember(0);
  member.publish({ dialable: "no" });
  member.give({ kind: "observed", addresses: [addressOf(77)] });
  member.meet(5);
  member.records(5, recordOf(1, { dialable: "no" }));
  assert.deepEqual(dialled(member.paths(5, [1])), [1]);
  assert.deepEqual(sentTo(member.pass(299), 5, "dial_me"), [], "it may be on the same network");
  assert.deepEqual(sentTo(member.pass(1), 5, "dial_me"), [{
    t: "dial_me",
    target: id(1),
    from: id(0),
    leafHash: id(0),
    addresses: [addressOf(77)],
  }]);
  member.meet(1, { dialable: "no", incarnation: 1001 });
  assert.equal(member.machine.member(id(1))?.isPunched, true);
});

Deno.test("who cannot be dialled is waited for by those who can", () => {
  const member = new TestMember(0);
  member.publish({ dialable: "unknown" });
  member.meet(5);
  member.records(5, recordOf(1, { dialable: "no" }));
  member.paths(5, [1]);
  assert.deepEqual(dialled(member.pass(1_400)), []);
  assert.deepEqual(dialled(member.pass(200)), [1]);
});

Deno.test("a dial that leads nowhere is helped along by a neighbour, once", () => {
  const member = new TestMember(0);
  member.publish();
  member.meet(5);
  assert.deepEqual(dialled(member.records(5, recordOf(1))), [1]);
  member.paths(5, [1]);
  assert.deepEqual(sentTo(member.pass(1_499), 5, "dial_me"), []);
  assert.equal(sentTo(member.pass(1), 5, "dial_me").length, 1);
  assert.deepEqual(sentTo(member.pass(3_000), 5, "dial_me"), []);
  member.give({ kind: "dialed", peer: id(1), outcome: "failed" });
  const again = [...member.pass(500), ...member.pass(300)];
  assert.deepEqual(dialled(again), [1]);
  assert.equal(sentTo(again, 5, "dial_me").length, 1);
});

Deno.test("regression: two on one local network that nobody else reaches found each other no more", () => {
  const member = new TestMember(0);
  member.publish({ dialable: "no" });
  member.meet(1, { dialable: "no" });
  assert.deepEqual(dialled([...member.health(1, "closed"), ...member.pass(3_000)]), [1]);
  const stranger = new TestMember(0);
  stranger.records(undefined, recordOf(1, { dialable: "no" }));
  assert.deepEqual(dialled(stranger.pass(60_000)), []);
});

const ask = {
  t: "dial_me",
  target: id(0),
  from: id(1),
  leafHash: id(1),
  addresses: [addressOf(66)],
} as const;

Deno.test("we dial who asks for it through a neighbour that is linked with it, and once a second at most", () => {
  const member = new TestMember(0);
  member.meet(5);
  member.meet(6);
  member.records(5, recordOf(1, { dialable: "no" }));
  member.paths(5, [1]);
  assert.deepEqual(dialled(member.say(6, ask)), [], "6 is not linked with it");
  assert.deepEqual(dialled(member.say(5, { ...ask, from: id(5) })), [], "5 is linked with us");
  assert.deepEqual(dialled(member.say(5, { ...ask, from: id(9) })), [], "nobody knows 9");
  const effects = member.say(5, ask);
  const [dial] = effects.filter(({ kind }) => kind === "dial");
  assert.deepEqual(dial, {
    kind: "dial",
    peer: id(1),
    addresses: [addressOf(66)],
    leafHash: id(1),
  });
  member.give({ kind: "dialed", peer: id(1), outcome: "failed" });
  assert.deepEqual(dialled(member.say(5, ask)), []);
});

Deno.test("a request to be dialled is passed on once, for who sends it, to members, within a rate", () => {
  const member = new TestMember(0);
  for (const n of [1, 2]) member.meet(n);
  member.link(9, { role: "client" });
  const toTwo = { ...ask, target: id(2) };
  assert.deepEqual(sentTo(member.say(1, toTwo), 2, "dial_me"), [toTwo]);
  assert.deepEqual(sentTo(member.say(1, { ...toTwo, from: id(3) }), 2, "dial_me"), []);
  assert.deepEqual(sentTo(member.say(1, { ...ask, target: id(9) }), 9, "dial_me"), []);
  assert.deepEqual(sentTo(member.say(9, { ...toTwo, from: id(9) }), 2, "dial_me"), []);
  let passedOn = 0;
  for (let n = 0; n < 50; n += 1) passedOn += sentTo(member.say(1, toTwo), 2, "dial_me").length;
  assert.equal(passedOn, 3);
});
