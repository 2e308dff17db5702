import assert from "node:assert/strict";
import { DiskModels } from "~/node/disk_models.ts";

Deno.test("disk models: names are sorted, each once, and a change is told once", async () => {
  let told = 0;
  const models = new DiskModels(() => Promise.resolve(["b", "a", "b"]), () => told += 1);
  await models.refresh();
  await models.refresh();
  assert.deepEqual([models.names, told], [["a", "b"], 1]);
});

Deno.test("disk models: calls during a look share it", async () => {
  let looks = 0;
  const models = new DiskModels(() => Promise.resolve([`${looks++}`]), () => {});
  await Promise.all([models.refresh(), models.refresh()]);
  assert.equal(looks, 1);
});

Deno.test("disk models: a look that fails leaves what was known", async () => {
  let isBroken = false;
  const look = () => isBroken ? Promise.reject(new Error("gone")) : Promise.resolve(["a"]);
  const models = new DiskModels(look, () => {});
  await models.refresh();
  isBroken = true;
  await models.refresh();
  assert.deepEqual(models.names, ["a"]);
});
