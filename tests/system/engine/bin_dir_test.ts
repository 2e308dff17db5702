import assert from "node:assert/strict";
import { join } from "node:path";
import { FAKE_SERVER } from "#support/fake_release.ts";
import { UserError } from "~/base/errors.ts";
import { EngineNotFoundError } from "~/engine/find.ts";
import { tryBinDir } from "~/engine/io/bin_dir.ts";
import { findEngine } from "~/engine/io/find_engine.ts";
import { type EngineManifest, formatManifest } from "~/engine/manifest.ts";

const MANIFEST: EngineManifest = {
  origin: "debian",
  source: "Debian packages",
  platform: "linux-x64",
  accelerator: "cpu",
  version: "0.7.0",
  server: { program: "bin/llama-server", loader: "lib/ld.so", libraryPath: ["lib"] },
};

async function inTempDir(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-bin-dir-" });
  try {
    await run(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function writeProgram(path: string, mode = 0o755): Promise<void> {
  await Deno.mkdir(join(path, ".."), { recursive: true });
  await Deno.writeTextFile(path, FAKE_SERVER);
  await Deno.chmod(path, mode);
}

async function take(binDir: string) {
  const answer = await tryBinDir(binDir, "linux-x64");
  assert.ok(answer.kind === "found");
  return answer.install;
}

Deno.test("tryBinDir() takes the folder that was named, its RPC server included", async () => {
  await inTempDir(async (dir) => {
    const binDir = join(dir, "my llama");
    await writeProgram(join(binDir, "llama-server"));
    await writeProgram(join(binDir, "ggml-rpc-server"));
    const install = await take(binDir);
    assert.equal(install.origin, "bin-dir");
    assert.deepEqual(install.server, {
      command: join(binDir, "llama-server"),
      leadingArgs: [],
      env: {},
    });
    assert.equal(install.rpcServer?.command, join(binDir, "ggml-rpc-server"));
    await Deno.remove(join(binDir, "ggml-rpc-server"));
    assert.equal((await take(binDir)).rpcServer, undefined);
  });
});

Deno.test("tryBinDir() takes a folder that is an engine with its own loader", async () => {
  await inTempDir(async (dir) => {
    await writeProgram(join(dir, "bin", "llama-server"));
    await Deno.writeTextFile(join(dir, "engine.json"), formatManifest(MANIFEST));
    const install = await take(dir);
    assert.equal(install.origin, "bin-dir");
    assert.equal(install.server.command, join(dir, "lib", "ld.so"));
  });
});

Deno.test("tryBinDir() refuses a folder that is wrong, and says why", async () => {
  await inTempDir(async (dir) => {
    const wrong = async (binDir: string, reason: RegExp) => {
      await assert.rejects(tryBinDir(binDir, "linux-x64"), (error) => {
        assert.ok(error instanceof UserError);
        assert.match(error.message, reason);
        assert.ok(error.message.includes(binDir));
        return true;
      });
    };
    await wrong(join(dir, "absent"), /no such folder/);
    await Deno.mkdir(join(dir, "empty"));
    await wrong(join(dir, "empty"), /there is no llama-server in it/);
    await writeProgram(join(dir, "plain", "llama-server"), 0o644);
    await wrong(join(dir, "plain"), /not an executable file/);
    await wrong(join(dir, "plain", "llama-server"), /it is a file/);
    await Deno.mkdir(join(dir, "folder", "llama-server"), { recursive: true });
    await wrong(join(dir, "folder"), /not an executable file/);
  });
});

Deno.test("findEngine() never passes over a named folder that is wrong", async () => {
  await inTempDir(async (dir) => {
    await writeProgram(join(dir, "path", "llama-server"));
    const options = {
      home: join(dir, "home"),
      allowDownload: false,
      accelerators: [],
      report: () => {},
      onSourceFailure: () => {},
      signal: new AbortController().signal,
      path: join(dir, "path"),
    };
    assert.equal((await findEngine(options)).origin, "path");
    const naming = findEngine({ ...options, binDir: join(dir, "absent") });
    await assert.rejects(naming, (error) => !(error instanceof EngineNotFoundError));
    const named = await findEngine({ ...options, binDir: join(dir, "path") });
    assert.equal(named.origin, "bin-dir");
  });
});
