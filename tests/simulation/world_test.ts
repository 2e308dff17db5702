import assert from "node:assert/strict";
import fc from "fast-check";
import { Chance } from "../../tasks/lib/simulation/chance.ts";
import { EventQueue } from "../../tasks/lib/simulation/event_queue.ts";
import { play } from "../../tasks/lib/simulation/scenarios.ts";
import { faultsOf, tableOf, Tally } from "../../tasks/lib/simulation/table.ts";
import { World } from "../../tasks/lib/simulation/world.ts";

/** A mesh of five that has settled. */
function settledWorld(): World {
  const world = new World({ seed: 7, members: 5, clients: 0, cone: 0, symmetric: 0 });
  const first = world.add("member", undefined);
  for (let more = 1; more < 5; more += 1) world.add("member", first);
  assert.equal(typeof world.agree(5_000), "number");
  return world;
}

Deno.test("EventQueue runs everything at its moment, in order, and what is added meanwhile", () => {
  fc.assert(fc.property(fc.array(fc.nat(1_000), { maxLength: 200 }), (moments) => {
    const queue = new EventQueue();
    const ran: number[] = [];
    for (const atMs of moments) {
      queue.at(atMs, () => {
        assert.equal(queue.nowMs, atMs);
        ran.push(atMs);
        if (atMs < 500) queue.after(250, () => ran.push(queue.nowMs));
      });
    }
    queue.runUntil(2_000);
    const expected = [...moments, ...moments.filter((at) => at < 500).map((at) => at + 250)];
    assert.deepEqual(ran, expected.sort((a, b) => a - b));
    assert.equal(queue.nowMs, 2_000);
  }));
});

Deno.test("Chance gives the same numbers for a seed, spread evenly", () => {
  fc.assert(fc.property(fc.nat(), (seed) => {
    const [one, other] = [new Chance(seed), new Chance(seed)];
    const drawn = Array.from({ length: 500 }, () => one.next());
    assert.deepEqual(drawn, drawn.map(() => other.next()));
    assert.ok(drawn.every((number) => number >= 0 && number < 1));
    const mean = drawn.reduce((sum, number) => sum + number, 0) / drawn.length;
    assert.ok(Math.abs(mean - 0.5) < 0.1, `mean ${mean}`);
  }));
});

Deno.test("a simulation sees that a killed node is still believed in, until it is not", () => {
  const world = settledWorld();
  const [, , victim] = world.nodes;
  if (victim !== undefined) world.kill(victim);
  world.pass(3_500);
  assert.match(world.disagreement() ?? "", /still sees 2/);
  world.pass(1_500);
  assert.equal(world.disagreement(), undefined);
  assert.deepEqual(world.falseDeaths, []);
});

Deno.test("a simulation sees that a change does not arrive", () => {
  const world = settledWorld();
  world.nodes[1]?.process.publish();
  assert.match(world.disagreement() ?? "", /has an old record of 1/);
});

Deno.test("a simulation notices a death that is none", () => {
  const world = settledWorld();
  world.pass(20_000);
  const [, , lonely] = world.nodes;
  // The network fails behind the back of the bookkeeping: for the machines it is as real as any partition.
  if (lonely !== undefined) lonely.identity.host.side = 9;
  world.network.redraw();
  if (lonely !== undefined) world.queue.after(4_400, () => lonely.identity.host.side = 0);
  world.pass(5_000);
  assert.ok(world.falseDeaths.length > 0, "nothing was noticed");
});

Deno.test("a seed plays the same story twice", () => {
  const plan = { seed: 3, members: 8, clients: 1, cone: 0.25, symmetric: 0 };
  const [one, other] = [play(new World(plan), "kill"), play(new World(plan), "kill")];
  assert.deepEqual(one, other);
});

Deno.test("the table names the seed of whatever went wrong", () => {
  const tally = new Tally("kill");
  const traffic = { messagesPerNodeMinute: 3, bytesPerNodeMinute: 4_000 };
  tally.add(1, { ...traffic, falseDeaths: [], steps: [{ what: "kill", took: 4_600 }] });
  const steps = [{ what: "kill", took: "node 1 still sees 2" }];
  const bad = { ...traffic, falseDeaths: ["node 3 said gone"], steps };
  tally.add(2, bad);
  assert.equal(faultsOf(bad).length, 2);
  const lines = tableOf([tally]);
  assert.match(lines[1] ?? "", /^kill +2 +4\.60 +4\.60 +2 +1 +3 +4\.0$/);
  assert.equal(lines[2], "kill, seed 2: kill: node 1 still sees 2");
});
