import assert from "node:assert/strict";
import { join } from "node:path";
import { MIB } from "~/base/units.ts";
import { readGgufFacts } from "~/engine/io/gguf_file.ts";
import { type MemoryPlan, planMemory } from "~/engine/memory_plan.ts";
import { ensureTestEngine } from "#support/engine.ts";
import { ensureTestModel } from "#support/model.ts";
import { type TinyModelOptions, writeTinyModel } from "#support/tiny_gguf.ts";

/** A load takes well under a second; this only ends a test that would hang. */
const DEADLINE_MS = 60_000;

/** What llama-server says while it loads a model, up to "listening". */
async function loadLog(modelPath: string, args: readonly string[]): Promise<string> {
  const { server } = await ensureTestEngine();
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const child = new Deno.Command(server.command, {
    args: [...server.leadingArgs, "-m", modelPath, "--port", String(port), "-lv", "4", ...args],
    env: { ...server.env },
    ...(server.workingDir === undefined ? {} : { cwd: server.workingDir }),
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const kill = () => child.kill("SIGKILL");
  const deadline = setTimeout(kill, DEADLINE_MS);
  let text = "";
  for await (const part of child.stderr.pipeThrough(new TextDecoderStream())) {
    text += part;
    // Ended, not only left: the pipe runs empty before the process is waited for.
    if (/listening on/.test(text)) break;
  }
  clearTimeout(deadline);
  if (/listening on/.test(text)) kill();
  await child.status;
  assert.match(text, /listening on/, text);
  return text;
}

/** The last number of MiB that the log has for a buffer, in bytes. */
function logged(log: string, name: RegExp): number {
  const match = [...log.matchAll(new RegExp(`${name.source} size = +([\\d.]+) MiB`, "g"))].at(-1);
  assert.ok(match, `${name} is not in:\n${log}`);
  return Number(match[1]) * MIB;
}

async function planFor(
  path: string,
  request: { ctxSize: number; parallel: number },
): Promise<MemoryPlan> {
  const facts = await readGgufFacts(path);
  const plan = planMemory({
    facts,
    memory: { devices: [], ramFreeBytes: 2 ** 40 },
    requested: request,
  });
  assert.ok(plan.ok);
  return plan;
}

/** Loads a model as planned and compares what was planned with what was allocated. */
async function compare(
  path: string,
  request: { ctxSize: number; parallel: number },
): Promise<void> {
  const plan = await planFor(path, request);
  const flags = [
    "--ctx-size",
    `${plan.ctxSizeTotal}`,
    "--parallel",
    `${plan.slots}`,
    "-fit",
    "off",
  ];
  const log = await loadLog(path, flags);
  assert.match(log, new RegExp(`n_slots = ${plan.slots}, n_ctx_slot = ${plan.ctxPerSlot},`));
  // Printed to a hundredth of a MiB.
  const isSame = (planned: number, real: number) => Math.abs(planned - real) < 0.01 * MIB;
  const cache = logged(log, /KV buffer/);
  assert.ok(isSame(plan.kvBytes, cache), `planned ${plan.kvBytes}, allocated ${cache}`);
  const weights = logged(log, /model buffer/);
  assert.ok(isSame(plan.weightsBytes, weights), `planned ${plan.weightsBytes}, loaded ${weights}`);
  const compute = logged(log, /compute buffer/);
  assert.ok(plan.computeBytes >= compute, `planned ${plan.computeBytes}, allocated ${compute}`);
  assert.ok(plan.computeBytes <= 2 * compute + 2 * MIB, `planned far over ${compute}`);
}

Deno.test("planMemory() plans for the starter model what llama-server allocates", async () => {
  const path = await ensureTestModel();
  await compare(path, { ctxSize: 2_048, parallel: 2 });
  await compare(path, { ctxSize: 3_000, parallel: 1 });
});

const TINY: readonly (readonly [string, TinyModelOptions])[] = [
  ["f16", { weights: "f16" }],
  ["f32", { weights: "f32", layers: 3, width: 128, heads: 4, kvHeads: 1 }],
  ["q8", { weights: "q8", vocabulary: 4_096 }],
  ["mixture of experts", { weights: "q8", experts: 8, expertsUsed: 4 }],
];

Deno.test("tinyModel() makes models that llama-server loads and that cost what is planned", async (t) => {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-tiny-" });
  for (const [name, options] of TINY) {
    await t.step(name, async () => {
      const path = await writeTinyModel(join(dir, "tiny.gguf"), options);
      await compare(path, { ctxSize: 1_024, parallel: 2 });
    });
  }
  await Deno.remove(dir, { recursive: true });
});
