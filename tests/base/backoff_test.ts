import assert from "node:assert/strict";
import fc from "fast-check";
import { backoffMs } from "~/base/backoff.ts";

const LIMITS = { baseMs: 100, capMs: 10_000 };

Deno.test("backoffMs() doubles from half the base up to the cap", () => {
  const lowest = { next: () => 0 };
  const waits = [0, 1, 2, 3, 20].map((attempt) => backoffMs(attempt, lowest, LIMITS));
  assert.deepEqual(waits, [50, 100, 200, 400, 5_000]);
});

Deno.test("backoffMs() stays between half of the ceiling and the ceiling", () => {
  fc.assert(fc.property(
    fc.nat({ max: 10_000 }),
    fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    (attempt, chance) => {
      const waitMs = backoffMs(attempt, { next: () => chance }, LIMITS);
      const ceilingMs = Math.min(LIMITS.capMs, LIMITS.baseMs * 2 ** Math.min(attempt, 30));
      assert.ok(waitMs >= Math.floor(ceilingMs / 2) && waitMs <= ceilingMs);
    },
  ));
});
