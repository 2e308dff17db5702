import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { PartFile, type WriteSome } from "~/base/io/part_file.ts";

const WANTED = { url: "https://models.example/a" };
const RECORD = { ...WANTED, etag: '"v1"', totalBytes: 6 };
const writeSome: WriteSome = (file, bytes) => file.write(bytes);

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

async function inTempDir(run: (destination: string, dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-part-" });
  try {
    await run(join(dir, "file"), dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function namesIn(dir: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name).sort();
}

/** Leaves "abc" as a download that was cut would. */
async function leavePart(destination: string): Promise<void> {
  await using part = await PartFile.open(destination, WANTED, writeSome);
  await part.describe(RECORD);
  await part.append(bytes("abc"));
}

Deno.test("PartFile goes on with what was left, and its digest is that of the whole", async () => {
  await inTempDir(async (destination, dir) => {
    await leavePart(destination);
    assert.deepEqual(await namesIn(dir), ["file.part", "file.part.json"]);
    await using part = await PartFile.open(destination, WANTED, writeSome);
    assert.equal(part.sizeBytes, 3);
    assert.deepEqual(part.record, RECORD);
    assert.equal(part.digest(), sha256("abc"));
    await part.append(bytes("def"));
    assert.equal(part.digest(), sha256("abcdef"));
    await part.finish();
    assert.equal(await Deno.readTextFile(destination), "abcdef");
    assert.deepEqual(await namesIn(dir), ["file"]);
  });
});

Deno.test("PartFile begins with nothing when what was left is of something else", async () => {
  await inTempDir(async (destination, dir) => {
    await leavePart(destination);
    const other = { url: "https://models.example/b" };
    await using part = await PartFile.open(destination, other, writeSome);
    assert.equal(part.sizeBytes, 0);
    assert.equal(part.digest(), sha256(""));
    assert.equal(part.record, undefined);
    assert.deepEqual(await namesIn(dir), ["file.part"]);
  });
});

Deno.test("PartFile takes a record that cannot be read for none", async () => {
  await inTempDir(async (destination) => {
    await leavePart(destination);
    await Deno.writeTextFile(`${destination}.part.json`, "x".repeat(100_000));
    await using part = await PartFile.open(destination, WANTED, writeSome);
    assert.equal(part.sizeBytes, 0);
  });
});

Deno.test("PartFile counts and hashes only what the disk took", async () => {
  await inTempDir(async (destination) => {
    const stingy: WriteSome = async (file, part) => {
      const { size } = await file.stat();
      if (size >= 4) throw new Error("full");
      return await file.write(part.subarray(0, 2));
    };
    await using part = await PartFile.open(destination, WANTED, stingy);
    await assert.rejects(part.append(bytes("abcdef")), /full/);
    assert.equal(part.sizeBytes, 4);
    assert.equal(part.digest(), sha256("abcd"));
  });
});

Deno.test("PartFile keeps its record from other users: addresses may hold secrets", async () => {
  await inTempDir(async (destination) => {
    await leavePart(destination);
    const { mode } = await Deno.stat(`${destination}.part.json`);
    assert.equal((mode ?? 0) & 0o777, 0o600);
  });
});

Deno.test("PartFile leaves nothing when it is discarded", async () => {
  await inTempDir(async (destination, dir) => {
    await using part = await PartFile.open(destination, WANTED, writeSome);
    await part.append(bytes("wrong"));
    await part.discard();
    assert.deepEqual(await namesIn(dir), []);
  });
});

Deno.test("PartFile empties no file that a link in its place leads to", async () => {
  await inTempDir(async (destination, dir) => {
    await Deno.writeTextFile(join(dir, "precious"), "untouched");
    await Deno.symlink(join(dir, "precious"), `${destination}.part`);
    await assert.rejects(PartFile.open(destination, WANTED, writeSome), /is a link/);
    assert.equal(await Deno.readTextFile(join(dir, "precious")), "untouched");
  });
});
