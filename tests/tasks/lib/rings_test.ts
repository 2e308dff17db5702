import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { chooseRings, filesOf, filesThatRan, RINGS, runsOf } from "../../../tasks/lib/rings.ts";
import { walk } from "../../../tasks/lib/walk.ts";

const ROOT = resolve(import.meta.dirname ?? ".", "..", "..", "..");

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

Deno.test("runsOf() never waits for a person and leaves out what runs elsewhere", () => {
  for (const ring of RINGS) {
    const { first, sideBySide } = runsOf(ring, []);
    assert.equal(first.args.at(-1), ring.folder);
    const ignored = first.args.find((arg) => arg.startsWith("--ignore="))?.slice(9).split(",") ??
      [];
    assert.deepEqual(ignored, [...ring.without, ...ring.sideBySide.keys()]);
    for (const run of [first, ...sideBySide]) {
      assert.equal(run.args[0], "test");
      assert.ok(run.args.includes("--no-prompt"));
      for (const flag of ring.flags) assert.ok(run.args.includes(flag));
    }
  }
});

Deno.test("runsOf() has each test file of the repository run exactly once", async () => {
  const files = (await walk(ROOT)).filter((file) => file.endsWith("_test.ts"));
  const ran = RINGS.flatMap((ring) => {
    const { first, sideBySide } = runsOf(ring, filesOf(ring, files));
    return [first, ...sideBySide].flatMap((run) => run.files);
  });
  assert.deepEqual(ran.toSorted(), files.toSorted());
});

/** Each computes with the real engine, which goes at a crawl beside others and then misses its limits. */
const COMPUTES = /#support\/(real_node|compiled_program)\.ts|servesStarter|writeRealBinDir|"real"/;

Deno.test("what runs side by side says why it may, and computes nothing", async () => {
  for (const ring of RINGS) {
    for (const [file, why] of ring.sideBySide) {
      assert.match(why, /\w+ \w+/, file);
      assert.doesNotMatch(await Deno.readTextFile(join(ROOT, file)), COMPUTES, file);
    }
    for (const { files, args, floor } of runsOf(ring, []).sideBySide) {
      assert.deepEqual(files, [args.at(-1)]);
      assert.equal(floor, 1);
    }
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
