import assert from "node:assert/strict";
import fc from "fast-check";
import {
  differences,
  median,
  pairUp,
  percentile,
  ratios,
  spread,
} from "../../../tasks/bench/stats.ts";

const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
const values = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 1 });

Deno.test("percentile() takes the nearest rank of unsorted values and leaves them as they are", () => {
  const given = [...hundred];
  assert.equal(percentile(given, 0.5), 50);
  assert.equal(percentile(given, 0.99), 99);
  assert.equal(percentile(given, 0.991), 100);
  assert.equal(percentile(given, 1), 100);
  assert.deepEqual(given, hundred);
});

Deno.test("percentile() of one value is that value", () => {
  for (const share of [0.001, 0.5, 0.99, 1]) assert.equal(percentile([7], share), 7);
});

Deno.test("percentile() sorts by number, not by text", () => {
  assert.equal(percentile([9, 10, 100], 0.34), 10);
});

Deno.test("percentile() refuses no values and shares that mean nothing", () => {
  assert.throws(() => percentile([], 0.5), RangeError);
  for (const share of [0, -0.1, 1.01, NaN]) {
    assert.throws(() => percentile([1], share), /share is/);
  }
});

Deno.test("percentile() leaves at least its share of the values at or below, and never more than needed", () => {
  fc.assert(
    fc.property(values, fc.double({ min: 0.01, max: 1, noNaN: true }), (list, share) => {
      const value = percentile(list, share);
      assert.ok(list.includes(value));
      const below = list.filter((each) => each < value).length;
      const atOrBelow = list.filter((each) => each <= value).length;
      assert.ok(atOrBelow >= share * list.length);
      assert.ok(below < share * list.length);
    }),
  );
});

Deno.test("median() is the middle, or the mean of the two in the middle", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([5]), 5);
  assert.throws(() => median([]), RangeError);
});

Deno.test("spread() is ordered and made of what was measured", () => {
  assert.deepEqual(spread([2, 9, 4]), { min: 2, median: 4, max: 9 });
  fc.assert(
    fc.property(values, (list) => {
      const { min, median: middle, max } = spread(list);
      assert.equal(min, Math.min(...list));
      assert.equal(max, Math.max(...list));
      assert.ok(min <= middle && middle <= max);
    }),
  );
});

Deno.test("differences() and ratios() compare neighbours, not averages", () => {
  // The machine became twice as slow in the middle: the ratio must not notice.
  const pairs = pairUp([100, 50], [90, 45]);
  assert.deepEqual(differences(pairs), [-10, -5]);
  assert.deepEqual(ratios(pairs), [0.9, 0.9]);
});

Deno.test("pairUp() refuses series of different lengths", () => {
  assert.throws(() => pairUp([1, 2], [1]), /Cannot pair 2 values with 1/);
});
