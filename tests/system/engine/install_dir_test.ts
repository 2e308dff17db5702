import assert from "node:assert/strict";
import { join } from "node:path";
import { installOnce, listInstalled, readInstalled } from "~/engine/io/install_dir.ts";
import { type EngineManifest, formatManifest } from "~/engine/manifest.ts";

const MANIFEST: EngineManifest = {
  origin: "release",
  source: "a test",
  platform: "linux-x64",
  accelerator: "cpu",
  version: "0.7.0",
  server: { program: "llama-server" },
};

async function inTempDir(run: (engineDir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-install-" });
  try {
    await run(join(dir, "home", "engine"));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

const signal = new AbortController().signal;

async function namesIn(dir: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name).sort();
}

async function fillWell(dir: string): Promise<EngineManifest> {
  await Deno.writeTextFile(join(dir, "llama-server"), "program");
  return MANIFEST;
}

Deno.test("installOnce() shows an engine only when it is complete", async () => {
  await inTempDir(async (engineDir) => {
    const fill = async (dir: string) => {
      await Deno.writeTextFile(join(dir, "llama-server"), "program");
      assert.deepEqual(await listInstalled(engineDir), []);
      return MANIFEST;
    };
    const installed = await installOnce({ engineDir, name: "one", signal, fill });
    assert.deepEqual(installed, { dir: join(engineDir, "one"), manifest: MANIFEST });
    assert.deepEqual(await listInstalled(engineDir), [installed]);
    assert.deepEqual(await namesIn(engineDir), ["one"]);
    assert.deepEqual(await namesIn(installed.dir), ["engine.json", "llama-server"]);
  });
});

Deno.test("installOnce() fills once when several come at once", async () => {
  await inTempDir(async (engineDir) => {
    let fills = 0;
    const fill = (dir: string) => {
      fills += 1;
      return fillWell(dir);
    };
    const install = () => installOnce({ engineDir, name: "one", signal, fill });
    const all = await Promise.all([install(), install(), install()]);
    assert.equal(fills, 1);
    assert.deepEqual(all[1], all[0]);
    assert.deepEqual(all[2], all[0]);
  });
});

Deno.test("installOnce() leaves nothing of an engine that could not be made", async () => {
  await inTempDir(async (engineDir) => {
    const fill = async (dir: string): Promise<EngineManifest> => {
      await Deno.writeTextFile(join(dir, "llama-server"), "half");
      throw new Error("the disk is full");
    };
    await assert.rejects(installOnce({ engineDir, name: "one", signal, fill }), /disk is full/);
    assert.deepEqual(await namesIn(engineDir), []);
    await installOnce({ engineDir, name: "one", signal, fill: fillWell });
    assert.deepEqual(await namesIn(engineDir), ["one"]);
  });
});

Deno.test("installOnce() does not show what was finished after the user gave up", async () => {
  await inTempDir(async (engineDir) => {
    const stop = new AbortController();
    const fill = (dir: string) => {
      stop.abort(new Error("stopped by the user"));
      return fillWell(dir);
    };
    const installing = installOnce({ engineDir, name: "one", signal: stop.signal, fill });
    await assert.rejects(installing, /stopped by the user/);
    assert.deepEqual(await namesIn(engineDir), []);
  });
});

Deno.test("installOnce() makes anew what was left without a manifest", async () => {
  await inTempDir(async (engineDir) => {
    for (const left of ["one", ".one.new"]) {
      await Deno.mkdir(join(engineDir, left), { recursive: true });
      await Deno.writeTextFile(join(engineDir, left, "rubbish"), "");
    }
    await installOnce({ engineDir, name: "one", signal, fill: fillWell });
    assert.deepEqual(await namesIn(join(engineDir, "one")), ["engine.json", "llama-server"]);
    assert.deepEqual(await namesIn(engineDir), ["one"]);
  });
});

Deno.test("listInstalled() sees no home, no hidden folders and no unreadable manifests", async () => {
  await inTempDir(async (engineDir) => {
    assert.deepEqual(await listInstalled(engineDir), []);
    const texts = { good: formatManifest(MANIFEST), broken: "{", ".new": formatManifest(MANIFEST) };
    for (const [name, text] of Object.entries(texts)) {
      await Deno.mkdir(join(engineDir, name), { recursive: true });
      await Deno.writeTextFile(join(engineDir, name, "engine.json"), text);
    }
    await Deno.mkdir(join(engineDir, "downloads"));
    await Deno.writeTextFile(join(engineDir, "file"), "");
    const dirs = (await listInstalled(engineDir)).map(({ dir }) => dir);
    assert.deepEqual(dirs, [join(engineDir, "good")]);
    await Deno.mkdir(join(engineDir, "odd", "engine.json"), { recursive: true });
    assert.equal(await readInstalled(join(engineDir, "odd")), undefined);
  });
});
