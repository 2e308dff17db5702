import assert from "node:assert/strict";
import { Election, type ElectionEffect, type ElectionInput } from "~/election/election.ts";
import type { ElectionMember, MeshView } from "~/election/ports.ts";
import { hosted, HOUR_MS, member, nodeOf, offer, ram, viewOf, wish } from "#support/election.ts";

const SETTLED_MS = 3_000;

/** A machine with its clock; chance is always in the middle. */
class TestElection {
  readonly machine: Election;
  nowMs = 0;

  constructor(n: number, chance = 0.5) {
    this.machine = new Election({ self: nodeOf(n), rng: { next: () => chance } });
  }

  say(input: ElectionInput): readonly string[] {
    return this.machine.handle(input, this.nowMs).map(wordsOf);
  }

  see(...members: readonly ElectionMember[]): readonly string[] {
    return this.say({ kind: "view", view: viewOf(...members) });
  }

  /** Ticks whenever the machine asks for it. */
  pass(ms: number): readonly string[] {
    const endMs = this.nowMs + ms;
    const said: string[] = [];
    for (let ticks = 0; ticks < 1_000; ticks += 1) {
      const wakeMs = this.machine.wakeAtMs(this.nowMs);
      if (wakeMs === undefined || wakeMs > endMs) break;
      assert.ok(wakeMs > this.nowMs, "asks to be woken at once, again and again");
      this.nowMs = wakeMs;
      said.push(...this.say({ kind: "tick" }));
    }
    this.nowMs = endMs;
    return said;
  }
}

function wordsOf(effect: ElectionEffect): string {
  switch (effect.kind) {
    case "load":
    case "drop":
      return `${effect.kind} ${effect.id}`;
    case "avoid":
      return `avoid ${effect.models.map(({ id }) => id).join()}`;
    case "stand_by":
      return "stand by";
  }
}

const disk = (n: number, changes: Partial<ElectionMember> = {}) =>
  member(n, { onDisk: [offer("a"), offer("b")], ...changes });

Deno.test("a standby promotes itself for a model that nobody serves, after a moment, once", () => {
  const one = new TestElection(1);
  const view = [member(0, wish("a")), disk(1)];
  assert.deepEqual(one.see(...view), []);
  assert.deepEqual(one.pass(SETTLED_MS - 1), []);
  assert.deepEqual(one.pass(2_000), ["load a"]);
  assert.deepEqual(one.see(...view), []);
  assert.deepEqual(one.see(view[0] ?? member(0), disk(1, { hosted: [hosted("a")] })), []);
  assert.deepEqual(one.pass(HOUR_MS), []);
});

Deno.test("of many standbys that see the same exactly one promotes itself", () => {
  const members = [member(0, wish("a")), ...[1, 2, 3, 4, 5, 6].map((n) => disk(n))];
  const loads = members.flatMap((_, n) => {
    const one = new TestElection(n, n / 10);
    one.see(...members);
    return one.pass(10_000).includes("load a") ? [n] : [];
  });
  assert.equal(loads.length, 1, `${loads}`);
});

Deno.test("demand that passes before the wait is over loads nothing", () => {
  const one = new TestElection(1);
  one.see(member(0), disk(1));
  one.pass(SETTLED_MS);
  one.see(member(0, wish("a")), disk(1));
  one.nowMs += 100;
  one.see(member(0), disk(1));
  assert.deepEqual(one.pass(60_000), []);
});

Deno.test("another that begins first is left to it", () => {
  const one = new TestElection(1);
  one.see(member(0, wish("a")), disk(1));
  one.nowMs += 100;
  one.see(member(0, wish("a")), disk(1), disk(2, { hosted: [hosted("a", { state: "loading" })] }));
  assert.deepEqual(one.pass(60_000), []);
});

Deno.test("what was asked for here is loaded at once, even where the coarse numbers say no", () => {
  const asks = { asksHere: ["a"] };
  assert.deepEqual(new TestElection(1).see(disk(1, asks)), ["load a"]);
  assert.deepEqual(
    new TestElection(1).see(member(1, { ...asks, onDisk: [offer("a", 5)], devices: ram(4) })),
    ["load a"],
  );
});

Deno.test("an order of which nothing is seen is given again, not sooner", () => {
  const one = new TestElection(1);
  const view = disk(1, { asksHere: ["a"] });
  assert.deepEqual(one.see(view), ["load a"]);
  one.nowMs = 14_999;
  assert.deepEqual(one.see(view), []);
  one.nowMs = 15_000;
  assert.deepEqual(one.see(view), ["load a"]);
});

Deno.test("a load that failed is not tried again for a while that grows, and others hear of it", () => {
  const one = new TestElection(1);
  const view = disk(1, { asksHere: ["a"] });
  one.see(view);
  const waits: number[] = [];
  for (let times = 0; times < 8; times += 1) {
    assert.deepEqual(one.say({ kind: "failed", id: "a" }).slice(0, 1), ["avoid a"]);
    const failedMs = one.nowMs;
    let said: readonly string[] = [];
    while (!said.includes("load a")) {
      one.nowMs = one.machine.wakeAtMs(one.nowMs) ?? Number.NaN;
      said = one.say({ kind: "tick" });
    }
    waits.push(one.nowMs - failedMs);
  }
  assert.deepEqual(waits, waits.toSorted((a, b) => a - b));
  assert.ok((waits[0] ?? 0) >= 30_000 && (waits.at(-1) ?? 0) <= HOUR_MS, `${waits}`);
  assert.ok((waits[3] ?? 0) > 4 * (waits[0] ?? 0));
});

