import assert from "node:assert/strict";
import { join } from "node:path";
import { MIB } from "~/base/units.ts";
import { inspectEngine } from "~/engine/io/inspect.ts";
import type { EngineInstall } from "~/engine/install.ts";
import { fakeEngineInstall } from "#support/fake_engine.ts";
import type { FakeScript } from "#support/fake_llama_server.ts";

const OPTIONS = { parentEnv: {} };

async function withFake(
  script: FakeScript,
  use: (install: EngineInstall, dir: string) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await use(await fakeEngineInstall(dir, script), dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

Deno.test("inspectEngine() asks the programs what they are", async () => {
  const devices = ["CUDA0: NVIDIA T4 (16384 MiB, 15000 MiB free)"];
  const script = { version: "0.8.1", build: 12000, devices, rpcVersion: "9.1.0" };
  await withFake(script, async (install) => {
    const facts = await inspectEngine(install, OPTIONS);
    assert.equal(facts.version, "0.8.1");
    assert.equal(facts.build, 12000);
    assert.equal(facts.rpcVersion, "9.1.0");
    assert.ok(facts.flags.has("--ctx-size") && facts.flags.has("-ngl"));
    const [device] = facts.devices;
    assert.deepEqual([device?.name, device?.freeBytes], ["CUDA0", 15000 * MIB]);
  });
});

Deno.test("inspectEngine() knows of no RPC where a build has no such server", async () => {
  await withFake({}, async ({ rpcServer: _, ...install }) => {
    assert.equal((await inspectEngine(install, OPTIONS)).rpcVersion, undefined);
  });
});

Deno.test("inspectEngine() asks only for devices while the files stay the same", async () => {
  const script = { version: "1.0", devices: ["A: a (1 MiB, 1 MiB free)"] };
  await withFake(script, async (install, dir) => {
    const options = { ...OPTIONS, cachePath: join(dir, "facts.json") };
    await inspectEngine(install, options);
    const kept = JSON.parse(await Deno.readTextFile(options.cachePath));
    await Deno.writeTextFile(options.cachePath, JSON.stringify({ ...kept, version: "kept" }));
    const again = await inspectEngine(install, options);
    assert.equal(again.version, "kept");
    assert.equal(again.devices[0]?.name, "A");
  });
});

Deno.test("inspectEngine() asks a build anew whose files changed", async () => {
  await withFake({ version: "1.0" }, async (install, dir) => {
    const options = { ...OPTIONS, cachePath: join(dir, "facts.json") };
    assert.equal((await inspectEngine(install, options)).version, "1.0");
    await fakeEngineInstall(dir, { version: "2.0.0-changed" });
    assert.equal((await inspectEngine(install, options)).version, "2.0.0-changed");
  });
});

Deno.test("inspectEngine() believes no file that was spoiled", async () => {
  await withFake({ version: "1.0" }, async (install, dir) => {
    const options = { ...OPTIONS, cachePath: join(dir, "facts.json") };
    await inspectEngine(install, options);
    await Deno.writeTextFile(options.cachePath, '{"format":1,"flags":[');
    assert.equal((await inspectEngine(install, options)).version, "1.0");
  });
});

Deno.test("inspectEngine() knows nothing of a program that cannot be run", async () => {
  await withFake({}, async (install, dir) => {
    const server = { command: join(dir, "missing"), leadingArgs: [], env: {} };
    const facts = await inspectEngine({ ...install, server, rpcServer: server }, OPTIONS);
    assert.deepEqual(facts, { flags: new Set(), devices: [] });
  });
});

Deno.test("inspectEngine() knows nothing of a program that does not end", async () => {
  await withFake({}, async (install) => {
    const server = { command: "/bin/sleep", leadingArgs: ["600"], env: {} };
    const hanging = { command: "/bin/sh", leadingArgs: ["-c", "exec sleep 600"], env: {} };
    const options = { ...OPTIONS, timeoutMs: 100 };
    const facts = await inspectEngine({ ...install, server, rpcServer: hanging }, options);
    assert.deepEqual(facts, { flags: new Set(), devices: [] });
  });
});
