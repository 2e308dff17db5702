import assert from "node:assert/strict";
import fc from "fast-check";
import { Lane } from "~/base/lane.ts";

Deno.test("Lane.run() never lets two steps overlap and keeps their order", async () => {
  const steps = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 20 });
  await fc.assert(fc.asyncProperty(steps, async (turns) => {
    const lane = new Lane();
    const seen: number[] = [];
    let inside = 0;
    await Promise.all(turns.map((count, index) =>
      lane.run(async () => {
        inside += 1;
        assert.equal(inside, 1, "another step is inside");
        for (let turn = 0; turn < count; turn++) await Promise.resolve();
        seen.push(index);
        inside -= 1;
      })
    ));
    assert.deepEqual(seen, turns.map((_, index) => index));
  }));
});

Deno.test("Lane.run() goes on after a step that failed", async () => {
  const lane = new Lane();
  const failed = lane.run(() => Promise.reject(new Error("first")));
  const second = lane.run(() => "second");
  await assert.rejects(failed, /first/);
  assert.equal(await second, "second");
});

Deno.test("Lane.run() hands a synchronous throw to the caller only", async () => {
  const lane = new Lane();
  await assert.rejects(
    lane.run(() => {
      throw new RangeError("thrown at once");
    }),
    RangeError,
  );
  assert.equal(await lane.run(() => 3), 3);
});
