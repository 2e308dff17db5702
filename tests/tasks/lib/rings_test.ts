import assert from "node:assert/strict";
import { chooseRings, filesOf, filesThatRan, ringArgs, RINGS } from "../../../tasks/lib/rings.ts";

const FILES = [
  "lib/base/clock.ts",
  "tests/base/lane_test.ts",
  "tests/contracts/link.ts",
  "tests/contracts/link_test.ts",
  "tests/support/virtual_time.ts",
  "tests/system/proxy/door_test.ts",
  "tests/systematic_test.ts",
];

Deno.test("chooseRings() takes all rings in order, or those named", () => {
  assert.deepEqual(chooseRings([]), RINGS);
  assert.deepEqual(chooseRings(["system", "fast"]).map(({ name }) => name), ["fast", "system"]);
  assert.throws(
    () => chooseRings(["slow"]),
    /Cannot run tests "slow": wanted none or some of fast/,
  );
});

Deno.test("filesOf() gives every test file to exactly one ring", () => {
  const byRing = RINGS.map((ring) => filesOf(ring, FILES));
  assert.deepEqual(byRing, [
    ["tests/base/lane_test.ts", "tests/systematic_test.ts"],
    ["tests/contracts/link_test.ts"],
    ["tests/system/proxy/door_test.ts"],
  ]);
});

Deno.test("RINGS lock the fast ring to reading files", () => {
  const [fast, ...others] = RINGS;
  assert.ok(fast !== undefined);
  assert.deepEqual(fast.flags.filter((flag) => flag.startsWith("--allow")), ["--allow-read"]);
  assert.ok(others.every((ring) => fast.without.includes(ring.folder)));
  assert.ok(RINGS.every(({ floor }) => floor > 0));
});

Deno.test("ringArgs() never waits for a person and leaves other rings out", () => {
  for (const ring of RINGS) {
    const args = ringArgs(ring, "/scratch/report.xml");
    assert.equal(args[0], "test");
    assert.ok(args.includes("--no-prompt"));
    assert.ok(args.includes("--junit-path=/scratch/report.xml"));
    assert.equal(args.at(-1), ring.folder);
    assert.equal(args.some((arg) => arg.startsWith("--ignore=")), ring.without.length > 0);
  }
});

Deno.test("filesThatRan() finds files by their own tests or by those of a suite that they call", () => {
  const sources = new Map([
    ["tests/contracts/memory_test.ts", 'import { testLink } from "./link_contract.ts";'],
    ["tests/contracts/broken_test.ts", 'import { testDisk } from "./disk_contract.ts";'],
    ["tests/base/lane_test.ts", ""],
    ["tests/base/empty_test.ts", 'import "./lane_test.ts";'],
  ]);
  const reported = new Set(["tests/contracts/link_contract.ts", "tests/base/lane_test.ts"]);
  assert.deepEqual(filesThatRan(sources, reported), [
    "tests/contracts/memory_test.ts",
    "tests/base/lane_test.ts",
  ]);
});
