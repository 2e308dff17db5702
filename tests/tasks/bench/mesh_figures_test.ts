import assert from "node:assert/strict";
import type { Figure } from "../../../tasks/bench/figures.ts";
import { passes } from "../../../tasks/bench/figures.ts";
import type { LatencySamples, ThroughputResult } from "../../../tasks/bench/jobs.ts";
import {
  bareLinkFigures,
  joinFigures,
  latencyFigures,
  loadFigures,
  slowFigures,
  transferFigures,
} from "../../../tasks/bench/mesh_figures.ts";
import type { ProcessMemory } from "../../../tasks/bench/proc.ts";

const MIB = 1024 * 1024;

function named(figures: readonly Figure[], name: string): Figure {
  const found = figures.find((figure) => figure.name === name);
  assert.ok(found, `no "${name}" among ${figures.map((figure) => figure.name).join(", ")}`);
  return found;
}

function samples(totalMs: number): LatencySamples {
  return { firstMs: [totalMs / 2], totalMs: [totalMs, totalMs, totalMs], lagMs: [] };
}

function memory(mib: number): ProcessMemory {
  return { residentBytes: mib * MIB, peakBytes: 2 * mib * MIB };
}

function run(requests: number, errors = 0): ThroughputResult {
  return { requests, errors, tookMs: 2000, p50Ms: 1, p99Ms: 2, longestGapMs: 30, cpuMs: [100, 50] };
}

Deno.test("latency figures judge what host and link add together, and show the link's part", () => {
  const view = {
    name: "small",
    take: ({ totalMs }: LatencySamples) => totalMs,
    p50Bar: { kind: "at-most", value: 1 },
    p99Bar: { kind: "at-most", value: 0.5 },
  } as const;
  const figures = latencyFigures(view, [
    [samples(1), samples(1.5), samples(1.75)],
    [samples(10), samples(10.25), samples(11)],
  ]);
  const added = named(figures, "small p50, added");
  assert.deepEqual([added.min, added.max, added.samples], [0.75, 1, 6]);
  assert.equal(passes(added), true);
  assert.equal(passes(named(figures, "small p99, added")), false);
  const link = named(figures, "small p50, added by the link alone");
  assert.deepEqual([link.min, link.max], [0.25, 0.75]);
  assert.equal(passes(link), undefined);
  assert.equal(named(figures, "small p50, through the host").max, 10.25);
});

Deno.test("load figures tell the nodes apart and count every error", () => {
  const figures = loadFigures({
    clients: 64,
    result: run(1000, 1),
    before: [memory(100), memory(200)],
    after: [memory(110), memory(220)],
  });
  assert.equal(named(figures, "64 clients: through the link").median, 500);
  assert.equal(named(figures, "64 clients: CPU per request, near node").median, 100);
  assert.equal(named(figures, "64 clients: CPU per request, host").median, 50);
  assert.equal(named(figures, "64 clients: resident after, near node").median, 110);
  assert.equal(named(figures, "64 clients: resident before, host").median, 200);
  assert.equal(named(figures, "64 clients: longest time without an answer").median, 30);
  assert.equal(passes(named(figures, "64 clients: errors")), false);
});

Deno.test("load figures of a run without an answer are no division by zero", () => {
  const both = [memory(1), memory(1)] as const;
  const figures = loadFigures({ clients: 64, result: run(0, 9), before: both, after: both });
  assert.equal(named(figures, "64 clients: CPU per request, host").median, 50_000);
});

Deno.test("transfer figures are rates, and only a judged way has a bar", () => {
  const roundsMs = [[100, 200, 1000], [100, 400, 500]];
  const judged = transferFigures("answer", { roundsMs, sizeBytes: 100 * MIB, isJudged: true });
  assert.equal(named(judged, "answer, direct").median, 1000);
  assert.equal(passes(named(judged, "answer, through the host")), undefined);
  const link = named(judged, "answer, through the link");
  assert.deepEqual([link.min, link.max, passes(link)], [100, 200, true]);
  const other = transferFigures("question", { roundsMs, sizeBytes: 1, isJudged: false });
  assert.ok(other.every((figure) => passes(figure) === undefined));
});

Deno.test("figures of a bare link judge both directions", () => {
  const times = { smallMs: [1, 2, 3], upMs: [100], downMs: [1000] };
  const figures = bareLinkFigures(times, 100 * MIB);
  assert.equal(named(figures, "bare link, small exchange p50").median, 2);
  assert.equal(passes(named(figures, "bare link, up")), true);
  assert.equal(passes(named(figures, "bare link, down")), false);
});

Deno.test("figures of slow readers compare rates of one round", () => {
  const figures = slowFigures(
    [{ alone: run(1000), beside: run(950) }, { alone: run(100), beside: run(80, 1) }, {
      alone: run(10),
      beside: run(9),
    }],
    [[memory(100), memory(200)], [memory(130), memory(190)]],
  );
  const kept = named(figures, "slow readers: others kept");
  assert.deepEqual([kept.min, kept.median, kept.max], [0.8, 0.9, 0.95]);
  assert.equal(passes(kept), true);
  assert.equal(passes(named(figures, "slow readers: errors of others")), false);
  assert.equal(named(figures, "slow readers: resident meanwhile, near node").max, 130);
});

Deno.test("figures of joins are in seconds, and the slowest is judged", () => {
  const figures = joinFigures([{ openMs: 500, listedMs: 100 }, { openMs: 700, listedMs: 2100 }]);
  assert.deepEqual(named(figures, "join, door open").max, 0.7);
  assert.equal(passes(named(figures, "join, model listed after that")), false);
});
