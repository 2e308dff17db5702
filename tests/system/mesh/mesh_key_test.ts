import assert from "node:assert/strict";
import { join } from "node:path";
import { withTempHome } from "#support/temp_home.ts";
import { UserError } from "~/base/errors.ts";
import { JwsVerifier } from "~/mesh/io/jws.ts";
import {
  ensureMeshKey,
  exportMeshKey,
  loadMeshKey,
  makeEphemeralMeshKey,
} from "~/mesh/io/mesh_key.ts";

Deno.test("ensureMeshKey() begins one mesh per home, and its file is nobody else's business", async () => {
  await withTempHome(async (homeDir) => {
    assert.equal(await loadMeshKey(homeDir), undefined);
    const made = await ensureMeshKey(homeDir);
    assert.equal((await ensureMeshKey(homeDir)).id, made.id);
    assert.equal((await loadMeshKey(homeDir))?.id, made.id);
    const { mode } = await Deno.stat(join(homeDir, "mesh-key"));
    assert.equal((mode ?? 0) & 0o777, 0o600);
    const jws = await made.sign("mesh-llm-grant", { v: 1 });
    const expected = { type: "mesh-llm-grant", id: made.id } as const;
    assert.deepEqual(await new JwsVerifier().verify(jws, expected), { v: 1 });
  });
});

Deno.test("exportMeshKey() gives a text that is the same mesh in another home", async () => {
  await withTempHome(async (homeDir) => {
    await ensureMeshKey(homeDir);
    const { meshId, pem } = await exportMeshKey(homeDir);
    await withTempHome(async (otherDir) => {
      await Deno.mkdir(otherDir);
      await Deno.writeTextFile(join(otherDir, "mesh-key"), pem, { mode: 0o600 });
      assert.equal((await loadMeshKey(otherDir))?.id, meshId);
    });
  });
});

Deno.test("exportMeshKey() says where there is none", async () => {
  await withTempHome(async (homeDir) => {
    await assert.rejects(exportMeshKey(homeDir), /mesh-key is not there/);
  });
});

Deno.test("a mesh key that is damaged or open to others is refused and left alone", async () => {
  await withTempHome(async (homeDir) => {
    await Deno.mkdir(homeDir);
    const path = join(homeDir, "mesh-key");
    await Deno.writeTextFile(path, "gone\n", { mode: 0o600 });
    await assert.rejects(ensureMeshKey(homeDir), UserError);
    assert.equal(await Deno.readTextFile(path), "gone\n");
    await Deno.chmod(path, 0o640);
    await assert.rejects(loadMeshKey(homeDir), /mode 640, wanted 600/);
  });
});

Deno.test("makeEphemeralMeshKey() is another mesh each time", async () => {
  assert.notEqual((await makeEphemeralMeshKey()).id, (await makeEphemeralMeshKey()).id);
});
