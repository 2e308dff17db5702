import assert from "node:assert/strict";
import { FakeNode } from "#support/fake_node.ts";
import { runProgram } from "#support/node_process.ts";

async function inHome(work: (homeDir: string) => Promise<void>): Promise<void> {
  const homeDir = await Deno.makeTempDir({ prefix: "mesh-llm-ports-" });
  try {
    await work(homeDir);
  } finally {
    await Deno.remove(homeDir, { recursive: true });
  }
}

Deno.test("a port that is taken ends the program with the flag that would help", async (t) => {
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  for (const flag of ["--port", "--console"]) {
    const other = flag === "--port" ? "--console" : "--port";
    await t.step(flag, async () => {
      await inHome(async (homeDir) => {
        const args = ["serve", "--home", homeDir, flag, String(port), other, "0"];
        const { code, stdout, stderr } = await runProgram(args);
        assert.equal(code, 1);
        assert.match(stderr, new RegExp(`^mesh-llm: .*\\b${port}\\b.*${flag}\\b`, "m"));
        assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
        assert.match(stdout, /^Pid: \d+\nInvite token: \S+\n$/);
        // Whoever comes next finds the home as if nothing had been tried.
        const names = await Array.fromAsync(Deno.readDir(`${homeDir}/run`));
        const left = names.filter(({ isDirectory }) => isDirectory);
        assert.deepEqual(left, []);
      });
    });
  }
});

Deno.test("a port that somebody took before the engine could is no fault: another is tried", async () => {
  await using fake = await FakeNode.ready({ script: { load: { bindFailures: 2 } } });
  const ports = (await fake.starts()).map(({ port }) => port);
  assert.equal(ports.length, 3);
  assert.equal(new Set(ports).size, 3);
  const response = await fake.chat();
  assert.equal(response.status, 200);
  await response.body?.cancel();
  assert.doesNotMatch(fake.node.stderr, /warning|error/);
});

Deno.test("an engine that never gets a port ends the program, and says why", async () => {
  await using fake = await FakeNode.start({ script: { load: { bindFailures: 100 } } });
  assert.equal((await fake.node.exited).code, 1);
  assert.match(fake.node.stderr, /^mesh-llm: llama-server could not listen: 6 ports in a row/m);
  assert.equal((await fake.starts()).length, 6);
});
