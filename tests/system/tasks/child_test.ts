import assert from "node:assert/strict";
import { join } from "node:path";
import { outputOf, runChild } from "../../../tasks/lib/child.ts";

const LIMIT_MS = 60_000;

/** Runs `source` as a program of its own. */
function runSource(source: string) {
  return runChild(Deno.execPath(), { args: ["eval", source], limitMs: LIMIT_MS });
}

/** Runs a script of the shell, which is under way at once: it is to be ended in the middle. */
function runScript(script: string, limitMs: number) {
  return runChild("sh", { args: ["-c", script], limitMs });
}

Deno.test("runChild() tells the exit status", async () => {
  assert.deepEqual(await runSource("Deno.exit(0)"), { exitCode: 0 });
  assert.deepEqual(await runSource("Deno.exit(7)"), { exitCode: 7 });
});

Deno.test("runChild() passes folder and environment on", async () => {
  const folder = await Deno.makeTempDir({ prefix: "mesh-llm-test-" });
  try {
    const end = await runChild(Deno.execPath(), {
      args: ["eval", "Deno.writeTextFileSync('seen', Deno.env.get('MESH_LLM_CHILD') ?? '')"],
      cwd: folder,
      env: { MESH_LLM_CHILD: "yes" },
      limitMs: LIMIT_MS,
    });
    assert.equal(end.exitCode, 0);
    assert.equal(await Deno.readTextFile(join(folder, "seen")), "yes");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Whether a process of that id runs (and is no zombie). */
async function isRunning(pid: number): Promise<boolean> {
  try {
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
    return !/\) [ZX] /.test(stat);
  } catch {
    return false;
  }
}

Deno.test("runChild() ends a program and its children at the limit", async () => {
  const folder = await Deno.makeTempDir({ prefix: "mesh-llm-test-" });
  const pidFile = join(folder, "pid");
  try {
    const end = await runScript(`sleep 600 & echo $! > '${pidFile}'; wait`, 5_000);
    assert.match(end.stoppedBecause ?? "", /after 5 s/);
    assert.notEqual(end.exitCode, 0);
    const pid = Number(await Deno.readTextFile(pidFile));
    assert.ok(pid > 0);
    const deadlineMs = Date.now() + LIMIT_MS;
    while (await isRunning(pid)) assert.ok(Date.now() < deadlineMs, "the grandchild still runs");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("runChild() kills a program that ignores the polite signal", async () => {
  const end = await runScript("trap '' TERM; while :; do sleep 600; done", 4_000);
  assert.match(end.stoppedBecause ?? "", /after 4 s/);
  assert.equal(end.exitCode, 128 + 9);
});

/** Runs a script of the shell to its end, and tells what it printed. */
async function textOf(script: string): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  const end = await runChild("sh", {
    args: ["-c", script],
    limitMs: LIMIT_MS,
    onOutput: (bytes) => void (text += decoder.decode(bytes, { stream: true })),
  });
  assert.deepEqual(end, { exitCode: 0 });
  return text;
}

Deno.test("runChild() hands over all that is printed, on both outputs", async () => {
  const text = await textOf("seq 1 50000; echo trouble >&2");
  assert.ok(text.includes("trouble\n"));
  assert.equal(
    text.replace("trouble\n", ""),
    Array.from({ length: 50_000 }, (_, i) => `${i + 1}\n`).join(""),
  );
});

Deno.test("runChild() does not wait for a child that was left behind and keeps the output open", async () => {
  const text = await textOf("sleep 600 & echo $!");
  Deno.kill(Number(text), "SIGKILL");
});

Deno.test("outputOf() returns what was printed, or undefined on failure", async () => {
  const say = (source: string) => outputOf(Deno.execPath(), ["eval", source], ".");
  assert.equal(await say("console.log('hello')"), "hello\n");
  assert.equal(await say("Deno.exit(1)"), undefined);
  assert.equal(await outputOf("mesh-llm-no-such-program", [], "."), undefined);
});
