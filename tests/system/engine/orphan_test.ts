import assert from "node:assert/strict";
import type { ServerPlan } from "~/engine/command_line.ts";
import { openRunDir } from "~/engine/io/run_dir.ts";
import { ensureTestEngine } from "#support/engine.ts";
import { startEngineOwner } from "#support/engine_owner.ts";
import { fakeEngineInstall, until } from "#support/fake_engine.ts";
import type { FakeScript } from "#support/fake_llama_server.ts";
import { ensureTestModel } from "#support/model.ts";

const PLAN: ServerPlan = {
  modelPath: "/models/scripted.gguf",
  modelAlias: "scripted",
  contextTokens: 512,
  slots: 1,
};

async function withHome(use: (home: string) => Promise<void>): Promise<void> {
  const home = await Deno.makeTempDir();
  try {
    await use(home);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

async function startOwner(home: string, script: FakeScript, usesSetpriv: boolean) {
  const install = await fakeEngineInstall(home, script);
  return await startEngineOwner({ home, install, plan: PLAN, usesSetpriv });
}

function isGone(pid: number): boolean {
  try {
    return / [ZX] /.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return true;
  }
}

const STUBBORN: FakeScript = { ignoresStdin: true, ignoresSigterm: true };

Deno.test("kill -9 of its owner ends a server through the kernel", async () => {
  await withHome(async (home) => {
    const owner = await startOwner(home, STUBBORN, true);
    await owner.kill();
    await until(() => isGone(owner.serverPid), "the server ends with its owner");
  });
});

Deno.test("kill -9 of its owner ends a server that follows its input", async () => {
  await withHome(async (home) => {
    const owner = await startOwner(home, { ignoresSigterm: true }, false);
    await owner.kill();
    await until(() => isGone(owner.serverPid), "the server ends with its owner");
  });
});

Deno.test("a server that outlives its owner in spite of all is ended at the next start", async () => {
  await withHome(async (home) => {
    const owner = await startOwner(home, STUBBORN, false);
    await owner.kill();
    // It lives, and would for ever.
    assert.ok(!isGone(owner.serverPid));
    const runDir = await openRunDir(home);
    await until(() => isGone(owner.serverPid), "the server is ended");
    await runDir.close();
  });
});

Deno.test("kill -9 of its owner ends the real llama-server without help of the kernel", async () => {
  const [install, modelPath] = await Promise.all([ensureTestEngine(), ensureTestModel()]);
  await withHome(async (home) => {
    const plan = { ...PLAN, modelPath };
    const owner = await startEngineOwner({ home, install, plan, usesSetpriv: false });
    assert.ok(!isGone(owner.serverPid));
    await owner.kill();
    await until(() => isGone(owner.serverPid), "llama-server ends with its owner");
  });
});
