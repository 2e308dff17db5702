import assert from "node:assert/strict";
import { join } from "node:path";
import {
  engineEntries,
  FAKE_SERVER,
  FakeRelease,
  type FakeReleaseOptions,
  makeTarGz,
  makeZip,
} from "#support/fake_release.ts";
import type { TransferProgress } from "~/base/progress.ts";
import { runCommand } from "~/base/io/command.ts";
import type { EngineInstall } from "~/engine/install.ts";
import { findEngine, type FindEngineOptions } from "~/engine/io/find_engine.ts";
import { listInstalled } from "~/engine/io/install_dir.ts";
import { tryRelease, type TryReleaseOptions } from "~/engine/io/release.ts";
import { NATIVE_RELEASES } from "~/engine/native.ts";

const TAG = NATIVE_RELEASES.tag;
const CPU = `llama-${TAG}-bin-ubuntu-x64.tar.gz`;
const VULKAN = `llama-${TAG}-bin-ubuntu-vulkan-x64.tar.gz`;
/** Only there so that a search that never ends fails the test instead of hanging it. */
const DEADLINE_MS = 60_000;

interface Scene {
  readonly server: FakeRelease;
  readonly home: string;
  readonly reports: TransferProgress[];
  get(more?: Partial<TryReleaseOptions>): Promise<EngineInstall>;
}

