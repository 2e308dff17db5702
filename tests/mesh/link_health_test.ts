import assert from "node:assert/strict";
import fc from "fast-check";
import { LinkHealthMachine } from "~/mesh/link_health.ts";
import type { LinkHealth } from "~/mesh/link_ports.ts";

/** Looks when the machine wants to be looked at, until `untilMs`; says what it found. */
function run(
  machine: LinkHealthMachine,
  { fromMs, untilMs }: { readonly fromMs: number; readonly untilMs: number },
): { healths: LinkHealth[]; pings: number[]; nextMs: number } {
  const healths: LinkHealth[] = [];
  const pings: number[] = [];
  let atMs = fromMs;
  while (atMs <= untilMs) {
    const look = machine.look(atMs);
    if (healths.at(-1) !== look.health) healths.push(look.health);
    if (look.ping !== undefined) pings.push(look.ping);
    atMs += look.nextMs;
  }
  return { healths, pings, nextMs: atMs };
}

Deno.test("silence makes a peer suspect after 2 s, silent after 4.5 s, and ends it after 15 s", () => {
  const machine = new LinkHealthMachine(1_000);
  assert.deepEqual(run(machine, { fromMs: 1_000, untilMs: 16_000 }).healths, [
    "live",
    "suspect",
    "silent",
    "closed",
  ]);
  const steps: [number, LinkHealth][] = [
    [2_999, "live"],
    [3_000, "suspect"],
    [5_499, "suspect"],
    [5_500, "silent"],
    [15_999, "silent"],
    [16_000, "closed"],
  ];
  for (const [atMs, health] of steps) {
    assert.equal(new LinkHealthMachine(1_000).healthAt(atMs), health, `at ${atMs}`);
  }
});

Deno.test("a silent peer is suspected when 2 s are over, not at the look after that", () => {
  fc.assert(
    fc.property(fc.nat(5_000), fc.double({ min: 0, max: 250, noNaN: true }), (atMs, more) => {
      const machine = new LinkHealthMachine(0);
      const { nextMs } = run(machine, { fromMs: 0, untilMs: atMs });
      const heardMs = Math.max(atMs, nextMs - 250 + more);
      if (heardMs > nextMs) return;
      machine.heard(heardMs);
      let look = machine.look(nextMs);
      let lookedMs = nextMs;
      while (look.health === "live") {
        lookedMs += look.nextMs;
        look = machine.look(lookedMs);
      }
      assert.ok(lookedMs - heardMs >= 2_000 && lookedMs - heardMs < 2_001, `${lookedMs - heardMs}`);
    }),
  );
});

Deno.test("a peer is quiet after a second, and live all the same", () => {
  const machine = new LinkHealthMachine(0);
  const told: [number, boolean, LinkHealth][] = [];
  for (let atMs = 0; atMs <= 1_250;) {
    const { isQuiet, health, nextMs } = machine.look(atMs);
    told.push([atMs, isQuiet, health]);
    atMs += nextMs;
  }
  assert.deepEqual(told.slice(-3), [[750, false, "live"], [1_000, true, "live"], [
    1_250,
    true,
    "live",
  ]]);
  machine.heard(1_300);
  assert.equal(machine.look(1_500).isQuiet, false);
});

Deno.test("whatever is heard makes it live again", () => {
  const machine = new LinkHealthMachine(0);
  run(machine, { fromMs: 0, untilMs: 5_000 });
  assert.equal(machine.healthAt(5_000), "silent");
  machine.heard(5_000);
  assert.equal(machine.healthAt(5_000), "live");
  machine.heard(4_000);
  assert.equal(machine.healthAt(6_999), "live");
});

Deno.test("a ping goes out every half second, each with a number of its own", () => {
  const { pings } = run(new LinkHealthMachine(0), { fromMs: 0, untilMs: 5_000 });
  assert.deepEqual(pings, Array.from({ length: 11 }, (_, n) => n + 1));
});

Deno.test("the time that our own timer was late is not held against the peer", () => {
  const machine = new LinkHealthMachine(0);
  const { nextMs } = run(machine, { fromMs: 0, untilMs: 1_000 });
  // A busy thread: the look comes 10 s late, and everything that the peer sent waits behind it.
  assert.equal(machine.look(nextMs + 10_000).health, "live");
  const later = run(machine, { fromMs: nextMs + 10_250, untilMs: nextMs + 12_500 });
  assert.deepEqual(later.healths, ["live", "suspect"]);
});

Deno.test("round trips are smoothed; answers to pings that were never sent count nothing", () => {
  const machine = new LinkHealthMachine(0);
  assert.equal(machine.rttMs, undefined);
  const first = machine.look(0).ping ?? 0;
  machine.pong(first + 7, 5);
  assert.equal(machine.rttMs, undefined);
  machine.pong(first, 8);
  assert.equal(machine.rttMs, 8);
  machine.pong(first, 800);
  assert.equal(machine.rttMs, 8);
  machine.look(250);
  const second = machine.look(500).ping ?? 0;
  machine.pong(second, 516);
  assert.equal(machine.rttMs, 9);
});

Deno.test("a peer that is heard within every two seconds is never suspected, however late timers run", () => {
  const step = fc.record({
    lateMs: fc.oneof(fc.nat(200), fc.nat(20_000)),
    isHeard: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
    const machine = new LinkHealthMachine(0);
    let nowMs = 0;
    let quietMs = 0;
    let nextMs = 0;
    for (const { lateMs, isHeard } of steps) {
      nowMs += nextMs + lateMs;
      // What the thread was too busy for does not count; what was quiet besides does.
      quietMs += nextMs + (lateMs > 250 ? 0 : lateMs);
      const { health, nextMs: waitMs } = machine.look(nowMs);
      nextMs = waitMs;
      if (quietMs < 2_000) assert.equal(health, "live");
      if (isHeard) {
        machine.heard(nowMs);
        quietMs = 0;
      }
    }
  }));
});
