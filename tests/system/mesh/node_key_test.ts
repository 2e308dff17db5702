import assert from "node:assert/strict";
import { join } from "node:path";
import { withTempHome } from "#support/temp_home.ts";
import { UserError } from "~/base/errors.ts";
import { loadNodeKey, makeEphemeralNodeKey, rotateNodeKey } from "~/mesh/io/node_key.ts";

Deno.test("loadNodeKey() makes a key once and finds the same node afterwards", async () => {
  await withTempHome(async (homeDir) => {
    const first = await loadNodeKey(homeDir);
    const again = await loadNodeKey(homeDir);
    assert.match(first.nodeId, /^[\w-]{43}$/);
    assert.equal(again.nodeId, first.nodeId);
    const { mode } = await Deno.stat(join(homeDir, "key"));
    assert.equal((mode ?? 0) & 0o777, 0o600);
  });
});

Deno.test("loadNodeKey() gives a key whose signatures the node id verifies", async () => {
  await withTempHome(async (homeDir) => {
    await loadNodeKey(homeDir);
    const { nodeId, privateKey } = await loadNodeKey(homeDir);
    const text = new TextEncoder().encode("it is me");
    const signature = await crypto.subtle.sign("Ed25519", privateKey, text);
    const jwk = { kty: "OKP", crv: "Ed25519", x: nodeId };
    const publicKey = await crypto.subtle.importKey("jwk", jwk, "Ed25519", true, ["verify"]);
    assert.ok(await crypto.subtle.verify("Ed25519", publicKey, signature, text));
  });
});

Deno.test("loadNodeKey() refuses a file that is no key, or that is far too large", async () => {
  await withTempHome(async (homeDir) => {
    await Deno.mkdir(homeDir);
    const path = join(homeDir, "key");
    const wrong = [
      "",
      "hello",
      "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
      "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
    ];
    for (const text of wrong) {
      await Deno.writeTextFile(path, text, { mode: 0o600 });
      await assert.rejects(loadNodeKey(homeDir), UserError, JSON.stringify(text));
    }
    await Deno.writeTextFile(path, "x".repeat(5000), { mode: 0o600 });
    await assert.rejects(loadNodeKey(homeDir), /larger than 4096 bytes/);
  });
});

Deno.test("loadNodeKey() refuses a key that others can read, and says how to mend it", async () => {
  await withTempHome(async (homeDir) => {
    await loadNodeKey(homeDir);
    await Deno.chmod(join(homeDir, "key"), 0o644);
    await assert.rejects(loadNodeKey(homeDir), /mode 644, wanted 600.*chmod 600/);
  });
});

Deno.test("makeEphemeralNodeKey() is another node each time and writes nothing", async () => {
  const [one, other] = [await makeEphemeralNodeKey(), await makeEphemeralNodeKey()];
  assert.notEqual(one.nodeId, other.nodeId);
});

Deno.test("rotateNodeKey() makes the home another node for good", async () => {
  await withTempHome(async (homeDir) => {
    const before = await loadNodeKey(homeDir);
    const { nodeId } = await rotateNodeKey(homeDir);
    assert.notEqual(nodeId, before.nodeId);
    assert.equal((await loadNodeKey(homeDir)).nodeId, nodeId);
    const { mode } = await Deno.stat(join(homeDir, "key"));
    assert.equal((mode ?? 0) & 0o777, 0o600);
  });
});
