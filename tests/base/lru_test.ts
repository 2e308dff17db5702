import assert from "node:assert/strict";
import fc from "fast-check";
import { LruMap } from "~/base/lru.ts";

Deno.test("LruMap forgets what was not used for longest", () => {
  const map = new LruMap<string, number>(2);
  map.set("a", 1);
  map.set("b", 2);
  assert.equal(map.get("a"), 1);
  map.set("c", 3);
  assert.deepEqual([map.get("a"), map.get("b"), map.get("c")], [1, undefined, 3]);
  map.set("a", 4);
  map.set("d", 5);
  assert.deepEqual([map.get("a"), map.get("c"), map.get("d")], [4, undefined, 5]);
});

Deno.test("LruMap never holds more than it may, and the latest always", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 5 }), fc.array(fc.nat(9)), (sizeMax, keys) => {
    const map = new LruMap<number, string>(sizeMax);
    for (const key of keys) {
      map.set(key, `v${key}`);
      assert.ok(map.size <= sizeMax);
      assert.equal(map.get(key), `v${key}`);
    }
  }));
});
