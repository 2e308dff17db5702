/**
 * `deno task bench`: measures the program from outside, as a child process on loopback. Figures, bars and how
 * to read them: `docs/BENCH.md`.
 *
 * @module
 */
import { runChild } from "../lib/child.ts";
import { parseOptions, USAGE } from "./options.ts";

const MEASURE = new URL("./measure.ts", import.meta.url).pathname;

/** All rounds of everything take minutes; whatever takes this long hangs. */
const LIMIT_MS = 30 * 60_000;

/** The bench with all its children is one group of processes: it ends as one, on Ctrl-C too. */
async function main(args: readonly string[]): Promise<number> {
  if (parseOptions(args).wantsHelp) {
    write(Deno.stdout, USAGE.join("\n"));
    return 0;
  }
  if (Deno.build.os !== "linux") {
    throw new SyntaxError("Cannot measure here: memory and CPU time are read from Linux's /proc");
  }
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-bench-" });
  try {
    const { exitCode, stoppedBecause } = await runChild(Deno.execPath(), {
      args: ["run", "--allow-all", "--quiet", MEASURE, dir, ...args],
      limitMs: LIMIT_MS,
    });
    if (stoppedBecause === undefined) return exitCode;
    write(Deno.stderr, `The bench was ended: ${stoppedBecause}`);
    return 1;
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function write(stream: typeof Deno.stdout, text: string): void {
  stream.writeSync(new TextEncoder().encode(text + "\n"));
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    write(Deno.stderr, error.message);
    Deno.exit(2);
  }
}
