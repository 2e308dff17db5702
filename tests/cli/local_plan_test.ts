import assert from "node:assert/strict";
import fc from "fast-check";
import { GIB } from "~/base/units.ts";
import { estimate, planWords } from "~/cli/local_plan.ts";

const PLENTY = { devices: [], ramFreeBytes: 64 * GIB };
const ASKED = {
  name: "m",
  sizeBytes: 4 * GIB,
  memory: PLENTY,
  requested: {},
  isWhole: true,
};

Deno.test("estimate() judges by the size of the file, with room for caches and the program", () => {
  const plan = estimate(ASKED);
  assert.ok(plan.ok && plan.isEstimate);
  assert.ok(plan.neededBytes > 4.5 * GIB && plan.neededBytes < 5 * GIB);
  assert.match(planWords(plan), /"m" is not here yet; .* 4\.0 GiB, .* it should fit\./);
});

Deno.test("estimate() of what is too large says what is needed and what is there", () => {
  const plan = estimate({ ...ASKED, memory: { devices: [], ramFreeBytes: 4 * GIB } });
  assert.equal(plan.ok, false);
  assert.match(
    planWords(plan),
    /needs about 4\.9 GiB, and 3\.\d GiB are free: it does not seem to fit/,
  );
});

Deno.test("estimate() counts accelerators, says when it cannot, and keeps to what the user allows", () => {
  const memory = { devices: [{ name: "CUDA0", freeBytes: 8 * GIB }], ramFreeBytes: GIB };
  assert.equal(estimate({ ...ASKED, memory }).ok, true);
  assert.equal(estimate({ ...ASKED, memory, requested: { maxBytes: 2 * GIB } }).ok, false);
  assert.doesNotMatch(planWords(estimate(ASKED)), /accelerators/);
  assert.match(planWords(estimate({ ...ASKED, isWhole: false })), /accelerators not counted/);
});

Deno.test("estimate() says of a larger file never that it fits where a smaller one does not", () => {
  const bytes = fc.nat({ max: 100 * GIB });
  fc.assert(fc.property(bytes, bytes, bytes, (one, other, ramFreeBytes) => {
    const memory = { devices: [], ramFreeBytes };
    const [small, large] = [Math.min(one, other), Math.max(one, other)].map((sizeBytes) =>
      estimate({ ...ASKED, sizeBytes, memory })
    );
    assert.ok(small !== undefined && large !== undefined);
    assert.ok(small.ok || !large.ok);
    assert.ok(small.neededBytes >= small.sizeBytes);
  }));
});
