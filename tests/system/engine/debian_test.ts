import assert from "node:assert/strict";
import { join } from "node:path";
import type { TransferProgress } from "~/base/progress.ts";
import { runCommand } from "~/base/io/command.ts";
import { DebianError } from "~/engine/debian.ts";
import type { EngineProgram } from "~/engine/install.ts";
import { tryDebian, type TryDebianOptions } from "~/engine/io/debian.ts";
import { packEngine, tryEmbedded } from "~/engine/io/embedded.ts";
import { NATIVE_DEBIAN } from "~/engine/native.ts";
import { platformOf } from "~/engine/platform.ts";
import { upstreamVersion } from "~/engine/version.ts";

/** An index of 10 MB and packages of 13 MB, over a slow line. */
const DEADLINE_MS = 300_000;

const PLATFORM = platformOf(Deno.build);
assert.ok(PLATFORM !== undefined);

function optionsFor(home: string, more: Partial<TryDebianOptions> = {}): TryDebianOptions {
  return {
    engineDir: join(home, "engine"),
    platform: PLATFORM ?? "linux-x64",
    accelerator: "cpu",
    debian: NATIVE_DEBIAN,
    report: () => {},
    signal: AbortSignal.timeout(DEADLINE_MS),
    ...more,
  };
}

async function inTempDir(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-debian-" });
  try {
    await run(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Writes sources of apt that name one mirror. */
async function aptDirWith(dir: string, line: string): Promise<string> {
  const aptDir = join(dir, "apt");
  await Deno.mkdir(aptDir, { recursive: true });
  await Deno.writeTextFile(join(aptDir, "sources.list"), `${line}\n`);
  return aptDir;
}

async function ask({ command, leadingArgs, env, workingDir }: EngineProgram, args: string[]) {
  const cwd = workingDir === undefined ? {} : { cwd: workingDir };
  const all = [...leadingArgs, ...args];
  return await runCommand({ command, args: all, env, ...cwd, timeoutMs: DEADLINE_MS });
}

async function digestOfSystemState(): Promise<string> {
  const paths = ["/var/lib/apt/lists", "/var/cache/apt", "/var/lib/dpkg/status"];
  const args = ["-c", `find ${paths.join(" ")} -printf '%p %T@ %s\\n' 2>/dev/null | sort`];
  return (await runCommand({ command: "sh", args, timeoutMs: DEADLINE_MS })).stdout;
}

Deno.test("tryDebian() installs a llama.cpp that runs, and changes nothing of the system", async () => {
  await inTempDir(async (dir) => {
    const before = await digestOfSystemState();
    const reports: TransferProgress[] = [];
    const report = (progress: TransferProgress) => void reports.push(progress);
    const answer = await tryDebian(optionsFor(dir, { report }));
    assert.ok(answer.kind === "found");
    const { install } = answer;
    const { stderr, code } = await ask(install.server, ["--version"]);
    assert.equal(code, 0, stderr);
    const version = /^version: (\S+) \(build (\d+)/m.exec(stderr);
    assert.ok(version !== null, stderr);
    // What runs is what the install says that it is.
    assert.equal(upstreamVersion(install.source.split(" ").at(-1) ?? ""), version[1]);

    assert.ok(install.rpcServer !== undefined);
    await proveBackends(install.rpcServer);

    assert.equal(await digestOfSystemState(), before);
    const names = (await Array.fromAsync(Deno.readDir(join(dir, "engine")))).map((it) => it.name);
    assert.deepEqual(names.filter((name) => name.startsWith(".")), []);
    assert.deepEqual(await Array.fromAsync(Deno.readDir(join(dir, "engine", "downloads"))), []);
    assert.ok(reports.every(({ totalBytes }) => totalBytes === reports[0]?.totalBytes));
    assert.equal(reports.at(-1)?.isDone, true);

    await proveEmbedding(install.dir, dir);
    await proveOnlyOurLibraries(install.server);
  });
});

/** The same engine, packed and unpacked again as in the compiled program. */
async function proveEmbedding(installDir: string, dir: string): Promise<void> {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const embeddedDir = join(dir, "embedded-engine");
  const packed = await packEngine({ installDir, outDir: embeddedDir, signal });
  assert.ok(packed.files.length > 20 && packed.links.length > 5);
  const engineDir = join(dir, "other-home", "engine");
  const platform = PLATFORM ?? "linux-x64";
  const answer = await tryEmbedded({ embeddedDir, engineDir, platform, signal });
  assert.ok(answer.kind === "found");
  assert.equal(answer.install.origin, "embedded");
  assert.equal((await ask(answer.install.server, ["--version"])).code, 0);
  assert.ok(answer.install.rpcServer !== undefined);
  await proveBackends(answer.install.rpcServer);
}

/** Starts the RPC server on an address that is not ours, so that it says what it has and ends. */
async function proveBackends(rpcServer: EngineProgram): Promise<void> {
  const { stdout, stderr } = await ask(rpcServer, ["-H", "192.0.2.1", "-p", "50999"]);
  assert.match(stdout + stderr, /Starting RPC server v\d+\.\d+/);
}

/** Its own C library, not the system's: that is what lets it run on older systems. */
async function proveOnlyOurLibraries(server: EngineProgram): Promise<void> {
  const [libraryFlag = "", libraryPath = "", program = ""] = server.leadingArgs;
  const args = ["--list", libraryFlag, libraryPath, program];
  const { stdout, code } = await runCommand({
    command: server.command,
    args,
    timeoutMs: DEADLINE_MS,
  });
  assert.equal(code, 0);
  const [home = ""] = libraryPath.split(":");
  for (const [, path] of stdout.matchAll(/=> (\/\S+)/g)) assert.ok(path?.startsWith(home), path);
}

Deno.test("tryDebian() says in one line that a mirror does not have the suite", async () => {
  await using server = emptyMirror();
  await inTempDir(async (dir) => {
    const aptDir = await aptDirWith(dir, `deb http://127.0.0.1:${server.port}/debian stable main`);
    await assert.rejects(tryDebian(optionsFor(dir, { aptDir })), (error) => {
      assert.ok(error instanceof DebianError);
      assert.match(error.message, /^Debian forky cannot be read: .*Release/);
      assert.ok(!error.message.includes("\n"));
      return true;
    });
    assert.deepEqual(await Array.fromAsync(Deno.readDir(join(dir, "engine"))), []);
  });
});

Deno.test("tryDebian() says that a mirror cannot be reached", async () => {
  await inTempDir(async (dir) => {
    const aptDir = await aptDirWith(dir, "deb http://nowhere.invalid/debian sid main");
    const asking = tryDebian(optionsFor(dir, { aptDir }));
    await assert.rejects(asking, /cannot be read: .*nowhere\.invalid/);
  });
});

Deno.test("tryDebian() asks no mirror that is not Debian's", async () => {
  await inTempDir(async (dir) => {
    const aptDir = await aptDirWith(dir, "deb http://nowhere.invalid/ubuntu noble main universe");
    const asking = tryDebian(optionsFor(dir, { aptDir }));
    await assert.rejects(asking, /apt's sources name no mirror of Debian/);
    const without = tryDebian(optionsFor(dir, { aptDir: join(dir, "absent") }));
    await assert.rejects(without, /apt's sources name no mirror of Debian/);
  });
});

Deno.test("tryDebian() refuses a version outside of the tested range, and installs nothing", async () => {
  await inTempDir(async (dir) => {
    const tested = { minVersion: "0.0.1", belowVersion: "0.0.2" };
    const debian = { ...NATIVE_DEBIAN, tested };
    const asking = tryDebian(optionsFor(dir, { debian }));
    await assert.rejects(asking, /only versions from 0\.0\.1 to below 0\.0\.2 were tested/);
    assert.deepEqual(await Array.fromAsync(Deno.readDir(join(dir, "engine"))), []);
  });
});

Deno.test("tryDebian() says which package there is none of", async () => {
  await inTempDir(async (dir) => {
    const packages = { cpu: [...NATIVE_DEBIAN.packages.cpu, "no-such-package"], vulkan: [] };
    const debian = { ...NATIVE_DEBIAN, packages };
    const asking = tryDebian(optionsFor(dir, { debian }));
    await assert.rejects(asking, /lacks a package: .*no-such-package/);
  });
});

Deno.test("tryDebian() has nothing for platforms without Debian", async () => {
  const answer = await tryDebian(optionsFor("/nowhere", { platform: "macos-arm64" }));
  assert.deepEqual(answer, {
    kind: "absent",
    reason: "Debian's packages do not run on macos-arm64",
  });
});

Deno.test("tryDebian() stops when told to, and leaves no half engine", async () => {
  await inTempDir(async (dir) => {
    const stop = new AbortController();
    const report = () => stop.abort(new Error("stopped by the user"));
    const asking = tryDebian(optionsFor(dir, { signal: stop.signal, report }));
    await assert.rejects(asking, /stopped by the user/);
    const names = (await Array.fromAsync(Deno.readDir(join(dir, "engine")))).map((it) => it.name);
    assert.deepEqual(names, ["downloads"]);
  });
});

/** A mirror that has nothing. */
function emptyMirror(): AsyncDisposable & { port: number } {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => new Response(null, { status: 404 }),
  );
  return { port: server.addr.port, [Symbol.asyncDispose]: () => server.shutdown() };
}
