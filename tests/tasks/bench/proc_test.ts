import assert from "node:assert/strict";
import {
  cpuMsBetween,
  flagValue,
  parseMemory,
  parseNulList,
  parseParentPid,
} from "../../../tasks/bench/proc.ts";

Deno.test("parseParentPid() is not misled by the program's name", () => {
  assert.equal(parseParentPid("42 (deno) S 17 42 42 0 -1"), 17);
  assert.equal(parseParentPid("42 (a) S 99 (b) R 18 42 42 0 -1"), 18);
  assert.throws(() => parseParentPid("nonsense"), SyntaxError);
});

Deno.test("parseMemory() reads what is resident and what was at most", () => {
  const status =
    "Name:\tdeno\nVmPeak:\t 9999 kB\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\nThreads:\t9\n";
  assert.deepEqual(parseMemory(status), { residentBytes: 1024 ** 2, peakBytes: 2 * 1024 ** 2 });
  assert.throws(() => parseMemory("Name:\tkthreadd\n"), /no VmRSS/);
});

Deno.test("parseNulList() splits what /proc writes, values with spaces included", () => {
  assert.deepEqual(parseNulList("llama-server\0--model\0/a b.gguf\0"), [
    "llama-server",
    "--model",
    "/a b.gguf",
  ]);
  assert.deepEqual(parseNulList(""), []);
});

Deno.test("flagValue() takes the word after a flag", () => {
  const args = ["serve", "--port", "80", "--host"];
  assert.equal(flagValue(args, "--port"), "80");
  assert.equal(flagValue(args, "--host"), undefined);
  assert.equal(flagValue(args, "--model"), undefined);
});

Deno.test("cpuMsBetween() adds threads, new ones whole, and forgets those that ended", () => {
  const before = new Map([["1", 1_000_000], ["2", 5_000_000]]);
  const after = new Map([["1", 4_000_000], ["3", 2_000_000]]);
  assert.equal(cpuMsBetween(before, after), 5);
  assert.equal(cpuMsBetween(before, before), 0);
});
