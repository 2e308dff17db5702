import assert from "node:assert/strict";
import { join } from "node:path";
import { withTempHome } from "#support/temp_home.ts";
import { generateKey, keyPem, readKeyFile, writeKeyFile } from "~/mesh/io/key_file.ts";

const ABOUT = { whose: "the key of a test", remedy: "Write another" };

Deno.test("readKeyFile() finds the key that writeKeyFile() wrote, and none where there is none", async () => {
  await withTempHome(async (homeDir) => {
    const path = join(homeDir, "deep", "key");
    assert.equal(await readKeyFile(path, ABOUT), undefined);
    const [first, second] = [await generateKey(), await generateKey()];
    await writeKeyFile(path, first);
    assert.equal((await readKeyFile(path, ABOUT))?.id, first.id);
    await writeKeyFile(path, second);
    const read = await readKeyFile(path, ABOUT);
    assert.equal(read?.id, second.id);
    assert.equal(await keyPem(read.privateKey), await keyPem(second.privateKey));
  });
});

Deno.test("readKeyFile() reads a key whose text is in one line, as older programs wrote it", async () => {
  await withTempHome(async (homeDir) => {
    const path = join(homeDir, "key");
    const key = await generateKey();
    await writeKeyFile(path, key);
    const [head = "", ...rest] = (await keyPem(key.privateKey)).trimEnd().split("\n");
    const tail = rest.pop() ?? "";
    await Deno.writeTextFile(path, `${head}\n${rest.join("")}\n${tail}\n`);
    assert.equal((await readKeyFile(path, ABOUT))?.id, key.id);
  });
});

Deno.test("readKeyFile() says whose key it is that cannot be used, and what to do", async () => {
  await withTempHome(async (homeDir) => {
    const path = join(homeDir, "key");
    await writeKeyFile(path, await generateKey());
    const pair = await crypto.subtle.generateKey(
      { name: "ECDSA", namedCurve: "P-256" },
      true,
      ["sign", "verify"],
    );
    await Deno.writeTextFile(path, await keyPem(pair.privateKey));
    await assert.rejects(readKeyFile(path, ABOUT), /as the key of a test: .*Write another$/);
  });
});
