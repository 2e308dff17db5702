import assert from "node:assert/strict";
import { UNPROVEN_MAX, UnprovenGate } from "~/mesh/unproven.ts";

Deno.test("sixteen are listened to, sixteen hear that we are busy, the rest hear nothing", () => {
  const gate = new UnprovenGate();
  const answers = Array.from({ length: 40 }, () => gate.enter());
  assert.equal(answers.filter((answer) => answer === "in").length, UNPROVEN_MAX);
  assert.equal(answers.filter((answer) => answer === "turn_away").length, 16);
  gate.leave("drop");
  assert.equal(gate.enter(), "drop");
  gate.leave("turn_away");
  assert.equal(gate.enter(), "turn_away");
  gate.leave("in");
  assert.equal(gate.enter(), "in");
});