async function play(options: FakeReleaseOptions, run: (scene: Scene) => Promise<void>) {
  const home = await Deno.makeTempDir({ prefix: "mesh-llm-release-" });
  await using server = new FakeRelease(options);
  const reports: TransferProgress[] = [];
  const get = async (more: Partial<TryReleaseOptions> = {}) => {
    const answer = await tryRelease({
      engineDir: join(home, "engine"),
      platform: "linux-x64",
      accelerators: ["cpu"],
      releases: NATIVE_RELEASES,
      apiBase: server.url,
      report: (progress) => void reports.push(progress),
      signal: AbortSignal.timeout(DEADLINE_MS),
      ...more,
    });
    assert.ok(answer.kind === "found");
    return answer.install;
  };
  try {
    await run({ server, home, reports, get });
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

async function cpuArchive(): Promise<FakeReleaseOptions["archives"]> {
  return { [CPU]: await makeTarGz(engineEntries()) };
}

async function versionOf({ server }: EngineInstall): Promise<string> {
  const { command, leadingArgs, env } = server;
  const args = [...leadingArgs, "--version"];
  return (await runCommand({ command, args, env, timeoutMs: DEADLINE_MS })).stderr;
}

async function installedNames(home: string): Promise<string[]> {
  const engines = await listInstalled(join(home, "engine"));
  return engines.map(({ dir }) => dir.slice(dir.lastIndexOf("/") + 1));
}

Deno.test("tryRelease() installs an archive with modes and links, ready to run", async () => {
  await play({ archives: await cpuArchive() }, async ({ server, home, reports, get }) => {
    const install = await get();
    assert.equal(install.origin, "release");
    assert.match(await versionOf(install), /version: 0\.7\.0 \(build 11669/);
    assert.match(install.rpcServer?.command ?? "", /rpc-server$/);
    assert.equal(server.requests[0]?.path, `/repos/ggml-org/llama.cpp/releases/tags/${TAG}`);
    assert.deepEqual(await installedNames(home), [`release-${TAG}-linux-x64-cpu`]);
    assert.equal(reports.at(-1)?.isDone, true);
    assert.equal(reports.at(-1)?.doneBytes, reports.at(-1)?.totalBytes);
    // Nothing is left but the engine itself.
    assert.deepEqual(await Array.fromAsync(Deno.readDir(join(home, "engine", "downloads"))), []);
  });
});

Deno.test("tryRelease() installs a zip for Windows, its libraries from a second one included", async () => {
  const entries = [{ path: "llama-server.exe", text: FAKE_SERVER }];
  const archives = {
    [`llama-${TAG}-bin-win-cuda-12.4-x64.zip`]: makeZip(entries),
    ["cudart-llama-bin-win-cuda-12.4-x64.zip"]: makeZip([{ path: "cudart64_12.dll", text: "x" }]),
  };
  await play({ archives }, async ({ get }) => {
    const install = await get({ platform: "windows-x64", accelerators: ["cuda", "cpu"] });
    assert.match(await versionOf(install), /0\.7\.0/);
    assert.ok(await Deno.stat(join(install.server.command, "..", "cudart64_12.dll")));
    assert.deepEqual(install.server.env, {});
  });
});

Deno.test("tryRelease() takes the next accelerator when a build does not run here", async () => {
  const broken = "#!/bin/sh\necho 'libvulkan.so.1: cannot open shared object file' >&2\nexit 127\n";
  const archives = {
    ...await cpuArchive(),
    [VULKAN]: await makeTarGz(engineEntries(broken)),
  };
  await play({ archives }, async ({ home, get }) => {
    const install = await get({ accelerators: ["vulkan", "cpu"] });
    assert.match(install.source, new RegExp(CPU));
    assert.deepEqual(await installedNames(home), [`release-${TAG}-linux-x64-cpu`]);
    await assert.rejects(get({ accelerators: ["vulkan"] }), /libvulkan\.so\.1: cannot open/);
  });
});

Deno.test("tryRelease() refuses an archive with another digest than stated", async () => {
  const options = { archives: await cpuArchive(), stated: { digest: `sha256:${"0".repeat(64)}` } };
  await play(options, async ({ home, get }) => {
    await assert.rejects(get(), /SHA-256/);
    assert.deepEqual(await installedNames(home), []);
  });
});

Deno.test("tryRelease() refuses an archive without a stated digest", async () => {
  await play(
    { archives: await cpuArchive(), stated: { digest: null } },
    async ({ server, get }) => {
      await assert.rejects(get(), /no checked archive/);
      assert.equal(server.downloads.length, 0);
    },
  );
});

Deno.test("tryRelease() goes on where a download was cut", async () => {
  const archives = await cpuArchive();
  const bytes = archives[CPU] ?? new Uint8Array();
  const half = Math.floor(bytes.byteLength / 2);
  const onDownload: FakeReleaseOptions["onDownload"] = async (_request, reply, downloads) => {
    if (downloads > 1) return false;
    await reply.head(200, { "content-length": String(bytes.byteLength), etag: '"v1"' });
    await reply.body(bytes.subarray(0, half));
    return true;
  };
  await play({ archives, onDownload }, async ({ server, get }) => {
    assert.match(await versionOf(await get()), /0\.7\.0/);
    assert.deepEqual(server.downloads.map(({ headers }) => headers.get("range")), [
      null,
      `bytes=${half}-`,
    ]);
  });
});

Deno.test("tryRelease() leaves nothing of an archive that reaches outside", async () => {
  const evil = await makeTarGz([...engineEntries(), { path: "../../escaped", text: "x" }]);
  await play({ archives: { [CPU]: evil } }, async ({ home, get }) => {
    await assert.rejects(get(), /unsafe path/);
    assert.deepEqual(await installedNames(home), []);
    const names = (await Array.fromAsync(Deno.readDir(join(home, "engine")))).map((it) => it.name);
    assert.deepEqual(names, ["downloads"]);
  });
});

Deno.test("tryRelease() says that an archive has no llama-server", async () => {
  const archives = { [CPU]: await makeTarGz([{ path: "README", text: "nothing here" }]) };
  await play({ archives }, ({ get }) => assert.rejects(get(), /holds no llama-server/));
});

Deno.test("tryRelease() says what the release API answered", async () => {
  await play({ archives: {} }, async ({ server, get }) => {
    await assert.rejects(get(), /no checked archive for linux-x64 with cpu/);
    await assert.rejects(get({ apiBase: `${server.url}/download` }), /answered 404/);
  });
});

Deno.test("tryRelease() gives up at once on a server that cannot be reached", async () => {
  await play({ archives: {} }, async ({ get }) => {
    const closed = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const apiBase = `http://127.0.0.1:${(closed.addr as Deno.NetAddr).port}`;
    closed.close();
    await assert.rejects(get({ apiBase }), /127\.0\.0\.1:\d+ cannot be reached/);
    await assert.rejects(get({ apiBase: "http://nowhere.invalid" }), /nowhere\.invalid cannot/);
  });
});

Deno.test("tryRelease() makes anew what a killed start left half made", async () => {
  await play({ archives: await cpuArchive() }, async ({ home, get }) => {
    const name = `release-${TAG}-linux-x64-cpu`;
    await Deno.mkdir(join(home, "engine", `.${name}.new`, "llama.cpp"), { recursive: true });
    await Deno.mkdir(join(home, "engine", name));
    await Deno.writeTextFile(join(home, "engine", name, "llama-server"), "half a file");
    assert.match(await versionOf(await get()), /0\.7\.0/);
  });
});

function searchIn(home: string, apiBase: string): FindEngineOptions {
  return {
    home,
    allowDownload: true,
    accelerators: [],
    report: () => {},
    onSourceFailure: () => {},
    signal: AbortSignal.timeout(DEADLINE_MS),
    releaseApiBase: apiBase,
  };
}

Deno.test("findEngine() downloads once when two starts come at once, and never again", async () => {
  await play({ archives: await hostArchive() }, async ({ server, home }) => {
    const both = await Promise.all([
      findEngine(searchIn(home, server.url)),
      findEngine(searchIn(home, server.url)),
    ]);
    assert.deepEqual(both[0], both[1]);
    assert.equal(server.downloads.length, 1);
    const requests = server.requests.length;
    assert.deepEqual(await findEngine(searchIn(home, server.url)), both[0]);
    assert.equal(server.requests.length, requests);
  });
});

Deno.test("findEngine() downloads once when two processes start at once", async () => {
  await play({ archives: await hostArchive() }, async ({ server, home }) => {
    const config = new URL("../../../deno.json", import.meta.url).pathname;
    const module = new URL("../../../lib/engine/io/find_engine.ts", import.meta.url).href;
    const code = `
      const { findEngine } = await import(${JSON.stringify(module)});
      const options = ${JSON.stringify(searchIn(home, server.url))};
      const quiet = { report: () => {}, onSourceFailure: () => {} };
      const signal = AbortSignal.timeout(${DEADLINE_MS});
      console.log((await findEngine({ ...options, ...quiet, signal })).source);
      Deno.exit(0);`;
    const start = () =>
      runCommand({
        command: Deno.execPath(),
        args: ["run", "--quiet", "-A", "--config", config, "--ext=ts", "-"],
        stdin: code,
        timeoutMs: DEADLINE_MS,
      });
    const results = await Promise.all([start(), start(), start()]);
    for (const { code, stdout, stderr } of results) {
      assert.equal(code, 0, stderr);
      assert.match(stdout, /^release archive llama-/);
    }
    assert.equal(server.downloads.length, 1);
    assert.equal((await installedNames(home)).length, 1);
  });
});

/** An archive under the name that this very machine looks for. */
async function hostArchive(): Promise<FakeReleaseOptions["archives"]> {
  const os = Deno.build.os === "darwin" ? "macos" : "ubuntu";
  const arch = Deno.build.arch === "aarch64" ? "arm64" : "x64";
  return { [`llama-${TAG}-bin-${os}-${arch}.tar.gz`]: await makeTarGz(engineEntries()) };
}
