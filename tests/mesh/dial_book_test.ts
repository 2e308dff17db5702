import assert from "node:assert/strict";
import fc from "fast-check";
import { DialBook } from "~/mesh/dial_book.ts";
import { MEMBERSHIP_LIMITS } from "~/mesh/membership_ports.ts";
import { MembershipState } from "~/mesh/membership_state.ts";
import { addressOf, dialled, id } from "#support/membership.ts";

function newBook(): { state: MembershipState; book: DialBook } {
  const rng = { next: () => 0.5 };
  const options = { self: id(0), role: "member", rng, limits: MEMBERSHIP_LIMITS } as const;
  const state = new MembershipState(options);
  return { state, book: new DialBook(state) };
}

function target(n: number) {
  return { peer: id(n), addresses: [addressOf(n)], leafHash: id(n) };
}

Deno.test("DialBook counts dials under way, whatever is ended, forgotten or postponed", () => {
  const step = fc.record({
    what: fc.constantFrom("start", "up", "failed", "refused", "forget", "postpone", "tidy"),
    n: fc.integer({ min: 1, max: 12 }),
    ms: fc.nat(20_000),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const { state, book } = newBook();
    const underWay = new Map<number, number>();
    let nowMs = 0;
    for (const { what, n, ms } of steps) {
      nowMs += ms;
      if (what === "start" && book.free > 0 && !underWay.has(n)) {
        book.start(target(n), nowMs);
        assert.deepEqual(dialled(state.takeEffects()), [n]);
        underWay.set(n, nowMs);
      } else if (what === "up" || what === "failed" || what === "refused") {
        book.end(id(n), what, nowMs);
        underWay.delete(n);
      } else if (what === "forget") book.forget(id(n));
      else if (what === "postpone") book.postpone(id(n), nowMs + ms);
      else if (what === "tidy") {
        book.tidy(() => false, nowMs);
        for (const [m, sinceMs] of underWay) if (nowMs - sinceMs > 30_000) underWay.delete(m);
      }
      assert.equal(book.free, MEMBERSHIP_LIMITS.dials - underWay.size);
      assert.ok(underWay.size <= MEMBERSHIP_LIMITS.dials);
    }
  }));
});

Deno.test("DialBook waits longer after each failure, up to what its owner allows", () => {
  const { book } = newBook();
  const waits: number[] = [];
  for (let times = 0; times < 6; times += 1) {
    book.start(target(1), 0);
    const attempt = book.get(id(1));
    if (attempt !== undefined) attempt.capMs = 2_000;
    book.end(id(1), "failed", 0);
    waits.push(book.get(id(1))?.dueMs ?? 0);
  }
  assert.deepEqual(waits, [375, 750, 1500, 1500, 1500, 1500]);
});

Deno.test("DialBook knows for a moment that both sides were told to dial", () => {
  const { book } = newBook();
  assert.equal(book.isPunching(id(1), 0), false);
  book.markPunch(id(1), 100);
  assert.equal(book.isPunching(id(1), 8_100), true);
  assert.equal(book.isPunching(id(1), 8_101), false);
});
