import assert from "node:assert/strict";
import { join } from "node:path";
import {
  ensureDir,
  FileTooLargeError,
  makeTempDir,
  readTextBounded,
  readTextIfAny,
  removeIfAny,
  statIfAny,
  syncDir,
  writeFileAtomic,
} from "~/base/io/files.ts";

async function inTempDir(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-files-" });
  try {
    await run(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("writeFileAtomic() replaces the whole file and leaves nothing beside it", async () => {
  await inTempDir(async (dir) => {
    const path = join(dir, "config.json");
    await writeFileAtomic(path, "a much longer first text");
    await writeFileAtomic(path, new TextEncoder().encode("second"));
    assert.equal(await Deno.readTextFile(path), "second");
    assert.deepEqual((await Array.fromAsync(Deno.readDir(dir))).map((it) => it.name), [
      "config.json",
    ]);
  });
});

Deno.test("writeFileAtomic() gives a secret exactly the mode that was asked for", async () => {
  await inTempDir(async (dir) => {
    const path = join(dir, "key");
    await Deno.writeTextFile(path, "old", { mode: 0o644 });
    await writeFileAtomic(path, "secret", { mode: 0o600 });
    assert.equal(((await Deno.stat(path)).mode ?? 0) & 0o777, 0o600);
  });
});

Deno.test("writeFileAtomic() keeps the old file and cleans up when it cannot write", async () => {
  await inTempDir(async (dir) => {
    const path = join(dir, "taken");
    await ensureDir(join(path, "not-empty"));
    await assert.rejects(() => writeFileAtomic(path, "text"));
    assert.deepEqual((await Array.fromAsync(Deno.readDir(dir))).map((it) => it.name), ["taken"]);
  });
});

Deno.test("readTextBounded() reads up to the limit and refuses one byte more", async () => {
  await inTempDir(async (dir) => {
    const path = join(dir, "text");
    await Deno.writeTextFile(path, "ä".repeat(50_000));
    assert.equal((await readTextBounded(path, 100_000)).length, 50_000);
    await assert.rejects(() => readTextBounded(path, 99_999), FileTooLargeError);
  });
});

Deno.test("readTextBounded() ends on a file without an end", async () => {
  if (Deno.build.os === "windows") return;
  await assert.rejects(() => readTextBounded("/dev/zero", 1_000_000), FileTooLargeError);
});

Deno.test("readTextIfAny() is undefined for a missing file only", async () => {
  await inTempDir(async (dir) => {
    assert.equal(await readTextIfAny(join(dir, "absent"), 10), undefined);
    await assert.rejects(() => readTextIfAny(dir, 10));
  });
});

Deno.test("makeTempDir() makes its parent and a name of its own each time", async () => {
  await inTempDir(async (dir) => {
    const parent = join(dir, "engine", "tmp");
    const [a, b] = [await makeTempDir(parent, "x-"), await makeTempDir(parent, "x-")];
    assert.notEqual(a, b);
    assert.ok((await Deno.stat(a)).isDirectory);
    await syncDir(parent);
  });
});

Deno.test("removeIfAny() and statIfAny() take absence as an answer", async () => {
  await inTempDir(async (dir) => {
    const path = join(dir, "file");
    await removeIfAny(path);
    assert.equal(await statIfAny(path), undefined);
    await Deno.writeTextFile(path, "");
    assert.equal(await statIfAny(join(path, "below-a-file")), undefined);
    assert.ok((await statIfAny(path))?.isFile);
    await removeIfAny(path);
    assert.equal(await statIfAny(path), undefined);
  });
});
