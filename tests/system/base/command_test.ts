import assert from "node:assert/strict";
import { CommandError, runCommand } from "~/base/io/command.ts";

/** Only there so that a broken limit fails the test instead of hanging it. */
const TIMEOUT_MS = 60_000;

function failsAs(failure: string): (error: unknown) => boolean {
  return (error) => error instanceof CommandError && error.failure === failure;
}

function runCode(code: string, more: { env?: Record<string, string>; stdin?: string } = {}) {
  return runCommand({
    command: Deno.execPath(),
    args: ["eval", code],
    timeoutMs: TIMEOUT_MS,
    ...more,
  });
}

Deno.test("runCommand() gives exit status and both outputs", async () => {
  const result = await runCode("console.log('out ä'); console.error('err'); Deno.exit(3)");
  assert.deepEqual(result, { code: 3, stdout: "out ä\n", stderr: "err\n" });
});

Deno.test("runCommand() feeds standard input and the environment", async () => {
  const code =
    "console.log(Deno.env.get('GREETING'), await new Response(Deno.stdin.readable).text())";
  const result = await runCode(code, { env: { GREETING: "hello" }, stdin: "world" });
  assert.equal(result.stdout, "hello world\n");
});

Deno.test("runCommand() does not mind a program that leaves its input unread", async () => {
  const result = await runCode("console.log('bye')", { stdin: "x".repeat(1_000_000) });
  assert.equal(result.stdout, "bye\n");
});

Deno.test("runCommand() shows a program nothing of our environment when told so", async () => {
  const result = await runCommand({
    command: "/usr/bin/env",
    env: { ONLY: "this" },
    clearEnv: true,
    timeoutMs: TIMEOUT_MS,
  });
  assert.equal(result.stdout, "ONLY=this\n");
});

Deno.test("runCommand() says that there is no such program", async () => {
  const run = () => runCommand({ command: "no-such-program-anywhere", timeoutMs: TIMEOUT_MS });
  await assert.rejects(run, failsAs("not-found"));
});

Deno.test("runCommand() kills at the limit of time, children included", async () => {
  const script = 'sleep 600 & echo "$!"; wait';
  const dir = await Deno.makeTempDir();
  const run = () =>
    runCommand({ command: "sh", args: ["-c", `(${script}) > ${dir}/pid`], timeoutMs: 2_000 });
  try {
    await assert.rejects(run, failsAs("timeout"));
    const pid = (await Deno.readTextFile(`${dir}/pid`)).trim();
    await ended(Number(pid));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("runCommand() kills at the limit of output", async () => {
  const run = () =>
    runCommand({
      command: "sh",
      args: ["-c", "while :; do echo more; done"],
      timeoutMs: TIMEOUT_MS,
      outputBytesMax: 10_000,
    });
  await assert.rejects(run, failsAs("output"));
});

Deno.test("runCommand() does not wait for a grandchild that keeps the output open", async () => {
  const result = await runCommand({
    command: "sh",
    args: ["-c", "sleep 600 & echo $!"],
    timeoutMs: TIMEOUT_MS,
  });
  assert.equal(result.code, 0);
  Deno.kill(Number(result.stdout), "SIGKILL");
});

Deno.test("runCommand() stops when its caller gives up", async () => {
  const stop = new AbortController();
  const running = runCommand({
    command: "sleep",
    args: ["600"],
    timeoutMs: TIMEOUT_MS,
    signal: stop.signal,
  });
  stop.abort(new Error("changed my mind"));
  await assert.rejects(running, /changed my mind/);
  await assert.rejects(() =>
    runCommand({ command: "sleep", args: ["600"], timeoutMs: TIMEOUT_MS, signal: stop.signal })
  );
});

/** Resolves once no process has this id or it is a zombie that waits for its parent. */
async function ended(pid: number): Promise<void> {
  for (;;) {
    const stat = await Deno.readTextFile(`/proc/${pid}/stat`).catch(() => undefined);
    if (stat === undefined || / [ZX] /.test(stat)) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
