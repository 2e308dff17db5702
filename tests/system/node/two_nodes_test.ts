import assert from "node:assert/strict";
import { join } from "node:path";
import { FakeNode } from "#support/fake_node.ts";
import { NodeProcess, runProgram } from "#support/node_process.ts";
import { isAlive } from "#support/processes.ts";

async function assertServes(fake: FakeNode): Promise<void> {
  const response = await fake.chat();
  assert.equal(response.status, 200);
  await response.body?.cancel();
}

Deno.test("two nodes on one machine, started at once, do not disturb each other", async () => {
  await using one = await FakeNode.start();
  await using two = await FakeNode.start();
  await Promise.all([one.node.line("Ready: "), two.node.line("Ready: ")]);
  await Promise.all([assertServes(one), assertServes(two)]);
  assert.notEqual((await one.status()).node_id, (await two.status()).node_id);
  assert.notEqual((await one.engine()).port, (await two.engine()).port);
  const { pid } = await two.engine();
  assert.equal((await one.node.stop()).code, 0);
  assert.equal(await isAlive(pid), true);
  await assertServes(two);
});

Deno.test("a home belongs to one node, unless the others are throw-away ones", async (t) => {
  await using first = await FakeNode.ready();
  const { homeDir } = first.node;
  const args = ["--bin-dir", first.binDir, "--model", first.modelPath];

  await t.step("a second node is refused, with what to do", async () => {
    await using second = await NodeProcess.start({ homeDir, args });
    assert.equal((await second.exited).code, 1);
    assert.equal(second.stdout, "");
    const told = `mesh-llm runs there already, process ${first.node.pid}`;
    assert.ok(second.stderr.startsWith(`mesh-llm: Cannot start on ${homeDir}: ${told}`));
    assert.match(second.stderr, /"mesh-llm stop".*--home/);
    await assertServes(first);
  });

  await t.step("a throw-away one runs beside it, under another identity", async () => {
    const keyBefore = await Deno.readTextFile(join(homeDir, "key"));
    const env = { MESH_LLM_EPHEMERAL_KEY: "1" };
    await using other = await NodeProcess.start({ homeDir, args, env });
    await other.line("Ready: ");
    const status = await (await fetch(`${await other.consoleBase()}/api/status`)).json();
    assert.notEqual(status.node_id, (await first.status()).node_id);
    assert.equal(await Deno.readTextFile(join(homeDir, "key")), keyBefore);
    await assertServes(first);
    // Commands about "the node of this home" mean the lasting one.
    const { stdout } = await runProgram(["status", "--json", "--home", homeDir]);
    assert.equal(JSON.parse(stdout).node_id, (await first.status()).node_id);
    // A console that is named means the node behind it.
    const port = new URL(await other.consoleBase()).port;
    const named = ["--console", port, "--home", homeDir];
    const told = await runProgram(["status", "--json", ...named]);
    assert.equal(JSON.parse(told.stdout).node_id, status.node_id);
    const { code } = await runProgram(["stop", ...named]);
    assert.equal(code, 0);
    assert.equal((await other.exited).code, 0);
    await assertServes(first);
  });

  await t.step("its identity is the same after a restart", async () => {
    const id = (await first.status()).node_id;
    assert.equal((await first.node.stop()).code, 0);
    await using again = await NodeProcess.start({ homeDir, args });
    await again.line("Ready: ");
    const status = await (await fetch(`${await again.consoleBase()}/api/status`)).json();
    assert.equal(status.node_id, id);
  });
});

Deno.test("of two that start on one home at the same moment, exactly one runs", async () => {
  await using model = await FakeNode.ready();
  const homeDir = await Deno.makeTempDir({ prefix: "mesh-llm-race-" });
  const args = ["--bin-dir", model.binDir, "--model", model.modelPath];
  {
    await using one = await NodeProcess.start({ homeDir, args });
    await using two = await NodeProcess.start({ homeDir, args });
    const ready = (node: NodeProcess) => node.line("Ready: ").then(() => true, () => false);
    const results = await Promise.all([ready(one), ready(two)]);
    assert.equal(results.filter(Boolean).length, 1, `${one.stderr}\n${two.stderr}`);
    const loser = results[0] ? two : one;
    assert.equal((await loser.exited).code, 1);
    assert.match(loser.stderr, /mesh-llm runs there already/);
  }
  await Deno.remove(homeDir, { recursive: true });
});
