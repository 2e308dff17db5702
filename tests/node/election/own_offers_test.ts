import assert from "node:assert/strict";
import { GIB } from "~/base/units.ts";
import type { DiskModel } from "~/node/disk_models.ts";
import { OwnOffers } from "~/node/election/own_offers.ts";
import { Pools } from "~/node/election/pools.ts";
import { tinyFacts } from "#support/election.ts";

function poolsOf(gib: number): Pools {
  const pools = new Pools();
  pools.measure({ devices: [], ramFreeBytes: gib * GIB }, {
    held: [],
    isMoving: false,
    maxBytes: undefined,
    nowMs: 0,
  });
  return pools;
}

const READ: DiskModel = {
  id: "tiny",
  sizeBytes: 1_000_000,
  header: { fingerprint: "f", facts: tinyFacts() },
};
const UNREAD: DiskModel = { id: "large", sizeBytes: 4 * GIB };

Deno.test("offers: needs are counted from the header, or estimated from the size", () => {
  const [tiny, large] = new OwnOffers({}).of([READ, UNREAD], poolsOf(8));
  assert.deepEqual([tiny?.id, tiny?.fingerprint, tiny?.sizeBytes], ["tiny", "f", 1_000_000]);
  assert.ok((tiny?.needs[0]?.bytes ?? 0) > 0);
  assert.equal(tiny?.needs[0]?.device, "ram");
  assert.ok((large?.needs[0]?.bytes ?? 0) > 4 * GIB);
});

Deno.test("offers: a model needs the same whether or not there is room for it", () => {
  const offers = new OwnOffers({ parallel: 4 });
  const needs = [8, 0.3].map((gib) => offers.of([READ], poolsOf(gib))[0]?.needs);
  assert.deepEqual(needs[0], needs[1]);
  const fewer = new OwnOffers({ parallel: 1 }).of([READ], poolsOf(8));
  assert.ok((fewer[0]?.needs[0]?.bytes ?? 0) < (needs[0]?.[0]?.bytes ?? 0), "one slot needs less");
});

Deno.test("offers: nothing before the memory is known, nor what cannot give what was asked", () => {
  assert.deepEqual(new OwnOffers({}).of([READ], new Pools()), []);
  assert.deepEqual(new OwnOffers({ ctxSize: 1_000_000 }).of([READ], poolsOf(8)), []);
});

Deno.test("offers: the same object while disk and memory stay", () => {
  const [offers, pools, disk] = [new OwnOffers({}), poolsOf(8), [READ]];
  assert.equal(offers.of(disk, pools), offers.of(disk, pools));
});
