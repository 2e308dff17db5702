import assert from "node:assert/strict";
import { join } from "node:path";
import type { MeshMemory } from "~/mesh/mesh_memory.ts";
import { homeMeshStore, throwAwayMeshStore } from "~/node/io/mesh_store.ts";
import { bootstrapPeer } from "#support/paper_mesh.ts";
import { standInId } from "#support/stand_in_signer.ts";
import { withTempHome } from "#support/temp_home.ts";

const MEMORY: MeshMemory = {
  meshId: standInId("mesh"),
  papers: { certificate: "a.b.c", grant: undefined, revocations: [] },
  port: 4433,
  peers: [bootstrapPeer("a")],
};

Deno.test("mesh store: a home keeps its mesh from one start to the next, until it is cleared", async () => {
  await withTempHome(async (homeDir) => {
    assert.equal(await homeMeshStore(homeDir).load(), undefined);
    await homeMeshStore(homeDir).save(MEMORY);
    const store = homeMeshStore(homeDir);
    assert.deepEqual(await store.load(), MEMORY);
    await store.clear();
    await store.clear();
    assert.equal(await store.load(), undefined);
  });
});

Deno.test("mesh store: a start reads the file once", async () => {
  await withTempHome(async (homeDir) => {
    await homeMeshStore(homeDir).save(MEMORY);
    const store = homeMeshStore(homeDir);
    assert.deepEqual(await store.load(), MEMORY);
    await Deno.remove(join(homeDir, "mesh.json"));
    assert.deepEqual(await store.load(), MEMORY);
    const later = { ...MEMORY, port: 4434 };
    await store.save(later);
    assert.deepEqual(await store.load(), later);
    assert.deepEqual(await homeMeshStore(homeDir).load(), later);
  });
});

Deno.test("mesh store: a home has one mesh key, made when it is asked for", async () => {
  await withTempHome(async (homeDir) => {
    const store = homeMeshStore(homeDir);
    assert.equal(await store.meshKey(), undefined);
    const { id } = await store.ensureMeshKey();
    assert.equal((await homeMeshStore(homeDir).ensureMeshKey()).id, id);
    assert.equal((await homeMeshStore(homeDir).meshKey())?.id, id);
    await store.save(MEMORY);
    await store.clear();
    assert.equal((await store.meshKey())?.id, id, "to leave a mesh is not to lose its key");
    const { mode } = await Deno.stat(join(homeDir, "mesh-key"));
    assert.equal((mode ?? 0) & 0o777, 0o600);
  });
});

Deno.test("mesh store: a damaged file is no reason not to start", async () => {
  await withTempHome(async (homeDir) => {
    await Deno.mkdir(homeDir);
    await Deno.writeTextFile(join(homeDir, "mesh.json"), "{");
    const store = homeMeshStore(homeDir);
    assert.equal(await store.load(), undefined);
    await store.save(MEMORY);
    assert.deepEqual(await store.load(), MEMORY);
  });
});

Deno.test("mesh store: a throw-away node keeps its mesh key as long as it runs, and nothing else", async () => {
  const store = throwAwayMeshStore();
  assert.equal(await store.meshKey(), undefined);
  const { id } = await store.ensureMeshKey();
  assert.equal((await store.ensureMeshKey()).id, id);
  assert.equal((await store.meshKey())?.id, id);
  await store.save(MEMORY);
  assert.equal(await store.load(), undefined);
  await store.clear();
  assert.notEqual((await throwAwayMeshStore().ensureMeshKey()).id, id);
});