Deno.test("a model dropped by hand is not taken on again, until somebody asks by hand", () => {
  const one = new TestElection(1);
  one.see(member(0, wish("a")), disk(1));
  assert.deepEqual(one.say({ kind: "dropped_by_hand", id: "a" })[0], "avoid a");
  assert.ok(!one.pass(50 * 60_000).includes("load a"));
  assert.deepEqual(one.say({ kind: "asked_by_hand", id: "a" })[0], "avoid ");
  assert.ok(one.pass(5_000).includes("load a"));
});

Deno.test("one of two hosts drains after minutes, the other stays", () => {
  const hosts = [1, 2].map((n) => disk(n, { hosted: [hosted("a", { sinceUnixS: n })] }));
  const said = [1, 2].map((n) => {
    const one = new TestElection(n);
    one.see(member(0, wish("a")), ...hosts);
    assert.deepEqual(one.pass(110_000), []);
    // Nothing comes of the order in this test, so it is given again and again.
    return new Set(one.pass(120_000));
  });
  assert.deepEqual(said.map((set) => [...set]), [[], ["drop a"]]);
});

Deno.test("a host is not dropped before another one answers", () => {
  const one = new TestElection(1);
  const old = disk(1, { hosted: [hosted("a")] });
  const taker = (state: "loading" | "serving") =>
    disk(2, { asksHere: ["a"], hosted: [hosted("a", { state })] });
  one.see(old, taker("loading"));
  assert.deepEqual(one.pass(10 * 60_000 - 1_000), []);
  one.see(old, taker("serving"));
  assert.ok(one.pass(200_000).includes("drop a"));
});

Deno.test("a member makes room first, then loads", () => {
  const one = new TestElection(1);
  const asker = member(0, wish("b"));
  const before = disk(1, { hosted: [hosted("a", { unusedMs: HOUR_MS })] });
  one.see(asker, before);
  assert.deepEqual(one.pass(5_000), ["drop a"]);
  const draining = disk(1, { hosted: [hosted("a", { unusedMs: HOUR_MS, state: "draining" })] });
  assert.deepEqual(one.see(asker, draining), []);
  assert.deepEqual(one.pass(5_000), []);
  assert.deepEqual(one.see(asker, disk(1)), ["load b"]);
});

Deno.test("a replica waits longer than a first host", () => {
  const one = new TestElection(1);
  const full = disk(2, { hosted: [hosted("a", { busy: 1 })] });
  one.see(member(0), disk(1), full);
  one.pass(60_000);
  one.see(member(0, wish("a", 200)), disk(1), full);
  assert.deepEqual(one.pass(5_000), []);
  assert.deepEqual(one.pass(10_000), ["load a"]);
});

Deno.test("a node that leaves takes nothing on", () => {
  const one = new TestElection(1);
  one.say({ kind: "leaving" });
  assert.deepEqual(one.see(disk(1, { asksHere: ["a"] })), []);
  assert.deepEqual(one.pass(HOUR_MS), []);
});

Deno.test("a node without the right to serve, or that is not in its own view, does nothing", () => {
  for (const self of [disk(1, { mayServe: false, asksHere: ["a"] }), disk(2)]) {
    const one = new TestElection(1);
    assert.deepEqual(one.see(self, member(0, wish("a"))), []);
    assert.deepEqual(one.pass(HOUR_MS).filter((said) => said.startsWith("load")), []);
  }
});

Deno.test("a member that promises and never begins is passed over after a while", () => {
  const liar = disk(2, { speed: 2 });
  const one = new TestElection(1);
  const view: MeshView = viewOf(member(0, wish("a")), disk(1), liar);
  one.say({ kind: "view", view });
  assert.deepEqual(one.pass(40_000), []);
  assert.deepEqual(one.pass(20_000), ["load a"]);
});

Deno.test("a load elsewhere that never ends is passed over", () => {
  const one = new TestElection(1);
  one.see(
    member(0, wish("a")),
    disk(1),
    disk(2, { hosted: [hosted("a", { state: "loading" })] }),
  );
  assert.deepEqual(one.pass(9 * 60_000), []);
  assert.deepEqual(one.pass(2 * 60_000).slice(0, 1), ["load a"]);
});

Deno.test("a node says once that it stands by", () => {
  const one = new TestElection(1);
  assert.deepEqual(one.see(member(0), disk(1)), ["stand by"]);
  assert.deepEqual(one.see(member(0), disk(1)), []);
  one.see(member(0), disk(1, { hosted: [hosted("a")] }));
  assert.deepEqual(one.see(member(0), disk(1)), ["stand by"]);
});

Deno.test("the reasons of loads and drops are words for people", () => {
  const machine = new Election({ self: nodeOf(1), rng: { next: () => 0 } });
  const [load] = machine.handle(
    { kind: "view", view: viewOf(disk(1, { asksHere: ["a"] })) },
    0,
  );
  assert.deepEqual(load, { kind: "load", id: "a", reason: "asked for there" });
});
