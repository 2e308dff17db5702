import assert from "node:assert/strict";
import { join } from "node:path";
import { bootstrapPeer } from "#support/paper_mesh.ts";
import { standInId } from "#support/stand_in_signer.ts";
import { withTempHome } from "#support/temp_home.ts";
import { readMeshFile, writeMeshFile } from "~/mesh/io/mesh_file.ts";
import { MEMORY_BYTES_MAX, type MeshMemory } from "~/mesh/mesh_memory.ts";

const MEMORY: MeshMemory = {
  meshId: standInId("mesh"),
  papers: { certificate: "a.b.c", grant: undefined, revocations: [] },
  port: 4433,
  peers: [bootstrapPeer("a")],
};
const NOTHING = { memory: undefined, problem: undefined };

Deno.test("readMeshFile() finds what was written, in a file of mode 600", async () => {
  await withTempHome(async (homeDir) => {
    assert.deepEqual(await readMeshFile(homeDir), NOTHING);
    await writeMeshFile(homeDir, MEMORY);
    await writeMeshFile(homeDir, { ...MEMORY, port: 4434 });
    const found = await readMeshFile(homeDir);
    assert.deepEqual(found, { memory: { ...MEMORY, port: 4434 }, problem: undefined });
    const { mode } = await Deno.stat(join(homeDir, "mesh.json"));
    assert.equal((mode ?? 0) & 0o777, 0o600);
  });
});

for (const text of ["", '{"format":1,"me', "\u0000\u0001", "x".repeat(MEMORY_BYTES_MAX + 1)]) {
  Deno.test(`readMeshFile() keeps a damaged file of ${text.length} bytes aside and says so`, async () => {
    await withTempHome(async (homeDir) => {
      await Deno.mkdir(homeDir);
      const path = join(homeDir, "mesh.json");
      await Deno.writeTextFile(path, text);
      const { memory, problem } = await readMeshFile(homeDir);
      assert.equal(memory, undefined);
      assert.match(problem ?? "", /^Cannot read what this node knows of its mesh from .*\.broken$/);
      assert.equal(await Deno.readTextFile(`${path}.broken`), text);
      assert.deepEqual(await readMeshFile(homeDir), NOTHING);
      await writeMeshFile(homeDir, MEMORY);
      assert.deepEqual((await readMeshFile(homeDir)).memory, MEMORY);
    });
  });
}

Deno.test("readMeshFile() does not fail where a folder has the name of the file", async () => {
  await withTempHome(async (homeDir) => {
    await Deno.mkdir(join(homeDir, "mesh.json"), { recursive: true });
    const { memory, problem } = await readMeshFile(homeDir);
    assert.equal(memory, undefined);
    assert.match(problem ?? "", /^Cannot read/);
  });
});
