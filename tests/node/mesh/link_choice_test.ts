import assert from "node:assert/strict";
import fc from "fast-check";
import type { LinkFacts } from "~/node/mesh/link_choice.ts";
import { replaces } from "~/node/mesh/link_choice.ts";

const IDS = { self: "a", peer: "b" };

function facts(changes: Partial<LinkFacts> = {}): LinkFacts {
  return { session: "s", isDialer: true, health: "live", ...changes };
}

Deno.test("a new session takes the place of the old", () => {
  assert.equal(replaces(facts({ session: "t" }), facts(), IDS), true);
  assert.equal(replaces(facts({ session: "t", isDialer: false }), facts(), IDS), true);
});

Deno.test("a silent link gives way, whoever dialled", () => {
  assert.equal(replaces(facts({ isDialer: false }), facts({ health: "silent" }), IDS), true);
});

Deno.test("a suspect link does not give way by itself", () => {
  assert.equal(replaces(facts({ isDialer: false }), facts({ health: "suspect" }), IDS), false);
});

Deno.test("a second dial of the same side takes the place of its first", () => {
  assert.equal(replaces(facts(), facts(), IDS), true);
});

Deno.test("of two dials at once, both ends keep the one of the lower id", () => {
  fc.assert(fc.property(
    fc.string({ minLength: 1 }),
    fc.string({ minLength: 1 }),
    fc.boolean(),
    fc.boolean(),
    (self, peer, selfSeesOwnFirst, peerSeesOwnFirst) => {
      fc.pre(self !== peer);
      // Which dial each end is left with, told as the id that dialled.
      const kept = (me: string, other: string, ownFirst: boolean): string => {
        const own = facts({ isDialer: true });
        const theirs = facts({ isDialer: false });
        const [first, second] = ownFirst ? [own, theirs] : [theirs, own];
        const winner = replaces(second, first, { self: me, peer: other }) ? second : first;
        return winner.isDialer ? me : other;
      };
      const lower = self < peer ? self : peer;
      assert.equal(kept(self, peer, selfSeesOwnFirst), lower);
      assert.equal(kept(peer, self, peerSeesOwnFirst), lower);
    },
  ));
});
