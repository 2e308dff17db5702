import assert from "node:assert/strict";
import fc from "fast-check";
import { type GateAnswer, UNPROVEN_MAX, UnprovenGate } from "~/mesh/unproven.ts";

Deno.test("sixteen are listened to, sixteen hear that we are busy, the rest hear nothing", () => {
  const gate = new UnprovenGate();
  const answers = Array.from({ length: 40 }, (_, n) => gate.enter(`192.0.2.${n}`));
  assert.equal(answers.filter((answer) => answer === "in").length, UNPROVEN_MAX);
  assert.equal(answers.filter((answer) => answer === "turn_away").length, 16);
  gate.leave("192.0.2.39", "drop");
  assert.equal(gate.enter("192.0.2.1"), "drop");
  gate.leave("192.0.2.20", "turn_away");
  assert.equal(gate.enter("192.0.2.1"), "turn_away");
  gate.leave("192.0.2.1", "in");
  assert.equal(gate.enter("192.0.2.50"), "in");
});

Deno.test("one machine alone does not keep others out, not even with a whole IPv6 network", () => {
  const machines = [
    (_: number) => "192.0.2.1",
    (n: number) => `2001:db8:0:1::${n.toString(16)}`,
    (n: number) => n % 2 === 0 ? `2001:DB8::1:0:0:0:${n}` : `2001:0db8:0000:0001:1:0:0:${n}`,
  ];
  for (const addressOf of machines) {
    const gate = new UnprovenGate();
    const answers = Array.from({ length: 16 }, (_, n) => gate.enter(addressOf(n)));
    assert.equal(answers.filter((answer) => answer === "in").length, 12);
    assert.equal(gate.enter("198.51.100.1"), "in");
    assert.equal(gate.enter("2001:db8:0:2::1"), "in");
  }
});

Deno.test("whoever comes and goes, the places are all free at the end", () => {
  const visit = fc.record({
    ip: fc.constantFrom("192.0.2.1", "192.0.2.2", "::1", "fe80::2"),
    stays: fc.nat(30),
  });
  fc.assert(fc.property(fc.array(visit), (visits) => {
    const gate = new UnprovenGate();
    const inside: { ip: string; answer: GateAnswer; until: number }[] = [];
    for (const [turn, { ip, stays }] of visits.entries()) {
      for (const each of inside.filter(({ until }) => until === turn)) {
        gate.leave(each.ip, each.answer);
      }
      inside.push({ ip, answer: gate.enter(ip), until: turn + 1 + stays });
      const listened = inside.filter(({ until, answer }) => until > turn && answer === "in");
      assert.ok(listened.length <= UNPROVEN_MAX);
    }
    for (const { ip, answer, until } of inside) {
      if (until >= visits.length) gate.leave(ip, answer);
    }
    for (let n = 0; n < UNPROVEN_MAX; n += 1) assert.equal(gate.enter(`198.51.100.${n}`), "in");
  }));
});
