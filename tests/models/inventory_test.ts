import assert from "node:assert/strict";
import { STARTER } from "~/models/catalogue.ts";
import {
  type FoundFile,
  isModelFileName,
  makeInventory,
  modelFolders,
} from "~/models/inventory.ts";
import { parseSplitName, partNames } from "~/models/split_name.ts";

function found(path: string, more: Partial<FoundFile> = {}): FoundFile {
  return { path, realPath: path, sizeBytes: 100, owner: "test", ...more };
}

const ids = (files: readonly FoundFile[]) => makeInventory(files).map(({ id }) => id);

Deno.test("modelFolders() lists the places of all programs, own folder first", () => {
  const places = modelFolders({ modelsDir: "/m", userHome: "/home/ada", env: {} });
  assert.deepEqual(places.map(({ path }) => path), [
    "/m",
    "/home/ada/.models",
    "/home/ada/.cache/huggingface/hub",
    "/home/ada/.lmstudio/models",
    "/home/ada/.cache/lm-studio/models",
  ]);
});

Deno.test("modelFolders() follows the variables of Hugging Face, the nearest one first", () => {
  const hub = (env: Record<string, string>) =>
    modelFolders({ modelsDir: "/m", env }).find(({ owner }) => owner === "Hugging Face cache")
      ?.path;
  const all = { XDG_CACHE_HOME: "/x", HF_HOME: "/hf", HF_HUB_CACHE: "/hub" };
  assert.equal(hub(all), "/hub");
  assert.equal(hub({ XDG_CACHE_HOME: "/x", HF_HOME: "/hf" }), "/hf/hub");
  assert.equal(hub({ XDG_CACHE_HOME: "/x" }), "/x/huggingface/hub");
  assert.equal(hub({}), undefined);
  assert.equal(hub({ HF_HUB_CACHE: "", HF_HOME: "", XDG_CACHE_HOME: "" }), undefined);
});

Deno.test("isModelFileName() leaves out files that only help a model", () => {
  const names = ["m.gguf", "M.GGUF", "explorator.gguf", "color-Q4.gguf"];
  const others = [
    "mmproj-m.gguf",
    "m-mmproj-f16.gguf",
    "m.imatrix.gguf",
    "my-lora.gguf",
    ".m.gguf",
  ];
  assert.deepEqual(names.map(isModelFileName), names.map(() => true));
  assert.deepEqual(
    [...others, "ggml-vocab-llama.gguf", "m.gguf.part", "m.bin"].map(isModelFileName),
    new Array(8).fill(false),
  );
});

Deno.test("makeInventory() calls a file by its catalogue name, others by their own", () => {
  const starter = found(`/m/${STARTER.fileName}`, { sizeBytes: 98_362_432 });
  assert.deepEqual(ids([starter, found("/m/Other.Q8_0.gguf")]), [STARTER.name, "Other.Q8_0"]);
});

Deno.test("makeInventory() makes one model of all parts, with their size together", () => {
  const parts = [1, 2, 3].map((part) => found(`/m/big-0000${part}-of-00003.gguf`));
  const [model, ...others] = makeInventory(parts);
  assert.deepEqual([model?.id, model?.path, model?.sizeBytes, others], [
    "big",
    parts[0]?.path,
    300,
    [],
  ]);
});

Deno.test("makeInventory() leaves out a model of which a part is missing", () => {
  assert.deepEqual(ids([found("/m/big-00001-of-00002.gguf"), found("/m/small.gguf")]), ["small"]);
});

Deno.test("makeInventory() counts a file once, whatever paths lead to it", () => {
  const files = [
    found("/a/x.gguf", { realPath: "/blob" }),
    found("/b/y.gguf", { realPath: "/blob" }),
  ];
  assert.deepEqual(ids(files), ["x"]);
});

Deno.test("makeInventory() gives two models of one name names of their own, and drops copies", () => {
  const files = [
    found("/m/one/model.gguf"),
    found("/m/two/model.gguf", { sizeBytes: 200 }),
    found("/m/copy/model.gguf"),
  ];
  assert.deepEqual(ids(files), ["model", "two/model"]);
});

Deno.test("parseSplitName() reads the numbers of a part, and only sound ones", () => {
  assert.deepEqual(parseSplitName("m-00002-of-00003.gguf"), { stem: "m", part: 2, parts: 3 });
  const wrong = ["m.gguf", "m-00000-of-00003.gguf", "m-00004-of-00003.gguf", "m-1-of-2.gguf"];
  assert.deepEqual(wrong.map(parseSplitName), wrong.map(() => undefined));
});

Deno.test("partNames() lists all parts of a split model", () => {
  assert.deepEqual(partNames("m.gguf"), ["m.gguf"]);
  assert.deepEqual(partNames("m-00001-of-00002.gguf"), [
    "m-00001-of-00002.gguf",
    "m-00002-of-00002.gguf",
  ]);
});
