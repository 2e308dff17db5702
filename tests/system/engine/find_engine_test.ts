import assert from "node:assert/strict";
import { join } from "node:path";
import { FAKE_SERVER } from "#support/fake_release.ts";
import { writeFileAtomic } from "~/base/io/files.ts";
import { EngineNotFoundError } from "~/engine/find.ts";
import { packEngine, tryEmbedded } from "~/engine/io/embedded.ts";
import { findEngine, type FindEngineOptions } from "~/engine/io/find_engine.ts";
import { tryPath } from "~/engine/io/path_search.ts";
import { type EngineManifest, formatManifest } from "~/engine/manifest.ts";
import { NATIVE_RELEASES } from "~/engine/native.ts";
import { platformOf } from "~/engine/platform.ts";

const PLATFORM = platformOf(Deno.build) ?? "linux-x64";
/** Only there so that a search that never ends fails the test instead of hanging it. */
const DEADLINE_MS = 60_000;

interface Scene {
  readonly dir: string;
  readonly home: string;
  readonly failures: string[];
  find(more?: Partial<FindEngineOptions>): ReturnType<typeof findEngine>;
}

/** A home without an engine, on a machine whose every network place is out of reach. */
async function play(run: (scene: Scene) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-find-" });
  const home = join(dir, "home");
  const failures: string[] = [];
  const find = (more: Partial<FindEngineOptions> = {}) =>
    findEngine({
      home,
      allowDownload: true,
      accelerators: ["vulkan"],
      report: () => {},
      onSourceFailure: (source, reason) => void failures.push(`${source}: ${reason}`),
      signal: AbortSignal.timeout(DEADLINE_MS),
      releaseApiBase: "http://nowhere.invalid",
      aptDir: join(dir, "no-apt"),
      path: "",
      ...more,
    });
  try {
    await run({ dir, home, failures, find });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function writeProgram(path: string, text = FAKE_SERVER, mode = 0o755): Promise<void> {
  await Deno.mkdir(join(path, ".."), { recursive: true });
  await Deno.writeTextFile(path, text);
  await Deno.chmod(path, mode);
}

/** Puts an engine into a home as an earlier start would have. */
async function writeInstall(engineDir: string, name: string, more: Partial<EngineManifest> = {}) {
  const manifest: EngineManifest = {
    origin: "release",
    source: `made up, ${name}`,
    platform: PLATFORM,
    accelerator: "cpu",
    version: NATIVE_RELEASES.version,
    tag: NATIVE_RELEASES.tag,
    server: { program: "bin/llama-server", libraryPath: ["lib"] },
    ...more,
  };
  const dir = join(engineDir, name);
  await writeProgram(join(dir, "bin", "llama-server"));
  await Deno.mkdir(join(dir, "lib"));
  await Deno.writeTextFile(join(dir, "lib", "libggml.so.0"), "library");
  await Deno.symlink("libggml.so.0", join(dir, "lib", "libggml.so"));
  await writeFileAtomic(join(dir, "engine.json"), formatManifest(manifest));
  return dir;
}

Deno.test("findEngine() uses an engine in the home without asking anybody", async () => {
  await play(async ({ home, failures, find }) => {
    const engineDir = join(home, "engine");
    const dir = await writeInstall(engineDir, "good");
    await writeInstall(engineDir, "older", { tag: "b1" });
    await writeInstall(engineDir, ".half.new");
    const install = await find();
    assert.equal(install.dir, dir);
    assert.equal(install.origin, "release");
    assert.deepEqual(failures, []);
  });
});

Deno.test("findEngine() takes no folder for an engine that is not complete", async () => {
  await play(async ({ home, find }) => {
    const dir = await writeInstall(join(home, "engine"), "half");
    await Deno.remove(join(dir, "engine.json"));
    await assert.rejects(find(), EngineNotFoundError);
    await Deno.writeTextFile(join(dir, "engine.json"), "{");
    await assert.rejects(find(), EngineNotFoundError);
  });
});

Deno.test("findEngine() lists every place and its reason when there is no engine", async () => {
  await play(async ({ failures, find }) => {
    await assert.rejects(find(), (error) => {
      assert.ok(error instanceof EngineNotFoundError);
      assert.deepEqual(error.tried.map(({ source }) => source), [
        "embedded",
        "installed",
        "release archive",
        "Debian packages",
        "PATH",
      ]);
      return true;
    });
    assert.equal(failures[0], "release archive: nowhere.invalid cannot be reached");
    assert.equal(failures.filter((failure) => failure.includes("\n")).length, 0);
  });
});

Deno.test("findEngine() asks no network when downloads are switched off", async () => {
  await play(async ({ failures, find }) => {
    await assert.rejects(
      find({ allowDownload: false }),
      /not asked; a start and mesh-llm engine install fetch/,
    );
    assert.deepEqual(failures, []);
  });
});

Deno.test("findEngine() takes the llama-server on PATH last, and its neighbours", async () => {
  await play(async ({ dir, find }) => {
    await writeProgram(join(dir, "a", "llama-server"), FAKE_SERVER, 0o644);
    await writeProgram(join(dir, "b", "llama-server"));
    await writeProgram(join(dir, "c", "rpc-server"));
    const path = [
      "relative",
      "",
      join(dir, "absent"),
      ..."abc".split("").map((it) => join(dir, it)),
    ];
    const install = await find({ path: path.join(":") });
    assert.equal(install.origin, "path");
    assert.equal(install.server.command, join(dir, "b", "llama-server"));
    assert.equal(install.rpcServer?.command, join(dir, "c", "rpc-server"));
  });
});

Deno.test("findEngine() tells that the llama-server on PATH does not run", async () => {
  await play(async ({ dir, failures, find }) => {
    const broken = "#!/bin/sh\necho 'error while loading shared libraries' >&2\nexit 127\n";
    await writeProgram(join(dir, "a", "llama-server"), broken);
    await assert.rejects(find({ path: join(dir, "a") }), EngineNotFoundError);
    assert.match(failures.at(-1) ?? "", /^PATH: .*status 127: error while loading shared/);
  });
});

Deno.test("tryPath() finds the RPC server that a distribution keeps off PATH", async () => {
  await play(async ({ dir }) => {
    await writeProgram(join(dir, "usr", "bin", "llama-server"));
    const rpcServer = join(dir, "usr/libexec/x86_64-linux-gnu/llama/bin/ggml-rpc-server");
    await writeProgram(rpcServer);
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const path = join(dir, "usr", "bin");
    const answer = await tryPath({ path, platform: "linux-x64", signal });
    assert.ok(answer.kind === "found");
    assert.equal(answer.install.rpcServer?.command, rpcServer);
  });
});

/** An engine as the compiled program carries it: plain files, no modes, no links. */
async function embed(dir: string, more: Partial<EngineManifest> = {}): Promise<string> {
  const installDir = await writeInstall(dir, "to-embed", more);
  const outDir = join(dir, "embedded-engine");
  const packed = await packEngine({ installDir, outDir, signal: AbortSignal.timeout(DEADLINE_MS) });
  assert.deepEqual(packed.links, [{ path: "lib/libggml.so", target: "libggml.so.0" }]);
  for await (const entry of Deno.readDir(join(outDir, "blobs"))) {
    await Deno.chmod(join(outDir, "blobs", entry.name), 0o444);
  }
  return outDir;
}

Deno.test("findEngine() unpacks the embedded engine once, with modes and links", async () => {
  await play(async ({ dir, home, failures, find }) => {
    const embeddedDir = await embed(dir);
    const [first, second] = await Promise.all([find({ embeddedDir }), find({ embeddedDir })]);
    assert.deepEqual(first, second);
    assert.equal(first.origin, "embedded");
    assert.match(first.dir.slice(join(home, "engine").length + 1), /^[0-9a-f]{64}$/);
    assert.equal(((await Deno.stat(join(first.dir, "bin/llama-server"))).mode ?? 0) & 0o777, 0o755);
    assert.equal(await Deno.readTextFile(join(first.dir, "lib", "libggml.so")), "library");
    // Later starts do not need what was embedded any more.
    await Deno.remove(join(embeddedDir, "blobs"), { recursive: true });
    assert.deepEqual(await find({ embeddedDir }), first);
    assert.deepEqual(failures, []);
  });
});

Deno.test("tryEmbedded() refuses what is damaged or for another machine", async () => {
  await play(async ({ dir }) => {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const embeddedDir = await embed(dir);
    const options = { embeddedDir, engineDir: join(dir, "engine"), platform: PLATFORM, signal };
    const other = PLATFORM === "macos-x64" ? "macos-arm64" : "macos-x64";
    await assert.rejects(tryEmbedded({ ...options, platform: other }), /is for /);
    for await (const entry of Deno.readDir(join(embeddedDir, "blobs"))) {
      const path = join(embeddedDir, "blobs", entry.name);
      await Deno.chmod(path, 0o644);
      await Deno.writeTextFile(path, "changed");
    }
    await assert.rejects(tryEmbedded(options), /damaged/);
    assert.deepEqual(await Array.fromAsync(Deno.readDir(join(dir, "engine"))), []);
    await Deno.writeTextFile(join(embeddedDir, "embedded-engine.json"), "{}");
    await assert.rejects(tryEmbedded(options), /unreadable list/);
  });
});

Deno.test("packEngine() packs only what an earlier start installed", async () => {
  await play(async ({ dir }) => {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const packing = packEngine({ installDir: dir, outDir: join(dir, "out"), signal });
    await assert.rejects(packing, /it has no engine\.json/);
  });
});
