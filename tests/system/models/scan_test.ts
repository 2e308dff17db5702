import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { UserError } from "~/base/errors.ts";
import type { ModelPlaces } from "~/models/inventory.ts";
import { findModel, scanModels } from "~/models/io/scan.ts";

/** A person's home folder, its places, and a way to put files into it. */
interface Home {
  readonly dir: string;
  readonly places: ModelPlaces;
  put(path: string, sizeBytes?: number): Promise<void>;
  link(path: string, target: string): Promise<void>;
}

async function withHome(work: (home: Home) => Promise<void>): Promise<void> {
  // Without links itself, so that paths can be compared.
  const dir = await Deno.realPath(await Deno.makeTempDir({ prefix: "mesh-llm-scan-" }));
  const home: Home = {
    dir,
    places: { modelsDir: join(dir, "mesh/models"), userHome: dir, env: {} },
    async put(path, sizeBytes = 10) {
      await Deno.mkdir(dirname(join(dir, path)), { recursive: true });
      await Deno.writeFile(join(dir, path), new Uint8Array(sizeBytes));
    },
    async link(path, target) {
      await Deno.mkdir(dirname(join(dir, path)), { recursive: true });
      await Deno.symlink(target, join(dir, path));
    },
  };
  try {
    await work(home);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("scanModels() finds models in the places of all programs", async () => {
  await withHome(async ({ places, put }) => {
    await put("mesh/models/own.gguf");
    await put("mesh/models/org/repo/fetched.gguf");
    await put(".models/old.gguf");
    await put(".lmstudio/models/org/repo/studio.gguf");
    await put(".cache/lm-studio/models/org/repo/older-studio.gguf");
    const found = await scanModels(places);
    assert.deepEqual(found.map(({ id, owner }) => `${id}: ${owner}`), [
      "own: mesh-llm",
      "fetched: mesh-llm",
      "old: ~/.models",
      "studio: LM Studio",
      "older-studio: LM Studio",
    ]);
  });
});

Deno.test("scanModels() reads the Hugging Face cache, blobs behind links", async () => {
  await withHome(async ({ dir, places, put, link }) => {
    const model = ".cache/huggingface/hub/models--org--repo";
    await put(`${model}/blobs/abc`, 33);
    await link(`${model}/snapshots/rev1/m.gguf`, "../../blobs/abc");
    await link(`${model}/snapshots/rev2/m.gguf`, "../../blobs/abc");
    const path = join(dir, model, "snapshots/rev1/m.gguf");
    assert.deepEqual(await scanModels(places), [
      { id: "m", path, sizeBytes: 33, owner: "Hugging Face cache" },
    ]);
  });
});

Deno.test("scanModels() follows links in circles once, and links to nowhere never", async () => {
  await withHome(async ({ dir, places, put, link }) => {
    await put(".models/a/m.gguf");
    await link(".models/a/up", "..");
    await link(".models/a/self", "self");
    await link(".models/b", join(dir, ".models/a"));
    await link(".models/gone.gguf", "nowhere.gguf");
    await link(".models/loop1.gguf", "loop2.gguf");
    await link(".models/loop2.gguf", "loop1.gguf");
    assert.deepEqual((await scanModels(places)).map(({ id }) => id), ["m"]);
  });
});

Deno.test("scanModels() leaves out what is hidden, unfinished or no model", async () => {
  await withHome(async ({ places, put }) => {
    await put("mesh/models/.wheel-x/member.gguf");
    await put("mesh/models/m.gguf.part");
    await put("mesh/models/mmproj-m.gguf");
    await put("mesh/models/readme.md");
    await put("mesh/models/half-00001-of-00002.gguf");
    await put("mesh/models/late-00002-of-00002.gguf");
    await Deno.mkdir(join(places.modelsDir, "folder.gguf"));
    assert.deepEqual(await scanModels(places), []);
  });
});

Deno.test("scanModels() goes only so deep and looks at only so many files", async () => {
  await withHome(async ({ places, put }) => {
    await put("mesh/models/1/2/3/4/5/6/7/deep.gguf");
    await put("mesh/models/1/2/3/4/5/6/7/8/too-deep.gguf");
    assert.deepEqual((await scanModels(places)).map(({ id }) => id), ["deep"]);
    for (let i = 0; i < 20; i += 1) await put(`.models/m${i}.gguf`, i + 1);
    assert.equal((await scanModels(places, { entriesMax: 13 })).length, 5);
  });
});

Deno.test("scanModels() finds nothing where there is nothing", async () => {
  const places = { modelsDir: "/no/such/folder", userHome: "/no/such/home", env: {} };
  assert.deepEqual(await scanModels(places), []);
});

Deno.test("scanModels() ends when it is called off", async () => {
  await withHome(async ({ places }) => {
    const signal = AbortSignal.abort(new Error("called off"));
    await assert.rejects(scanModels(places, { signal }), /called off/);
  });
});

Deno.test("findModel() takes a path to a file, and a name of the inventory", async () => {
  await withHome(async ({ dir, places, put }) => {
    await put("elsewhere/x.gguf");
    await put("mesh/models/y.gguf");
    const inventory = await scanModels(places);
    const path = join(dir, "elsewhere/x.gguf");
    assert.deepEqual(await findModel(path, { inventory }), { kind: "path", id: "x", path });
    const byName = await findModel("Y.GGUF", { inventory });
    assert.deepEqual(byName, { kind: "path", id: "y", path: join(dir, "mesh/models/y.gguf") });
    await assert.rejects(findModel(join(dir, "elsewhere"), { inventory }), UserError);
    await assert.rejects(findModel("z".repeat(1_000), { inventory }), UserError);
  });
});
