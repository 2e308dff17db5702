import assert from "node:assert/strict";
import fc from "fast-check";
import { inLanes } from "../../../tasks/lib/lanes.ts";

Deno.test("inLanes() begins all in their order, never more than so many at a time", async () => {
  const lengths = fc.array(fc.nat(3), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(lengths, fc.integer({ min: 1, max: 4 }), async (turns, count) => {
      const begun: number[] = [];
      let [running, most] = [0, 0];
      await inLanes(turns.entries(), count, async ([index, length]) => {
        begun.push(index);
        running += 1;
        most = Math.max(most, running);
        for (let turn = 0; turn < length; turn += 1) await Promise.resolve();
        running -= 1;
      });
      assert.deepEqual(begun, [...turns.keys()]);
      assert.equal(running, 0);
      assert.ok(most <= count);
      assert.equal(most > 0, turns.length > 0);
    }),
  );
});

Deno.test("inLanes() keeps every lane at work while there is any", async () => {
  const slow = Promise.withResolvers<void>();
  const begun: number[] = [];
  const working = inLanes([0, 1, 2, 3], 2, async (item) => {
    begun.push(item);
    if (item === 0) await slow.promise;
    if (item === 3) slow.resolve();
  });
  await working;
  assert.deepEqual(begun, [0, 1, 2, 3]);
});

Deno.test("inLanes() begins nothing more after a failure, and tells it at the end of what runs", async () => {
  const slow = Promise.withResolvers<void>();
  const ended: number[] = [];
  const working = inLanes([0, 1, 2], 2, async (item) => {
    if (item === 0) await slow.promise;
    if (item === 1) throw new Error("one failed");
    ended.push(item);
  });
  slow.resolve();
  await assert.rejects(working, /one failed/);
  assert.deepEqual(ended, [0]);
});
