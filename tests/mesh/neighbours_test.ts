import assert from "node:assert/strict";
import fc from "fast-check";
import { isLive, isUsable, Neighbours } from "~/mesh/neighbours.ts";
import { id } from "#support/membership.ts";

function news(n: number, changes: { role?: "member" | "client"; session?: string } = {}) {
  const base = { peer: id(n), role: "member", session: "one", isPunched: false } as const;
  return { ...base, upMs: 0, incarnation: 1, ...changes };
}

Deno.test("Neighbours leads by whoever is live and says so", () => {
  const neighbours = new Neighbours(10);
  const first = neighbours.add(news(1));
  neighbours.add(news(2));
  neighbours.setPaths(id(1), { reset: true, up: [id(5), id(6)], down: [] });
  neighbours.setPaths(id(2), { reset: true, up: [id(5)], down: [] });
  assert.deepEqual(neighbours.via(id(5)), [id(1), id(2)]);
  first.health = "suspect";
  assert.deepEqual([isLive(first), isUsable(first)], [false, true]);
  assert.deepEqual(neighbours.via(id(5)), [id(2)]);
  assert.deepEqual(neighbours.via(id(6)), []);
  first.health = "live";
  assert.deepEqual(
    [...neighbours.setPaths(id(1), { reset: false, up: [], down: [id(6), id(7)] })],
    [id(6)],
  );
  assert.deepEqual(neighbours.via(id(6)), []);
  assert.deepEqual(neighbours.remove(id(1)), [id(5)]);
  assert.deepEqual(neighbours.via(id(5)), [id(2)]);
});

Deno.test("Neighbours takes no paths from clients, and none to a neighbour by its own word", () => {
  const neighbours = new Neighbours(10);
  neighbours.add(news(1, { role: "client" }));
  neighbours.add(news(2));
  assert.equal(neighbours.setPaths(id(1), { reset: true, up: [id(5)], down: [] }).size, 0);
  neighbours.setPaths(id(2), { reset: true, up: [id(2)], down: [] });
  assert.deepEqual([neighbours.via(id(5)), neighbours.via(id(2))], [[], []]);
});

Deno.test("Neighbours keeps the paths of a process over a new link, not those of a process before", () => {
  const neighbours = new Neighbours(10);
  neighbours.add(news(1));
  neighbours.setPaths(id(1), { reset: true, up: [id(5)], down: [] });
  neighbours.add(news(1));
  assert.deepEqual(neighbours.via(id(5)), [id(1)]);
  neighbours.add(news(1, { session: "two" }));
  assert.deepEqual(neighbours.via(id(5)), []);
});

Deno.test("regression: of two dials at once the second link hid that both had dialled", () => {
  const neighbours = new Neighbours(10);
  neighbours.add({ ...news(1), isPunched: true });
  const second = neighbours.add(news(1));
  assert.equal(second.isPunched, true);
  second.health = "silent";
  assert.equal(neighbours.add(news(1)).isPunched, false, "the first one says nothing any more");
  neighbours.add({ ...news(1), isPunched: true });
  assert.equal(neighbours.add(news(1, { session: "two" })).isPunched, false);
});

Deno.test("Neighbours gives whoever dials again no fresh allowance, until it was away for a while", () => {
  const neighbours = new Neighbours(10);
  assert.ok(neighbours.add(news(1)).recordsIn.take(1_000, 0));
  neighbours.remove(id(1));
  assert.ok(!neighbours.add(news(1)).recordsIn.take(1_000, 0));
  neighbours.tidy();
  assert.ok(!neighbours.add(news(1)).recordsIn.take(1_000, 0));
  neighbours.remove(id(1));
  neighbours.tidy();
  assert.ok(neighbours.add(news(1)).recordsIn.take(1_000, 0));
});

Deno.test("Neighbours keeps paths as a set of bounded size would", () => {
  const node = fc.nat(12).map(id);
  const change = fc.record({
    peer: fc.nat(3),
    reset: fc.boolean(),
    up: fc.array(node, { maxLength: 8 }),
    down: fc.array(node, { maxLength: 8 }),
  });
  fc.assert(fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
    const neighbours = new Neighbours(5);
    for (const n of [0, 1, 2, 3]) neighbours.add(news(n));
    for (const { peer, ...paths } of changes) {
      const before = new Set(neighbours.get(id(peer))?.paths);
      const told = neighbours.setPaths(id(peer), paths);
      const after = neighbours.get(id(peer))?.paths ?? new Set();
      assert.ok(after.size <= 5 && !after.has(id(peer)));
      for (const node of new Set([...before, ...after])) {
        if (before.has(node) !== after.has(node)) {
          assert.ok(told.has(node), "a change was not told");
        }
      }
      for (const node of after) assert.ok(neighbours.via(node).includes(id(peer)));
      for (const node of before) {
        if (!after.has(node)) assert.ok(!neighbours.via(node).includes(id(peer)));
      }
    }
  }));
});
