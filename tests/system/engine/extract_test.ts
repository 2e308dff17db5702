import assert from "node:assert/strict";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { zipSync } from "fflate";
import { engineEntries, type FakeEntry, makeTarGz, makeZip } from "#support/fake_release.ts";
import { ArchiveError } from "~/engine/archive.ts";
import { unpackArchive } from "~/engine/io/extract.ts";

const LIMITS = { entriesMax: 100, totalBytesMax: 1_000_000 };

async function inTempDir(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-extract-" });
  try {
    await run(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function unpack(dir: string, name: string, bytes: Uint8Array): Promise<string[]> {
  await Deno.writeFile(join(dir, name), bytes);
  await Deno.mkdir(join(dir, "out"), { recursive: true });
  const signal = new AbortController().signal;
  return await unpackArchive(join(dir, name), join(dir, "out"), { signal, limits: LIMITS });
}

async function refuses(entries: FakeEntry[], message: RegExp): Promise<void> {
  await inTempDir(async (dir) => {
    const unpacking = unpack(dir, "a.tar.gz", await makeTarGz(entries));
    await assert.rejects(unpacking, (error) => {
      assert.ok(error instanceof ArchiveError, String(error));
      assert.match(error.message, message);
      return true;
    });
    assert.deepEqual((await Array.fromAsync(Deno.readDir(dir))).map(({ name }) => name).sort(), [
      "a.tar.gz",
      "out",
    ]);
  });
}

Deno.test("unpackArchive() unpacks a tar with modes and links", async () => {
  await inTempDir(async (dir) => {
    const paths = await unpack(dir, "a.tar.gz", await makeTarGz(engineEntries()));
    const out = join(dir, "out", "llama-b11669");
    assert.deepEqual(paths.sort(), [
      "llama-b11669/LICENSE",
      "llama-b11669/libggml.so",
      "llama-b11669/libggml.so.0",
      "llama-b11669/llama-server",
      "llama-b11669/rpc-server",
    ]);
    assert.equal(((await Deno.stat(join(out, "llama-server"))).mode ?? 0) & 0o777, 0o755);
    assert.equal(((await Deno.stat(join(out, "LICENSE"))).mode ?? 0) & 0o777, 0o644);
    assert.equal(await Deno.readLink(join(out, "libggml.so")), "libggml.so.0");
  });
});

Deno.test("unpackArchive() takes away what a mode grants beyond running", async () => {
  await inTempDir(async (dir) => {
    await unpack(dir, "a.tar.gz", await makeTarGz([{ path: "a", text: "x", mode: 0o6777 }]));
    assert.equal(((await Deno.stat(join(dir, "out", "a"))).mode ?? 0) & 0o7777, 0o755);
  });
});

Deno.test("unpackArchive() makes a hard link a link", async () => {
  await inTempDir(async (dir) => {
    const link = { path: "x/b", target: "x/a", type: "link" as const };
    await unpack(dir, "a.tar.gz", await makeTarGz([{ path: "x/a", text: "same" }, link]));
    assert.equal(await Deno.readTextFile(join(dir, "out", "x", "b")), "same");
  });
});

Deno.test("unpackArchive() unpacks a zip", async () => {
  await inTempDir(async (dir) => {
    const entries = [
      { path: "build/llama-server.exe", text: "program" },
      { path: "build/empty.txt" },
      { path: "build/large.bin", text: "0123456789".repeat(50_000) },
    ];
    const paths = await unpack(dir, "a.zip", makeZip(entries));
    assert.deepEqual(paths.sort(), entries.map(({ path }) => path).sort());
    const out = join(dir, "out", "build");
    assert.equal(await Deno.readTextFile(join(out, "llama-server.exe")), "program");
    assert.equal((await Deno.stat(join(out, "empty.txt"))).size, 0);
    assert.equal((await Deno.stat(join(out, "large.bin"))).size, 500_000);
  });
});

Deno.test("unpackArchive() takes folders and stored files in a zip", async () => {
  await inTempDir(async (dir) => {
    const text = new TextEncoder().encode("stored");
    const bytes = zipSync({ "a/": new Uint8Array(), "a/b": [text, { level: 0 }] });
    assert.deepEqual(await unpack(dir, "a.zip", bytes), ["a/b"]);
    assert.equal(await Deno.readTextFile(join(dir, "out", "a", "b")), "stored");
  });
});

Deno.test("unpackArchive() refuses paths that lead outside", async () => {
  await refuses([{ path: "../escaped", text: "x" }], /unsafe path/);
  await refuses([{ path: "/tmp/mesh-llm-escaped", text: "x" }], /unsafe path/);
  await refuses([{ path: "a/../../escaped", text: "x" }], /unsafe path/);
});

Deno.test("unpackArchive() refuses links that lead outside, and writes through none", async () => {
  await refuses([{ path: "a", target: "../..", type: "symlink" }], /leads outside/);
  await refuses([{ path: "a", target: "/etc", type: "symlink" }], /leads outside/);
  await refuses([
    { path: "a", target: "b", type: "symlink" },
    { path: "a/file", text: "written through a link" },
  ], /in the way/);
});

Deno.test("unpackArchive() refuses links that lead outside only together", async () => {
  // By its letters the second stays at "a/b/a.tar.gz"; followed, it is the archive beside the folder.
  await refuses([
    { path: "a/b/c/file", text: "x" },
    { path: "a/b/c/up", target: "../..", type: "symlink" },
    { path: "out", target: "a/b/c/up/../../a.tar.gz", type: "symlink" },
  ], /"out" leads nowhere inside/);
  await refuses([{ path: "a", target: "b", type: "symlink" }], /leads nowhere inside/);
});

Deno.test("unpackArchive() refuses devices, doubles, and too many entries", async () => {
  await refuses([{ path: "dev", type: "character-device" }], /neither file nor folder/);
  await refuses([{ path: "a", text: "1" }, { path: "A", text: "2" }], /twice/);
  const many = Array.from({ length: 101 }, (_, index) => ({ path: `f${index}`, text: "x" }));
  await refuses(many, /more than 100 entries/);
});

Deno.test("unpackArchive() stops a bomb at the limit", async () => {
  const zeros = "\0".repeat(2_000_000);
  await refuses([{ path: "bomb", text: zeros }], /come out of it/);
  await inTempDir(async (dir) => {
    const bytes = makeZip([{ path: "bomb", text: zeros }]);
    assert.ok(bytes.byteLength < 10_000);
    await assert.rejects(unpack(dir, "a.zip", bytes), /come out of it/);
  });
});

Deno.test("unpackArchive() refuses what is cut off or no archive at all", async () => {
  const [tar, zip] = [await makeTarGz(engineEntries()), makeZip([{ path: "a", text: "abc" }])];
  const noise = crypto.getRandomValues(new Uint8Array(1000));
  const broken: [string, Uint8Array][] = [
    ["a.tar.gz", tar.subarray(0, tar.byteLength / 2)],
    ["a.tar.gz", noise],
    ["a.tar.gz", new Uint8Array(gzipSync(noise))],
    ["a.zip", zip.subarray(0, 32)],
    ["a.zip", noise],
    ["a.zip", new Uint8Array()],
  ];
  for (const [name, bytes] of broken) {
    await inTempDir((dir) => assert.rejects(unpack(dir, name, bytes), ArchiveError));
  }
});

Deno.test("unpackArchive() refuses a zip that leads outside", async () => {
  for (const path of ["../escaped", "/escaped", "..\\escaped", "C:\\escaped"]) {
    await inTempDir((dir) =>
      assert.rejects(unpack(dir, "a.zip", makeZip([{ path, text: "x" }])), ArchiveError)
    );
  }
});
