import assert from "node:assert/strict";
import { ElectionMesh } from "../../../../tasks/lib/simulation/election/mesh.ts";
import { Judge } from "../../../../tasks/lib/simulation/election/judge.ts";

/** A judge over hosts that do only what the test says. */
class TestCourt {
  nowMs = 0;
  rate = 10;
  readonly mesh = new ElectionMesh(1, { nodes: 4, models: 2 });
  readonly judge: Judge;

  constructor() {
    const now = (): number => this.nowMs;
    this.judge = new Judge({
      get nowMs() {
        return now();
      },
      hosts: this.mesh.hosts,
      rate: () => this.rate,
      serviceMs: () => 1_000,
    });
  }

  /** The first node that has a model where it fits. */
  holder(id: string) {
    const host = this.mesh.hosts.find(({ record }) => {
      const needs = record.onDisk.find((one) => one.id === id)?.needs ?? [];
      const bytes = needs.reduce((sum, need) => sum + need.bytes, 0);
      return needs.length > 0 && bytes <= (record.devices[0]?.capacityBytes ?? 0);
    });
    assert.ok(host !== undefined);
    return host;
  }

  /** Looks four times a second for so long, somebody asking all the while. */
  pass(ms: number): void {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; this.nowMs += 250) {
      this.judge.asked("model-0", 0);
      this.judge.look();
    }
  }
}

Deno.test("the judge finds a model that is asked for and has no host, once for each time", () => {
  const court = new TestCourt();
  court.pass(10_000);
  assert.deepEqual(court.judge.faults, []);
  court.pass(60_000);
  assert.equal(court.judge.faults.length, 1);
  assert.match(court.judge.faults[0] ?? "", /model-0 had no host/);
});

Deno.test("the judge gives time for what no plan can foresee", () => {
  const court = new TestCourt();
  court.pass(9_000);
  court.judge.failed(court.holder("model-0"), "model-0");
  court.pass(9_000);
  court.judge.divided();
  court.pass(14_000);
  assert.deepEqual(court.judge.faults, []);
  court.pass(2_000);
  assert.equal(court.judge.faults.length, 1);
});

Deno.test("the judge asks for nothing that no member can hold, or that nobody alive asked for", () => {
  const court = new TestCourt();
  for (const host of court.mesh.hosts) host.isAlive = false;
  court.pass(60_000);
  const silent = new TestCourt();
  silent.rate = 0;
  silent.pass(60_000);
  assert.deepEqual(silent.judge.faults, []);
  assert.deepEqual(court.judge.faults, []);
});

/** A mesh in which one node serves a model by the plan. */
function served() {
  const court = new TestCourt();
  court.mesh.startAll();
  court.mesh.ask("model-0", 30, { entries: 2, serviceMs: 1_000 });
  court.mesh.pass(60_000);
  const host = court.mesh.hosts.find(({ hosted }) => hosted?.id === "model-0");
  const other = court.mesh.hosts.find((one) => one !== host);
  assert.ok(host?.hosted?.state === "serving" && other !== undefined);
  return { court, host, other };
}

Deno.test("the judge finds a load beside a host with room, when it happens twice within an hour", () => {
  const { court, other } = served();
  court.judge.load(other, "model-0");
  assert.deepEqual([court.judge.needless, court.judge.faults.length], [1, 0]);
  court.nowMs += 3_599_999;
  court.judge.load(other, "model-0");
  assert.match(court.judge.faults[0] ?? "", /loaded for nothing twice/);
});

Deno.test("the judge finds no fault with a load beside a host that is full", () => {
  const { court, other } = served();
  court.rate = 10_000;
  court.judge.load(other, "model-0");
  assert.deepEqual([court.judge.needless, court.judge.faults.length], [0, 0]);
});

Deno.test("the judge finds a swing, unless demand grew or somebody died in between", () => {
  const swing = (between: (court: TestCourt) => void): number => {
    const { court, host, other } = served();
    court.nowMs += 100_000;
    court.judge.drop(other, "model-0");
    court.nowMs += 60_000;
    between(court);
    court.judge.load(host, "model-0");
    return court.judge.faults.length;
  };
  assert.equal(swing(() => {}), 1);
  assert.equal(swing((court) => court.rate = 20), 0);
  assert.equal(swing((court) => court.judge.upset()), 0);
  assert.equal(swing((court) => court.nowMs += 600_000), 0);
});

Deno.test("the judge finds that the only host of a model in use was taken away", () => {
  const { court, host } = served();
  court.judge.asked("model-0", 0);
  court.judge.drop(host, "model-0");
  assert.match(court.judge.faults[0] ?? "", /taken from its only host/);
});

Deno.test("the judge finds what runs otherwise than planned", () => {
  const { court, host } = served();
  assert.equal(court.judge.disagreement(0), undefined);
  host.drop("model-0");
  assert.match(court.judge.disagreement(0) ?? "", /model-0 is planned on node-0\d and runs on/);
});
