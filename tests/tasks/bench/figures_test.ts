import assert from "node:assert/strict";
import {
  type Bar,
  type Figure,
  figureOf,
  formatNumber,
  jsonLineOf,
  missed,
  passes,
  tableOf,
} from "../../../tasks/bench/figures.ts";

function figure(values: readonly number[], bar?: Bar): Figure {
  return figureOf(
    { section: "latency", name: "added p50", unit: "ms", ...(bar === undefined ? {} : { bar }) },
    { values, samples: 300 },
  );
}

Deno.test("figureOf() counts rounds and keeps the samples", () => {
  const { min, median, max, rounds, samples } = figure([0.3, 0.1, 0.2]);
  assert.deepEqual({ min, median, max, rounds, samples }, {
    min: 0.1,
    median: 0.2,
    max: 0.3,
    rounds: 3,
    samples: 300,
  });
});

Deno.test("passes() judges the median, either way, and a value on the bar holds it", () => {
  const values = [1, 2, 9];
  assert.equal(passes(figure(values)), undefined);
  assert.equal(passes(figure(values, { kind: "at-most", value: 2 })), true);
  assert.equal(passes(figure(values, { kind: "at-most", value: 1.9 })), false);
  assert.equal(passes(figure(values, { kind: "at-least", value: 2 })), true);
  assert.equal(passes(figure(values, { kind: "at-least", value: 2.1 })), false);
});

Deno.test("passes() judges the worst round where the bar says so", () => {
  assert.equal(passes(figure([0, 0, 1], { kind: "at-most", value: 0, holds: "max" })), false);
  assert.equal(passes(figure([0.9, 1, 1], { kind: "at-least", value: 1, holds: "min" })), false);
});

Deno.test("missed() names figures below their bar and no others", () => {
  const figures = [
    figure([1]),
    figure([1], { kind: "at-most", value: 0.5 }),
    { ...figure([1], { kind: "at-most", value: 5 }), name: "added p99" },
  ];
  assert.deepEqual(missed(figures), ["latency: added p50"]);
});

Deno.test("jsonLineOf() says everything, and pass only where there is a bar", () => {
  const line = JSON.parse(jsonLineOf(figure([1, 3], { kind: "at-most", value: 2 })));
  assert.deepEqual(line, {
    kind: "figure",
    section: "latency",
    name: "added p50",
    unit: "ms",
    bar: { kind: "at-most", value: 2 },
    min: 1,
    median: 2,
    max: 3,
    rounds: 2,
    samples: 300,
    pass: true,
  });
  assert.ok(!("pass" in JSON.parse(jsonLineOf(figure([1])))));
  assert.ok(!jsonLineOf(figure([1])).includes("\n"));
});

Deno.test("tableOf() gives each section one heading and marks what fails", () => {
  const lines = tableOf([
    figure([0.25], { kind: "at-most", value: 0.5 }),
    { ...figure([3], { kind: "at-most", value: 2, holds: "max" }), name: "added p99" },
    { ...figure([7]), section: "memory", name: "idle" },
  ]);
  assert.deepEqual(lines.map((line) => line.split(/\s{2,}/).filter((cell) => cell !== "")), [
    ["min", "median", "max", "bar", "rounds", "samples"],
    ["latency"],
    ["added p50", "0.250", "0.250", "0.250", "ms", "<= 0.5", "pass", "1", "300"],
    ["added p99", "3", "3", "3", "ms", "max <= 2", "FAIL", "1", "300"],
    ["memory"],
    ["idle", "7", "7", "7", "ms", "1", "300"],
  ]);
  const columns = lines.filter((line) => line.includes("300")).map((line) => line.length);
  assert.equal(new Set(columns).size, 1);
});

Deno.test("formatNumber() keeps about three digits that mean something", () => {
  const cases: [number, string][] = [
    [0, "0"],
    [64, "64"],
    [0.1234, "0.123"],
    [-0.5, "-0.500"],
    [1.234, "1.23"],
    [12.34, "12.3"],
    [1234.5, "1235"],
  ];
  for (const [value, text] of cases) assert.equal(formatNumber(value), text);
});
