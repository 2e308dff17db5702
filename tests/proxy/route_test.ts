import assert from "node:assert/strict";
import fc from "fast-check";
import { nowhere } from "#support/memory_upstream.ts";
import { seeded } from "#support/seeded.ts";
import type { Beginning } from "~/proxy/conversation.ts";
import type { Target } from "~/proxy/ports.ts";
import { type Candidate, type Ranking, Router } from "~/proxy/route.ts";

/** Draws the numbers it is given, again and again. */
function draws(...numbers: number[]): { next: () => number } {
  let at = 0;
  return { next: () => numbers[at++ % numbers.length] ?? 0 };
}

function far(nodeId: string, more: Partial<Target> = {}, busyCount = 0): Candidate {
  const target = { nodeId, upstream: nowhere, slots: 4, isRemote: true, rttMs: 1, ...more };
  return { target, busyCount };
}

function own(busyCount = 0): Candidate {
  return { target: { nodeId: "own", upstream: nowhere, slots: 4 }, busyCount };
}

const REQUEST = { model: "m", bodyBytes: 400 };
const TALK: Beginning = { conversation: "talk", shared: "rules", sharedBytes: 8_000 };

function namesOf({ order }: Ranking): string[] {
  return order.map(({ target }) => target.nodeId);
}

function timings(prefillMs: number, decodeMs: number) {
  return {
    promptTokens: 100,
    promptMs: 100 * prefillMs,
    cachedTokens: 0,
    decodedTokens: 100,
    decodeMs: 100 * decodeMs,
  };
}

function measure(router: Router, nodeId: string, prefillMs: number, decodeMs: number): void {
  const ended = { nodeId, model: "m", serviceMs: 1_000, timings: timings(prefillMs, decodeMs) };
  router.handle({ kind: "ended", ...ended }, 0);
}

Deno.test("Router prefers this node to others that are no faster", () => {
  const router = new Router(draws(0));
  assert.deepEqual(namesOf(router.rank(REQUEST, [far("a"), own()], 0)), ["own", "a"]);
});

Deno.test("Router prefers the target that was measured faster, also to this node", () => {
  const router = new Router(draws(0));
  measure(router, "own", 10, 100);
  measure(router, "fast", 0.1, 10);
  const candidates = [own(), far("fast")];
  assert.deepEqual(namesOf(router.rank(REQUEST, candidates, 0)), ["fast", "own"]);
});

Deno.test("Router tries a target of which it knows nothing", () => {
  const router = new Router(draws(0.9, 0));
  measure(router, "known", 1, 10);
  const first = namesOf(router.rank(REQUEST, [far("known"), far("new")], 0))[0];
  assert.equal(first, "new");
});

Deno.test("Router takes the less busy of two near equals", () => {
  for (const [a, b, expected] of [[3, 0, "b"], [0, 3, "a"]] as const) {
    const router = new Router(draws(0, 0.5));
    const ranking = router.rank(REQUEST, [far("a", {}, a), far("b", {}, b)], 0);
    assert.equal(namesOf(ranking)[0], expected);
  }
});

Deno.test("Router spreads equal requests over equal targets", () => {
  const router = new Router(seeded(1));
  const counts = new Map<string, number>();
  for (let i = 0; i < 1_000; i += 1) {
    const first = namesOf(router.rank(REQUEST, [far("a"), far("b"), far("c")], 0))[0] ?? "";
    counts.set(first, (counts.get(first) ?? 0) + 1);
  }
  for (const count of counts.values()) assert.ok(count > 250, String([...counts]));
});

Deno.test("Router puts who waits behind who is free, and the shorter queue before the longer", () => {
  const router = new Router(draws(0));
  measure(router, "slow", 1, 10);
  const candidates = [far("long", {}, 12), far("short", {}, 5), far("free", { rttMs: 80 }, 3)];
  assert.deepEqual(namesOf(router.rank(REQUEST, candidates, 0)), ["free", "short", "long"]);
});

Deno.test("Router keeps a conversation where it was answered, and lets it spill when that is busy", () => {
  const router = new Router(draws(0.99));
  const talk = { ...REQUEST, beginning: TALK };
  router.handle({ kind: "answered", nodeId: "b", model: "m", beginning: TALK }, 0);
  const calm = router.rank(talk, [own(), far("a"), far("b", {}, 3)], 0);
  assert.deepEqual([namesOf(calm)[0], calm.isSpilled], ["b", false]);
  const busy = router.rank(talk, [own(), far("a"), far("b", {}, 4)], 0);
  assert.deepEqual([namesOf(busy)[0], busy.isSpilled], ["own", true]);
  const gone = router.rank(talk, [own(), far("a")], 0);
  assert.equal(gone.isSpilled, false);
  const other = { ...REQUEST, model: "n", beginning: TALK };
  assert.equal(namesOf(router.rank(other, [own(), far("b")], 0))[0], "own");
});

Deno.test("Router sends a new conversation to whoever has its long instructions in the cache", () => {
  const router = new Router(draws(0));
  router.handle({ kind: "answered", nodeId: "b", model: "m", beginning: TALK }, 0);
  const next = { ...TALK, conversation: "other talk" };
  const ranking = router.rank({ model: "m", bodyBytes: 9_000, beginning: next }, [
    own(),
    far("a"),
    far("b"),
  ], 0);
  assert.equal(namesOf(ranking)[0], "b");
});

Deno.test("Router avoids a target that failed, and has one request probe it later", () => {
  const router = new Router(draws(0));
  const candidates = [far("a"), far("b")];
  router.handle({ kind: "failed", nodeId: "a" }, 0);
  assert.deepEqual(namesOf(router.rank(REQUEST, candidates, 500)), ["b", "a"]);
  assert.equal(router.isAvoided("a", 500), true);
  assert.deepEqual(namesOf(router.rank(REQUEST, candidates, 1_000)), ["a", "b"]);
  router.handle({ kind: "sent", nodeId: "a" }, 1_000);
  assert.deepEqual(namesOf(router.rank(REQUEST, candidates, 1_001)), ["b", "a"]);
  router.handle({ kind: "answered", nodeId: "a", model: "m" }, 1_500);
  assert.equal(router.isAvoided("a", 1_500), false);
});

Deno.test("Router never leaves out or invents a target, and suspects come last", () => {
  const candidate = fc.record({
    slots: fc.integer({ min: 1, max: 8 }),
    busyCount: fc.nat(20),
    isRemote: fc.boolean(),
    isSuspect: fc.boolean(),
    rttMs: fc.integer({ min: 0, max: 500 }),
  });
  const chance = fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1 });
  fc.assert(fc.property(fc.array(candidate, { maxLength: 12 }), chance, (all, numbers) => {
    const router = new Router(draws(...numbers));
    const candidates = all.map(({ busyCount, ...more }, i) => far(`n${i}`, more, busyCount));
    router.handle({ kind: "failed", nodeId: "n1" }, 0);
    router.handle({ kind: "answered", nodeId: "n2", model: "m", beginning: TALK }, 0);
    const { order } = router.rank({ ...REQUEST, beginning: TALK }, candidates, 1);
    assert.deepEqual(
      order.map(({ target }) => target.nodeId).toSorted(),
      candidates.map(({ target }) => target.nodeId).toSorted(),
    );
    const suspects = order.map(({ target }) => target.isSuspect);
    assert.ok(!suspects.slice(suspects.indexOf(true)).includes(false) || !suspects.includes(true));
    const first = order[0];
    if (first === undefined) return;
    assert.ok(order.every(({ tier }) => first.tier <= tier));
  }));
});
