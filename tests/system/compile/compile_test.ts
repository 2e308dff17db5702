/**
 * `deno task compile` for real. It needs a runtime file to put inside: `DENORT_BIN` names one, or Deno
 * downloads it where its own site can be reached. Continuous integration always has one.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { VERSION } from "~/base/version.ts";
import {
  compileWithEverything,
  copyAlone,
  lonelyNetwork,
  runAlone,
  runCompileTask,
  waitForLine,
} from "#support/compiled_program.ts";

const HAS_RUNTIME = Deno.env.get("DENORT_BIN") !== undefined || Deno.env.get("CI") !== undefined;

const QUESTION = {
  model: "SmolLM2-135M-Instruct",
  temperature: 0,
  messages: [{ role: "user", content: "What is the capital of France? Answer in one sentence." }],
};

Deno.test("deno task compile refuses wrong usage with status 2 and says what it wants", async () => {
  const end = await runCompileTask(["--target", "amiga"]);
  assert.equal(end.code, 2);
  assert.match(end.stderr, /Cannot compile for "amiga": wanted one of x86_64-unknown-linux-gnu/);
  const help = await runCompileTask(["--help"]);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /^Usage: deno task compile/);
});

Deno.test("deno task compile refuses a folder that holds no engine", async () => {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-test-" });
  try {
    const end = await runCompileTask(["--engine", dir, "--out", join(dir, "mesh-llm")]);
    assert.equal(end.code, 1);
    assert.match(end.stderr, /Cannot pack ".+": it has no engine\.json/);
    await assert.rejects(Deno.stat(join(dir, "mesh-llm")), Deno.errors.NotFound);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test({
  name: "deno task compile makes one file that answers by itself (runtime: DENORT_BIN)",
  ignore: !HAS_RUNTIME,
  async fn(t) {
    const compiled = await compileWithEverything();
    try {
      await t.step("tells version and commit", () => tellsVersion(compiled.program));
      await t.step("shows its help", () => showsHelp(compiled.program));
      await t.step("answers with an empty home and no network", () => answers(compiled.program));
    } finally {
      await Deno.remove(compiled.dir, { recursive: true });
    }
  },
});

async function tellsVersion(program: string): Promise<void> {
  await using alone = await copyAlone(program);
  const end = await runAlone(alone.program, ["--version"], {
    cwd: alone.dir,
    env: { HOME: alone.home },
  });
  assert.equal(end.code, 0, end.stderr);
  assert.match(
    end.stdout,
    new RegExp(`${VERSION.replaceAll(".", "\\.")} \\([0-9a-f]{12}(-dirty)?\\)`),
  );
}

async function showsHelp(program: string): Promise<void> {
  await using alone = await copyAlone(program);
  const end = await runAlone(alone.program, ["--help"], {
    cwd: alone.dir,
    env: { HOME: alone.home },
  });
  assert.equal(end.code, 0, end.stderr);
  assert.match(end.stdout, /mesh-llm/);
  assert.match(end.stdout, /--model/);
  assert.deepEqual(await Array.fromAsync(Deno.readDir(alone.home)), [], "help must write nothing");
}

async function answers(program: string): Promise<void> {
  await using alone = await copyAlone(program);
  const network = await lonelyNetwork();
  if (Deno.env.get("CI") !== undefined) {
    assert.ok(network.enter.length > 0, "CI must cut the network");
  }
  const words = [...network.enter, alone.program, "--port", "0", "--console", "0"];
  const child = new Deno.Command(words[0] ?? "", {
    args: words.slice(1),
    cwd: alone.dir,
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH") ?? "", HOME: alone.home },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let drained = Promise.resolve();
  try {
    const [forApi, forReady] = child.stdout.tee();
    const [api, ready] = await Promise.all([
      waitForLine(forApi, "API: "),
      waitForLine(forReady, "Ready: "),
    ]);
    drained = Promise.all([api.drained, ready.drained]).then(() => {});
    assert.equal(ready.rest, QUESTION.model);
    const answer = await ask(api.rest, network.join(child.pid));
    assert.match(answer, /Paris/);
  } finally {
    child.kill("SIGTERM");
  }
  const status = await child.status;
  await drained.catch(() => {});
  assert.equal(status.code, 0);
}

/** Asks from inside the node's network; `prefix` leads there. */
async function ask(apiBase: string, prefix: readonly string[]): Promise<string> {
  const source = `const response = await fetch(${JSON.stringify(`${apiBase}/chat/completions`)}, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: ${JSON.stringify(JSON.stringify(QUESTION))},
  });
  console.log(response.status, (await response.json()).choices?.[0]?.message?.content);`;
  const words = [...prefix, Deno.execPath(), "eval", source];
  const end = await runAlone(words[0] ?? "", words.slice(1));
  assert.equal(end.code, 0, end.stderr);
  assert.match(end.stdout, /^200 /);
  return end.stdout;
}
