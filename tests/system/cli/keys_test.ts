import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "~/base/errors.ts";
import { printMeshKey, rotateKey } from "~/cli/commands/keys.ts";
import { loadLinkCert } from "~/mesh/io/link_cert.ts";
import { ensureMeshKey } from "~/mesh/io/mesh_key.ts";
import { loadNodeKey } from "~/mesh/io/node_key.ts";
import { CommandDesk } from "#support/command_desk.ts";

/** Lets a process that is alive own the home, as a running node does. */
async function occupy(homeDir: string, pid: number): Promise<void> {
  const dir = join(homeDir, "run", String(pid));
  await Deno.mkdir(dir, { recursive: true });
  await Deno.writeTextFile(join(dir, "owner.json"), JSON.stringify({ process: { pid } }));
}

Deno.test("rotateKey() replaces the certificate, says what it is now, and leaves the home free", async () => {
  await using desk = await CommandDesk.open();
  await loadNodeKey(desk.homeDir);
  const old = await loadLinkCert(desk.homeDir);
  assert.equal(await rotateKey(desk.context()), 0);
  const made = await loadLinkCert(desk.homeDir);
  assert.notEqual(made.leafHash, old.leafHash);
  assert.ok(desk.printed[0]?.endsWith(` SHA-256 ${made.leafHash}`));
  assert.match(desk.told[0] ?? "", /mesh-llm invite/);
  assert.equal(await rotateKey(desk.context({ isJson: true })), 0);
  const { leafHash } = await loadLinkCert(desk.homeDir);
  assert.deepEqual(JSON.parse(desk.printed[1] ?? ""), { "leaf_hash": leafHash });
});

Deno.test("rotateKey() changes nothing while a node runs on the home", async () => {
  await using desk = await CommandDesk.open();
  await loadNodeKey(desk.homeDir);
  const old = await loadLinkCert(desk.homeDir);
  await occupy(desk.homeDir, Deno.ppid);
  await assert.rejects(rotateKey(desk.context()), (error: Error) => {
    assert.ok(error instanceof UserError && error.exitCode === 1);
    assert.match(error.message, new RegExp(`process ${Deno.ppid}: end it with "mesh-llm stop"`));
    return true;
  });
  assert.equal((await loadLinkCert(desk.homeDir)).leafHash, old.leafHash);
  assert.deepEqual(desk.printed, []);
});

Deno.test("rotateKey() makes no home of a folder that never was one", async () => {
  await using desk = await CommandDesk.open();
  const homeDir = join(desk.homeDir, "misspelt");
  await assert.rejects(
    rotateKey(desk.context({ homeDir })),
    /no node was ever started on .*misspelt/,
  );
  await assert.rejects(Deno.stat(homeDir), Deno.errors.NotFound);
});

Deno.test("printMeshKey() prints the key alone on stdout, and a warning beside it", async () => {
  await using desk = await CommandDesk.open();
  const { id } = await ensureMeshKey(desk.homeDir);
  assert.equal(await printMeshKey(desk.context()), 0);
  const pem = await Deno.readTextFile(join(desk.homeDir, "mesh-key"));
  assert.equal(desk.printed.join("\n") + "\n", pem);
  assert.match(desk.told[0] ?? "", new RegExp(`rules mesh ${id}`));
  assert.ok(!desk.told.join("").includes("PRIVATE"));
  assert.equal(await printMeshKey(desk.context({ isJson: true })), 0);
  assert.deepEqual(JSON.parse(desk.printed[1] ?? ""), { "mesh_id": id, pem });
});

Deno.test("printMeshKey() refuses where the mesh did not begin, and makes no key", async () => {
  await using desk = await CommandDesk.open();
  await assert.rejects(printMeshKey(desk.context()), (error: Error) => {
    return error instanceof UserError && error.exitCode === 1 && /mesh key/.test(error.message);
  });
  assert.deepEqual([desk.printed, desk.told], [[], []]);
  await assert.rejects(Deno.stat(join(desk.homeDir, "mesh-key")), Deno.errors.NotFound);
});
