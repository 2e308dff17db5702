import assert from "node:assert/strict";
import { RetryBudget } from "~/proxy/retry_budget.ts";

function takeAll(budget: RetryBudget, nowMs: number): number {
  let count = 0;
  while (budget.take(nowMs)) count += 1;
  return count;
}

Deno.test("RetryBudget holds enough for a lost machine, and then a share of the requests", () => {
  const budget = new RetryBudget();
  assert.equal(takeAll(budget, 0), 256);
  for (let i = 0; i < 100; i += 1) budget.earn();
  assert.ok(Math.abs(takeAll(budget, 0) - 20) <= 1);
  assert.equal(budget.take(0), false);
});

Deno.test("RetryBudget fills slowly by itself, never beyond its reserve", () => {
  const budget = new RetryBudget();
  takeAll(budget, 0);
  assert.equal(takeAll(budget, 1_000), 2);
  assert.equal(takeAll(budget, 3_600_000), 256);
});

Deno.test("RetryBudget gets back what was answered, never beyond its reserve", () => {
  const budget = new RetryBudget();
  // Machines die one after the other, each with sixty requests that others answer.
  for (let machine = 0; machine < 50; machine += 1) {
    for (let i = 0; i < 60; i += 1) assert.ok(budget.take(0));
    for (let i = 0; i < 60; i += 1) budget.giveBack();
  }
  budget.giveBack();
  assert.equal(takeAll(budget, 0), 256);
});
