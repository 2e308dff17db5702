import assert from "node:assert/strict";
import { join } from "node:path";
import { installEmbeddedModel } from "~/models/io/embedded.ts";

/** A program folder with a model inside, and an empty place for models. */
async function withFolders(
  run: (folders: { folder: string; modelsDir: string }) => Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "mesh-llm-test-" });
  const folder = join(root, "program");
  try {
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeTextFile(join(folder, "Tiny.gguf"), "weights");
    await run({ folder, modelsDir: join(root, "home", "models") });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("installEmbeddedModel() copies the model once and leaves nothing else", async () => {
  await withFolders(async ({ folder, modelsDir }) => {
    const path = await installEmbeddedModel(folder, modelsDir);
    assert.equal(path, join(modelsDir, "Tiny.gguf"));
    assert.equal(await Deno.readTextFile(path), "weights");
    const before = await Deno.stat(path);
    assert.equal(await installEmbeddedModel(folder, modelsDir), path);
    assert.equal((await Deno.stat(path)).ino, before.ino);
    assert.deepEqual((await Array.fromAsync(Deno.readDir(modelsDir))).map((each) => each.name), [
      "Tiny.gguf",
    ]);
  });
});

Deno.test("installEmbeddedModel() replaces a file that was cut off", async () => {
  await withFolders(async ({ folder, modelsDir }) => {
    await Deno.mkdir(modelsDir, { recursive: true });
    await Deno.writeTextFile(join(modelsDir, "Tiny.gguf"), "weig");
    const path = await installEmbeddedModel(folder, modelsDir) ?? "";
    assert.equal(await Deno.readTextFile(path), "weights");
  });
});

Deno.test("installEmbeddedModel() survives two starts at once", async () => {
  await withFolders(async ({ folder, modelsDir }) => {
    const starts = [1, 2, 3].map(() => installEmbeddedModel(folder, modelsDir));
    for (const path of await Promise.all(starts)) {
      assert.equal(await Deno.readTextFile(path ?? ""), "weights");
    }
    assert.equal((await Array.fromAsync(Deno.readDir(modelsDir))).length, 1);
  });
});

Deno.test("installEmbeddedModel() finds nothing in a program without a model", async () => {
  await withFolders(async ({ folder, modelsDir }) => {
    await Deno.remove(join(folder, "Tiny.gguf"));
    assert.equal(await installEmbeddedModel(folder, modelsDir), undefined);
    assert.equal(await installEmbeddedModel(join(folder, "absent"), modelsDir), undefined);
    assert.equal(await installEmbeddedModel(undefined, modelsDir), undefined);
    await assert.rejects(Deno.stat(modelsDir), Deno.errors.NotFound);
  });
});
