import assert from "node:assert/strict";
import { join } from "node:path";
import { until, writeFakeBinDir } from "#support/fake_engine.ts";
import type { FakeScript } from "#support/fake_llama_server.ts";
import { FakeNode } from "#support/fake_node.ts";
import { NodeProcess } from "#support/node_process.ts";
import { isAlive, killIfAny } from "#support/processes.ts";

/** An engine that does not notice by itself that its node is gone. */
const OBLIVIOUS: FakeScript = { ignoresStdin: true, ignoresSigterm: true };
/** Where no `setpriv` is found, as on other systems. */
const WITHOUT_SETPRIV = { PATH: "/nonexistent" };

async function killNode(fake: FakeNode): Promise<void> {
  fake.node.kill("SIGKILL");
  assert.equal((await fake.node.exited).signal, "SIGKILL");
}

Deno.test("kill -9 of mesh-llm: the kernel ends llama-server at once", async () => {
  await using fake = await FakeNode.ready({ script: OBLIVIOUS });
  const { pid } = await fake.engine();
  try {
    await killNode(fake);
    await until(async () => !(await isAlive(pid)), "the end of the engine");
  } finally {
    killIfAny(pid);
  }
});

Deno.test("kill -9 of mesh-llm: an engine that follows its input ends by itself", async () => {
  await using fake = await FakeNode.ready({ env: WITHOUT_SETPRIV });
  const { pid } = await fake.engine();
  try {
    await killNode(fake);
    await until(async () => !(await isAlive(pid)), "the end of the engine");
  } finally {
    killIfAny(pid);
  }
});

/** A program of somebody else that only has the name of ours. */
async function startNamesake(dir: string): Promise<Deno.ChildProcess> {
  const path = join(dir, "llama-server");
  await Deno.copyFile("/bin/sleep", path);
  await Deno.chmod(path, 0o755);
  return new Deno.Command(path, { args: ["600"], stdin: "null", stdout: "null", stderr: "null" })
    .spawn();
}

Deno.test("kill -9 of mesh-llm: the next start ends what was left, and nothing else", async () => {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-namesake-" });
  const namesake = await startNamesake(dir);
  await using fake = await FakeNode.ready({ script: OBLIVIOUS, env: WITHOUT_SETPRIV });
  const { pid } = await fake.engine();
  try {
    await killNode(fake);
    assert.equal(await isAlive(pid), true);
    await claim(fake, namesake.pid);
    const { homeDir } = fake.node;
    const args = ["--bin-dir", await writeFakeBinDir(dir, {}), "--model", fake.modelPath];
    await using next = await NodeProcess.start({ homeDir, args });
    await next.line("API: ");
    assert.equal(await isAlive(pid), false);
    assert.equal(await isAlive(namesake.pid), true);
    await next.told(new RegExp(`Ended llama-server, process ${pid}\\b`));
    await next.line("Ready: ");
    assert.equal(await isAlive(namesake.pid), true);
    await next.stop();
    assert.equal(await isAlive(namesake.pid), true);
  } finally {
    killIfAny(pid);
    namesake.kill("SIGKILL");
    await namesake.status;
    await Deno.remove(dir, { recursive: true });
  }
});

/** Puts a process among the children of a dead node, as when its number was given out again. */
async function claim({ node }: FakeNode, pid: number): Promise<void> {
  const runDir = join(node.homeDir, "run", String(node.pid));
  const names = (await Array.fromAsync(Deno.readDir(runDir))).map(({ name }) => name);
  const own = names.find((name) => /^\d+\.json$/.test(name)) ?? "";
  const record = JSON.parse(await Deno.readTextFile(join(runDir, own)));
  record.process.pid = pid;
  await Deno.writeTextFile(join(runDir, `${pid}.json`), JSON.stringify(record));
}
