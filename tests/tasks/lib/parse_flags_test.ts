import assert from "node:assert/strict";
import { parseFlags } from "../../../tasks/lib/parse_flags.ts";

const FLAGS = {
  rounds: { type: "string", default: "10" },
  victim: { type: "string" },
  help: { type: "boolean", short: "h" },
} as const;

Deno.test("parseFlags() reads what is given, and what holds without it", () => {
  const { rounds, victim, help } = parseFlags(["--victim", "host", "-h"], FLAGS);
  assert.deepEqual([rounds, victim, help], ["10", "host", true]);
});

Deno.test("parseFlags() refuses what it does not know, by its name", () => {
  for (const args of [["--fast"], ["--victim"], ["host"]]) {
    assert.throws(() => parseFlags(args, FLAGS), {
      name: "SyntaxError",
      message: /^Cannot parse the flags: .*(--fast|--victim|host)/,
    });
  }
});
