import assert from "node:assert/strict";
import type { Figure } from "../../../tasks/bench/figures.ts";
import { passes } from "../../../tasks/bench/figures.ts";
import type { DecodeSample, LatencySamples, ThroughputResult } from "../../../tasks/bench/jobs.ts";
import { figuresOf as decodeFigures } from "../../../tasks/bench/decode_section.ts";
import { figuresOf as latencyFigures } from "../../../tasks/bench/latency_section.ts";
import { figuresOf as throughputFigures } from "../../../tasks/bench/throughput_section.ts";

function named(figures: readonly Figure[], name: string): Figure {
  const found = figures.find((figure) => figure.name === name);
  assert.ok(found, `no "${name}" among ${figures.map((figure) => figure.name).join(", ")}`);
  return found;
}

function samples(...totalMs: number[]): LatencySamples {
  return { firstMs: totalMs.map((ms) => ms / 2), totalMs, lagMs: [] };
}

Deno.test("latency figures subtract round by round", () => {
  const view = {
    name: "small",
    shape: "small",
    take: ({ totalMs }: LatencySamples) => totalMs,
    p50Bar: { kind: "at-most", value: 0.5 },
  } as const;
  const figures = latencyFigures(view, {
    rounds: [
      [samples(1, 1, 1), samples(1.2, 1.2, 9)],
      [samples(10, 10, 10), samples(10.4, 10.4, 10.4)],
    ],
  });
  const added = named(figures, "small p50, added");
  assert.ok(Math.abs(added.min - 0.2) < 1e-9 && Math.abs(added.max - 0.4) < 1e-9);
  assert.equal(passes(added), true);
  assert.equal(added.samples, 6);
  assert.equal(named(figures, "small p99, added").max, 8);
  assert.equal(passes(named(figures, "small p99, added")), undefined);
  assert.equal(named(figures, "small p50, direct").max, 10);
});

function run(requests: number, errors = 0): ThroughputResult {
  return { requests, errors, tookMs: 2000, p50Ms: 1, p99Ms: 2, longestGapMs: 3, cpuMs: [100] };
}

Deno.test("throughput figures compare rates of one round and count every error", () => {
  const mix = {
    name: "small",
    shape: "small",
    clients: 64,
    ratioBar: { kind: "at-least", value: 0.12 },
    pageBar: { kind: "at-most", value: 10 },
  } as const;
  const pages = { modelsMs: [1, 2, 3], statusMs: [4, 40], floorMs: [7] };
  const figures = throughputFigures(mix, [
    { direct: run(1000), through: run(200), ...pages },
    { direct: run(500), through: run(100, 1), ...pages },
  ]);
  assert.equal(named(figures, "small: direct").max, 500);
  const share = named(figures, "small: share of direct");
  assert.deepEqual([share.min, share.max], [0.2, 0.2]);
  assert.equal(passes(share), true);
  assert.equal(named(figures, "small: CPU per request").max, 1000);
  assert.equal(passes(named(figures, "small: errors")), false);
  assert.equal(named(figures, "small: /v1/models meanwhile, p50").median, 2);
  assert.equal(passes(named(figures, "small: /v1/models meanwhile, p99")), true);
  assert.equal(passes(named(figures, "small: /api/status meanwhile, p99")), false);
  assert.equal(passes(named(figures, "small: page of the engine, direct, p99")), undefined);
});

Deno.test("throughput figures share out the cost of a stream over its chunks", () => {
  const mix = { name: "streams", shape: "stream", clients: 64 } as const;
  const figures = throughputFigures(mix, [
    { direct: run(1000), through: run(10), modelsMs: [1], statusMs: [1], floorMs: [1] },
  ]);
  assert.equal(named(figures, "streams: CPU per request").median, 10_000);
  assert.equal(named(figures, "streams: CPU per chunk").median, 10_000 / 64);
});

Deno.test("throughput figures of a run in which nothing was answered are no division by zero", () => {
  const mix = { name: "small", shape: "small", clients: 64 } as const;
  const figures = throughputFigures(mix, [
    { direct: run(10), through: run(0, 5), modelsMs: [1], statusMs: [1], floorMs: [1] },
  ]);
  assert.equal(named(figures, "small: share of direct").median, 0);
  assert.ok(Number.isFinite(named(figures, "small: CPU per request").median));
});

function stream(decodeMs: number, cpuMs: number): DecodeSample {
  return { tokens: 64, firstMs: 50, totalMs: decodeMs + 50, decodeMs, cpuMs };
}

Deno.test("decode figures count tokens after the first, and share out the CPU time over all", () => {
  const figures = decodeFigures({
    direct: [stream(630, 0.1), stream(1260, 0.1)],
    through: [stream(630, 3.2), stream(1260, 6.4)],
    bare: [stream(630, 1.6)],
  });
  assert.equal(named(figures, "direct").max, 100);
  assert.equal(named(figures, "share of direct").median, 1);
  const cost = named(figures, "CPU per token");
  assert.deepEqual([cost.min, cost.median, cost.max], [50, 75, 100]);
  assert.equal(passes(cost), true);
  assert.equal(named(figures, "CPU per token, bare forwarding").median, 25);
});

Deno.test("decode figures miss the bar when every answer is slower by a twentieth", () => {
  const figures = decodeFigures({
    direct: [stream(600, 0), stream(900, 0)],
    through: [stream(630, 1), stream(945, 1)],
    bare: [stream(600, 0)],
  });
  assert.equal(passes(named(figures, "share of direct")), false);
  assert.ok(named(figures, "share of direct, whole answers").median < 1);
});
