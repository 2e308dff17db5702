import assert from "node:assert/strict";
import { parseOptions, SECTIONS, USAGE } from "../../../tasks/bench/options.ts";

Deno.test("parseOptions() measures everything for people by default", () => {
  const options = parseOptions([]);
  assert.deepEqual(options.sections, SECTIONS);
  assert.equal(options.isJson, false);
  assert.equal(options.isCheck, false);
  assert.equal(options.wantsHelp, false);
  assert.equal(options.sizes.decodePairs, 20);
});

Deno.test("parseOptions() takes --quick for less of everything", () => {
  const full = parseOptions([]).sizes;
  const quick = parseOptions(["--quick"]).sizes;
  for (const name of Object.keys(full) as (keyof typeof full)[]) {
    assert.ok(quick[name] < full[name], name);
  }
});

Deno.test("parseOptions() keeps the order of the parts, whatever the order of --only", () => {
  assert.deepEqual(parseOptions(["--only", "throughput, latency"]).sections, [
    "latency",
    "throughput",
  ]);
});

Deno.test("parseOptions() changes the rounds and nothing else", () => {
  const { sizes } = parseOptions(["--quick", "--rounds", "7"]);
  assert.deepEqual(sizes, { ...parseOptions(["--quick"]).sizes, rounds: 7 });
});

Deno.test("parseOptions() reads the switches", () => {
  const options = parseOptions(["--json", "--check", "-h"]);
  assert.deepEqual([options.isJson, options.isCheck, options.wantsHelp], [true, true, true]);
});

Deno.test("parseOptions() says what it does not understand", () => {
  const cases: [string[], RegExp][] = [
    [["--only", "latency,coffee"], /Cannot measure "coffee": wanted some of start, /],
    [["--only", ","], /Cannot measure ","/],
    [["--rounds", "0"], /Cannot run 0 rounds: wanted a whole number from 1 to 50/],
    [["--rounds", "51"], /Cannot run 51 rounds/],
    [["--rounds", "two"], /Cannot run two rounds/],
    [["--fast"], /Cannot parse the flags: .*--fast/],
    [["latency"], /Cannot parse the flags/],
  ];
  for (const [args, message] of cases) {
    assert.throws(() => parseOptions(args), (error: Error) => {
      return error instanceof SyntaxError && message.test(error.message);
    });
  }
});

Deno.test("USAGE names each flag", () => {
  const text = USAGE.join("\n");
  for (const flag of ["--quick", "--only", "--rounds", "--json", "--check", ...SECTIONS]) {
    assert.ok(text.includes(flag), flag);
  }
});
