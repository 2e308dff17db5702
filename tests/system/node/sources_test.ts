/** The parts that give a node its engine, its model and its plan, on real files. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "~/base/errors.ts";
import type { TransferProgress } from "~/base/progress.ts";
import type { Memory } from "~/engine/memory_plan.ts";
import { findAccelerators } from "~/engine/io/accelerators.ts";
import { localEngineSource } from "~/node/io/engine_source.ts";
import { LocalPlanner } from "~/node/io/launch_planner.ts";
import { LocalModelSource } from "~/node/io/model_source.ts";
import { ensureTestEngine, TEST_HOME } from "#support/engine.ts";
import { writeTinyModel } from "#support/tiny_gguf.ts";

const NEVER = new AbortController().signal;
const FETCHING = {
  report: (_: TransferProgress) => {},
  onSourceFailure: () => {},
  signal: NEVER,
};
const PLENTY: Memory = { devices: [], ramFreeBytes: 16 * 1024 ** 3 };

async function withModels(
  test: (dir: string, source: LocalModelSource) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-sources-" });
  try {
    const env = (name: string): string | undefined =>
      name === "HOME" ? join(dir, "user") : undefined;
    await test(dir, new LocalModelSource({ modelsDir: join(dir, "models"), env, requested: {} }));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("localEngineSource() finds the installed engine again without fetching, and knows it", async () => {
  await ensureTestEngine();
  const source = localEngineSource({ homeDir: TEST_HOME, allowDownload: false });
  const { install, facts } = await source.prepare(FETCHING);
  assert.ok(install.dir.startsWith(TEST_HOME));
  assert.match(facts.version ?? "", /^\d+\.\d+/);
  assert.match(facts.rpcVersion ?? "", /^\d+\.\d+\.\d+$/);
  assert.ok(facts.flags.has("--ctx-size"));
});

Deno.test("localEngineSource() takes a wrong folder of the user as an error, not as a hint", async () => {
  const source = localEngineSource({ homeDir: TEST_HOME, binDir: "/nowhere", allowDownload: true });
  await assert.rejects(source.prepare(FETCHING), (error: Error) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, /\/nowhere/);
    return true;
  });
});

Deno.test("findAccelerators() ends with what runs everywhere", async () => {
  assert.equal((await findAccelerators()).at(-1), "cpu");
});

Deno.test("LocalModelSource settles on the starter model at once when there is no other", async () => {
  await withModels(async (_, source) => {
    const memory = (): Promise<Memory> => Promise.reject(new Error("nothing to weigh"));
    const chosen = await source.choose(undefined, { memory, signal: NEVER });
    assert.equal(chosen.id, "SmolLM2-135M-Instruct");
  });
});

Deno.test("LocalModelSource prefers the largest model on disk that can chat and fits", async () => {
  await withModels(async (dir, source) => {
    await Deno.mkdir(join(dir, "models"));
    await writeTinyModel(join(dir, "models", "small.gguf"), { layers: 1 });
    await writeTinyModel(join(dir, "models", "large.gguf"), { layers: 3 });
    await Deno.writeTextFile(join(dir, "models", "broken.gguf"), "GGUF but not really");
    const memory = (): Promise<Memory> => Promise.resolve(PLENTY);
    const chosen = await source.choose(undefined, { memory, signal: NEVER });
    assert.equal(chosen.id, "large");
    const { path } = await chosen.prepare(FETCHING);
    assert.ok(path.endsWith("large.gguf"));
  });
});

Deno.test("LocalModelSource names the model file that is asked for by path", async () => {
  await withModels(async (dir, source) => {
    const path = await writeTinyModel(join(dir, "mine.gguf"));
    const memory = (): Promise<Memory> => Promise.resolve(PLENTY);
    const chosen = await source.choose(path, { memory, signal: NEVER });
    const model = await chosen.prepare(FETCHING);
    assert.equal(model.id, "mine");
    assert.equal(model.sizeBytes, (await Deno.stat(path)).size);
    await assert.rejects(source.choose("no-such-model", { memory, signal: NEVER }), UserError);
  });
});

Deno.test("LocalModelSource.described() tells each model with what its header says, and no damaged one", async () => {
  await withModels(async (dir, source) => {
    const models = join(dir, "models");
    assert.deepEqual(await source.described(), []);
    await Deno.mkdir(models);
    const path = await writeTinyModel(join(models, "large.gguf"), { layers: 3 });
    await writeTinyModel(join(models, "small.gguf"), { layers: 1 });
    await Deno.writeTextFile(join(models, "broken.gguf"), "GGUF but not really");
    const described = await source.described();
    assert.deepEqual(described.map(({ id }) => id), ["small", "large"]);
    const [small, large] = described;
    assert.equal(large?.sizeBytes, (await Deno.stat(path)).size);
    assert.deepEqual([small, large].map((model) => model?.header?.facts.layerCount), [1, 3]);
    const prints = described.map(({ header }) => header?.fingerprint ?? "");
    assert.equal(new Set(prints).size, 2);
    for (const print of prints) assert.match(print, /^[0-9a-f]{64}:[0-9]+$/);
  });
});

Deno.test("LocalModelSource.described() reads a header once, as long as its file keeps its size", async () => {
  await withModels(async (dir, source) => {
    await Deno.mkdir(join(dir, "models"));
    const path = await writeTinyModel(join(dir, "models", "mine.gguf"), { layers: 2 });
    const [before] = await source.described();
    const { size } = await Deno.stat(path);
    const bytes = await Deno.readFile(path);
    await Deno.writeFile(path, new Uint8Array(size));
    assert.deepEqual(await source.described(), [before]);
    await writeTinyModel(path, { layers: 3 });
    const [grown] = await source.described();
    assert.equal(grown?.header?.facts.layerCount, 3);
    // One that is written at its full size before its content is here.
    const late = join(dir, "models", "late.gguf");
    await Deno.writeFile(late, new Uint8Array(size));
    assert.deepEqual((await source.described()).map(({ id }) => id), ["mine"]);
    await Deno.writeFile(late, bytes);
    assert.deepEqual((await source.described()).map(({ id }) => id), ["late", "mine"]);
    await Deno.remove(late);
    // Gone, and back with the size that it had: nothing is remembered of before.
    await Deno.remove(path);
    assert.deepEqual(await source.described(), []);
    await Deno.writeFile(path, new Uint8Array(grown.sizeBytes));
    assert.deepEqual(await source.described(), []);
  });
});

Deno.test("LocalModelSource.described() of very many models reads the smaller ones, and lists all", async () => {
  await withModels(async (dir, source) => {
    const models = join(dir, "models");
    await Deno.mkdir(models);
    const first = await writeTinyModel(join(models, "model-0.gguf"), { layers: 1 });
    for (let n = 1; n < 64; n += 1) await Deno.copyFile(first, join(models, `model-${n}.gguf`));
    await writeTinyModel(join(models, "large.gguf"), { layers: 2 });
    const described = await source.described();
    assert.equal(described.length, 65);
    const bare = described.filter(({ header }) => header === undefined).map(({ id }) => id);
    assert.deepEqual(bare, ["large"]);
  });
});

Deno.test("LocalPlanner plans against this machine's memory, and refuses what cannot fit", async () => {
  await ensureTestEngine();
  const engine = await localEngineSource({ homeDir: TEST_HOME, allowDownload: false }).prepare(
    FETCHING,
  );
  await withModels(async (dir, source) => {
    const path = await writeTinyModel(join(dir, "mine.gguf"));
    const memory = (): Promise<Memory> => Promise.resolve(PLENTY);
    const chosen = await source.choose(path, { memory, signal: NEVER });
    const model = await chosen.prepare(FETCHING);
    const planner = new LocalPlanner({ requested: { parallel: 2 } });
    assert.equal(planner.offeredBytes, 0);
    const { launch, explanation } = await planner.plan(engine, model);
    assert.equal(launch.plan.slots, 2);
    assert.ok(planner.offeredBytes > 0 && explanation.length > 0);
    const mean = new LocalPlanner({ requested: { maxBytes: 1000 } });
    await assert.rejects(mean.plan(engine, model), UserError);
  });
});
