import assert from "node:assert/strict";
import { readModels } from "~/election/model_facts.ts";
import type { ElectionMember } from "~/election/ports.ts";
import { Seats, TIERS } from "~/election/seats.ts";
import { hosted, HOUR_MS, member, nodeOf, offer, ram, wish } from "#support/election.ts";

function seatsOf(...members: readonly ElectionMember[]) {
  const models = readModels(members);
  const seats = new Seats(members, models);
  for (const { node, hosted } of members) {
    for (const { id, needs, fingerprint, state } of hosted) {
      seats.of(node)?.taken.push({
        id,
        needs,
        fingerprint,
        cause: { kind: "keeps", state },
        isServing: state === "serving",
        isPinned: false,
      });
    }
  }
  const model = models.get("b");
  assert.ok(model !== undefined);
  return { seats, model };
}

function obstacle(changes: Partial<ElectionMember>): unknown {
  const { seats, model } = seatsOf(member(0, { wants: ["b"] }), member(1, changes));
  const seat = seats.of(nodeOf(1));
  assert.ok(seat !== undefined);
  const found = seats.optionOf(model, seat);
  return "kind" in found ? found.kind : [found.source, found.instead?.id];
}

Deno.test("a seat says how it could take a model, or what stands against it", () => {
  const onDisk = [offer("b", 2)];
  assert.deepEqual(obstacle({ onDisk }), ["disk", undefined]);
  assert.deepEqual(obstacle({ fetchable: onDisk }), ["fetch", undefined]);
  assert.equal(obstacle({}), "no_file");
  assert.equal(obstacle({ onDisk, devices: ram(1) }), "too_small");
  assert.equal(obstacle({ onDisk, hosted: [hosted("a")] }), "occupied");
  assert.equal(obstacle({ onDisk, hosted: [hosted("a", { state: "loading" })] }), "occupied");
  assert.deepEqual(obstacle({ onDisk, hosted: [hosted("a", { unusedMs: HOUR_MS })] }), [
    "disk",
    "a",
  ]);
  assert.equal(obstacle({ onDisk, avoids: [{ id: "b", cause: "dropped" }] }), "avoids");
  assert.equal(obstacle({ onDisk, hosted: [hosted("b")] }), "holds_it");
});

Deno.test("a model that can be loaded beside another needs nobody to go", () => {
  const two = { modelsMax: 2, onDisk: [offer("b", 2)], hosted: [hosted("a")] };
  assert.deepEqual(obstacle(two), ["disk", undefined]);
  assert.equal(obstacle({ ...two, devices: ram(2) }), "occupied");
});

Deno.test("options of a tier come ready first, then fast, then tight, and the same for every order", () => {
  const onDisk = [offer("b")];
  const members = [
    member(0, wish("b")),
    member(1, { onDisk, devices: ram(8) }),
    member(2, { onDisk, devices: ram(2) }),
    member(3, { onDisk, devices: ram(8), speed: 2 }),
    member(4, { onDisk, speed: 2, hosted: [hosted("c", { state: "draining" })] }),
  ];
  const { model } = seatsOf(...members);
  const seats = new Seats(members, readModels(members));
  const [free] = TIERS;
  assert.ok(free !== undefined);
  const order = seats.options(model, free).map(({ seat }) => seat.member.node);
  assert.deepEqual(order, [3, 2, 1, 4].map(nodeOf));
});

Deno.test("taking a model with another in its place takes the other out", () => {
  const { seats, model } = seatsOf(
    member(0, wish("b")),
    member(1, { onDisk: [offer("b")], hosted: [hosted("a", { unusedMs: HOUR_MS })] }),
  );
  const [option] = seats.options(model, { source: "disk", why: "unused" });
  assert.ok(option !== undefined);
  seats.take(option, { kind: "asked_here" });
  assert.deepEqual(seats.of(nodeOf(1))?.taken.map(({ id }) => id), ["b"]);
  assert.equal(seats.holding("a").length, 0);
});
