import assert from "node:assert/strict";
import fc from "fast-check";
import { steadyQuarter, steadyStep } from "~/election/steps.ts";

const FIFTH = { ratio: 1.2, slack: 0.05 };

Deno.test("a step is never above its value when it is taken anew", () => {
  fc.assert(fc.property(fc.double({ min: 1e-3, max: 1e15, noNaN: true }), (value) => {
    const step = steadyStep(value, 0, FIFTH);
    assert.ok(step <= value * (1 + 1e-6) && step > value / 1.21, `${step} for ${value}`);
  }));
});

Deno.test("a value that trembles around a border keeps its step", () => {
  let told = steadyStep(1.2 ** 10 * 1.001, 0, FIFTH);
  const first = told;
  for (const factor of [0.999, 1.001, 0.96, 1.02, 0.999]) {
    told = steadyStep(1.2 ** 10 * factor, told, FIFTH);
    assert.equal(told, first);
  }
  assert.ok(steadyStep(1.2 ** 10 * 0.9, told, FIFTH) < first);
  assert.ok(steadyStep(1.2 ** 11 * 1.1, told, FIFTH) > first);
});

Deno.test("nothing has no step", () => {
  for (const value of [0, -1, Number.NaN]) assert.equal(steadyStep(value, 5, FIFTH), 0);
});

Deno.test("a share is told in quarters, near its value, and keeps still", () => {
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(fc.property(share, share, (value, before) => {
    const told = steadyQuarter(value, Math.round(before * 4) / 4);
    assert.ok([0, 0.25, 0.5, 0.75, 1].includes(told));
    assert.ok(Math.abs(told - value) <= 1 / 6);
    assert.equal(steadyQuarter(value, told), told);
  }));
});
