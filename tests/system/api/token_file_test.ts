import assert from "node:assert/strict";
import { join } from "node:path";
import { ensureManagementToken, readManagementToken } from "~/api/io/token_file.ts";
import { systemSecrets } from "~/base/io/system.ts";

const isWindows = Deno.build.os === "windows";

async function withHome(use: (path: string, home: string) => Promise<void>): Promise<void> {
  const home = await Deno.makeTempDir({ prefix: "mesh-llm-test-" });
  try {
    await use(join(home, "node", "management-token"), home);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}
const names = async (folder: string): Promise<string[]> =>
  (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);

Deno.test("ensureManagementToken() makes a secret file once, and the folder above it", async () => {
  await withHome(async (path) => {
    const token = await ensureManagementToken(path, systemSecrets);
    assert.match(token, /^[A-Za-z0-9_-]{43}$/);
    assert.equal(await ensureManagementToken(path, systemSecrets), token);
    assert.equal(await readManagementToken(path), token);
    assert.deepEqual(await names(join(path, "..")), ["management-token"]);
    if (!isWindows) assert.equal(((await Deno.stat(path)).mode ?? 0) & 0o777, 0o600);
  });
});

Deno.test("ensureManagementToken() gives all who start at once the same token", async () => {
  await withHome(async (path) => {
    const starts = Array.from({ length: 20 }, () => ensureManagementToken(path, systemSecrets));
    const tokens = new Set(await Promise.all(starts));
    assert.equal(tokens.size, 1);
    assert.equal(await readManagementToken(path), [...tokens][0]);
  });
});

Deno.test({
  name: "ensureManagementToken() replaces a token that others could read",
  ignore: isWindows,
  fn: () =>
    withHome(async (path) => {
      const old = await ensureManagementToken(path, systemSecrets);
      await Deno.chmod(path, 0o644);
      const fresh = await ensureManagementToken(path, systemSecrets);
      assert.notEqual(fresh, old);
      assert.equal(await readManagementToken(path), fresh);
      assert.equal(((await Deno.stat(path)).mode ?? 0) & 0o777, 0o600);
    }),
});

Deno.test.each([
  ["an empty file", ""],
  ["a short token", "abc\n"],
  ["a token with spaces", `${"a b".repeat(20)}\n`],
  ["a large file", "x".repeat(5000)],
])("ensureManagementToken() replaces %s", async (_title, content) => {
  await withHome(async (path, home) => {
    const file = join(home, "management-token");
    await Deno.writeTextFile(file, content, { mode: 0o600 });
    assert.equal(await readManagementToken(file), undefined);
    const token = await ensureManagementToken(file, systemSecrets);
    assert.equal(await readManagementToken(file), token);
    assert.equal(await readManagementToken(path), undefined, "there is no such file");
  });
});

Deno.test("ensureManagementToken() keeps a token that somebody chose", async () => {
  await withHome(async (_path, home) => {
    const file = join(home, "management-token");
    const chosen = "my-own_token-of-more-than-32-characters";
    await Deno.writeTextFile(file, `${chosen}\n`, { mode: 0o600 });
    assert.equal(await ensureManagementToken(file, systemSecrets), chosen);
  });
});
