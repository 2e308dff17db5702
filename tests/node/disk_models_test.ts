import assert from "node:assert/strict";
import { VirtualTime } from "#support/virtual_time.ts";
import { type DiskModel, DiskModels } from "~/node/disk_models.ts";

function onDisk(id: string): DiskModel {
  return { id, sizeBytes: 1_000 };
}

Deno.test("disk models: names are sorted, each once, and a change is told once", async () => {
  let told = 0;
  const models = new DiskModels(
    () => Promise.resolve(["b", "a", "b"].map(onDisk)),
    () => told += 1,
  );
  await models.refresh();
  await models.refresh();
  assert.deepEqual([models.names, told], [["a", "b"], 1]);
});

Deno.test("disk models: calls during a look share it", async () => {
  let looks = 0;
  const models = new DiskModels(() => Promise.resolve([onDisk(`${looks++}`)]), () => {});
  await Promise.all([models.refresh(), models.refresh()]);
  assert.equal(looks, 1);
});

Deno.test("disk models: a look that fails leaves what was known", async () => {
  let isBroken = false;
  const look = () => isBroken ? Promise.reject(new Error("gone")) : Promise.resolve([onDisk("a")]);
  const models = new DiskModels(look, () => {});
  await models.refresh();
  isBroken = true;
  await models.refresh();
  assert.deepEqual(models.names, ["a"]);
});

Deno.test("disk models: another file of the same name is a change", async () => {
  let sizeBytes = 1;
  let told = 0;
  const models = new DiskModels(
    () => Promise.resolve([{ id: "a", sizeBytes }]),
    () => told += 1,
  );
  await models.refresh();
  const before = models.models;
  await models.refresh();
  assert.equal(models.models, before, "the same object while nothing changes");
  sizeBytes = 2;
  await models.refresh();
  assert.deepEqual([models.models, told], [[{ id: "a", sizeBytes: 2 }], 2]);
});

Deno.test("disk models: what is put on the disk later is found within a minute", async () => {
  const time = new VirtualTime();
  const found: string[] = [];
  const changed = Promise.withResolvers<void>();
  const models = new DiskModels(() => Promise.resolve(found.map(onDisk)), changed.resolve);
  models.watch(time);
  await models.refresh();
  found.push("new");
  await Promise.resolve();
  time.advance(60_000);
  await changed.promise;
  assert.deepEqual(models.names, ["new"]);
  models.close();
  assert.equal(time.pendingCount, 0);
});

Deno.test("disk models: a watch that is closed during a look begins no other", async () => {
  const time = new VirtualTime();
  const look = Promise.withResolvers<readonly DiskModel[]>();
  const models = new DiskModels(() => look.promise, () => {});
  models.watch(time);
  models.close();
  look.resolve([]);
  await models.refresh();
  await Promise.resolve();
  assert.equal(time.pendingCount, 0);
});
