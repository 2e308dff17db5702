import assert from "node:assert/strict";
import { join } from "node:path";
import { encodeHeader } from "#support/gguf_writer.ts";
import { fakeStarts, writeFakeBinDir } from "#support/fake_engine.ts";
import { runProgram } from "#support/node_process.ts";
import { tinyModel, writeTinyModel } from "#support/tiny_gguf.ts";

interface Refusal {
  readonly code: number;
  readonly stderr: string;
}

/** Starts the program with these flags in a folder of its own; no engine must ever start in it. */
async function refusal(
  args: readonly string[],
  prepare: (dir: string) => Promise<void>,
): Promise<Refusal> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-bad-" });
  try {
    await prepare(dir);
    const startsFile = join(dir, "starts");
    const binDir = await writeFakeBinDir(dir, { startsFile });
    const place = ["--home", join(dir, "home"), "--bin-dir", binDir];
    const model = args.includes("--model") ? [] : ["--model", join(dir, "m.gguf")];
    const ports = ["--port", "0", "--console", "0"];
    const { code, stderr } = await runProgram(["serve", ...place, ...ports, ...model, ...args]);
    assert.deepEqual(await fakeStarts(startsFile), []);
    return { code, stderr };
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** One sentence for people, and exit status 1. */
function assertRefused({ code, stderr }: Refusal, pattern: RegExp): void {
  assert.equal(code, 1);
  const sentences = stderr.split("\n").filter((line) => line.startsWith("mesh-llm: "));
  assert.equal(sentences.length, 1, stderr);
  assert.match(sentences[0] ?? "", pattern);
  assert.doesNotMatch(stderr, /should not happen|\n\s+at /);
}

/** Writes the file that the program is told to serve. */
function holding(bytes: Uint8Array): (dir: string) => Promise<void> {
  return (dir) => Deno.writeFile(join(dir, "m.gguf"), bytes);
}

const WHOLE = tinyModel();
const MONSTER = encodeHeader({ metadata: [], tensors: [], claimedTensors: 2n ** 60n });

const DAMAGED: readonly (readonly [what: string, bytes: Uint8Array, pattern: RegExp])[] = [
  ["without its last half", WHOLE.slice(0, WHOLE.length / 2), /m\.gguf.*truncated/],
  ["cut within its header", WHOLE.slice(0, 300), /m\.gguf.*truncated/],
  ["that is empty", new Uint8Array(), /m\.gguf.*truncated/],
  ["that is no GGUF", new TextEncoder().encode("<html>404</html>".repeat(9)), /m\.gguf.*not.*GGUF/],
  ["that claims 2^60 tensors", MONSTER, /m\.gguf.*1152921504606846976 tensors/],
];

Deno.test("a model file that cannot be used is refused with one sentence", async (t) => {
  for (const [what, bytes, pattern] of DAMAGED) {
    await t.step(`one ${what}`, async () => {
      assertRefused(await refusal([], holding(bytes)), pattern);
    });
  }
  await t.step("one that is not there", async () => {
    const args = ["--model", "/nowhere/m.gguf"];
    assertRefused(
      await refusal(args, () => Promise.resolve()),
      /Cannot find the model file "\/nowhere\/m\.gguf"/,
    );
  });
  await t.step("a name that means nothing, with what may have been meant", async () => {
    const args = ["--model", "Qwen3-4C"];
    assertRefused(await refusal(args, () => Promise.resolve()), /Did you mean "Qwen3-4B"/);
  });
});

/** A context whose keys and values alone take 128 GiB. */
async function writeLongModel(dir: string): Promise<void> {
  await writeTinyModel(join(dir, "m.gguf"), { context: 16_777_216, width: 256, kvHeads: 4 });
}

Deno.test("a plan that does not fit is refused with numbers, before an engine starts", async (t) => {
  await t.step("--ctx-size beyond the machine", async () => {
    const result = await refusal(["--ctx-size", "16777216", "--parallel", "4"], writeLongModel);
    assertRefused(result, /does not fit.*needs [\d.]+ GiB.*[\d.]+ GiB are free/);
    assert.match(result.stderr, /It would fit with --ctx-size \d+ --parallel \d+/);
  });
  await t.step("--ctx-size beyond the model", async () => {
    const result = await refusal(["--ctx-size", "4096"], holding(WHOLE));
    assertRefused(result, /4096 tokens is more than the 2048 that this model can have/);
  });
  await t.step("--max-vram below the model", async () => {
    const result = await refusal(["--max-vram", "0.1", "--ctx-size", "65536"], writeLongModel);
    assertRefused(result, /does not fit.*needs \d+ MiB.*102 MiB are allowed/);
  });
  await t.step("an accelerator that is not there", async () => {
    const result = await refusal(["--device", "CUDA7"], holding(WHOLE));
    assertRefused(result, /Cannot use device "CUDA7": llama\.cpp has none here/);
  });
});
