import assert from "node:assert/strict";
import { join } from "node:path";
import { FAKE_MODEL, FakeNode } from "#support/fake_node.ts";
import { runProgram } from "#support/node_process.ts";
import { writeTinyModel } from "#support/tiny_gguf.ts";

type Result = Awaited<ReturnType<typeof runProgram>>;

/** Runs commands against the home of a node; two at a time keep a small machine busy enough. */
async function runAll(fake: FakeNode, commands: readonly (readonly string[])[]): Promise<Result[]> {
  const env = { HOME: fake.node.homeDir, MESH_LLM_BIN_DIR: fake.binDir };
  const home = ["--home", fake.node.homeDir];
  return await Promise.all(commands.map((words) => runProgram([...words, ...home], env)));
}

/** Data on stdout, nothing else anywhere, exit status 0. */
function dataOf({ code, stdout, stderr }: Result): string {
  assert.deepEqual([code, stderr], [0, ""]);
  return stdout;
}

/** Plans on a home without a node. */
async function planAlone(fake: FakeNode): Promise<void> {
  const home = await Deno.makeTempDir({ prefix: "mesh-llm-plan-" });
  const env = { HOME: home, MESH_LLM_BIN_DIR: fake.binDir };
  const here = await runProgram(["plan", fake.modelPath, "--home", home], env);
  assert.match(
    dataOf(here),
    /^\d x 2048 tokens of context, in main memory: weights .* = .*MiB$/m,
  );
  const json = await runProgram(["plan", fake.modelPath, "--home", home, "--json"], env);
  assert.equal(JSON.parse(dataOf(json))["ctx_per_slot"], 2048);
  const absent = await runProgram(["plan", "Qwen3-8B", "--home", home], env);
  assert.match(absent.stdout, /^"Qwen3-8B" is not here yet; by the size of its file, 4\.7 GiB, /);
  const unknown = await runProgram(["plan", "org/repo/some.gguf", "--home", home], env);
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /Run: mesh-llm download org\/repo\/some\.gguf/);
  await Deno.remove(home, { recursive: true });
}

Deno.test("commands tell about the running node, for people and as JSON", async (t) => {
  await using fake = await FakeNode.ready();
  const { homeDir } = fake.node;

  await t.step("status", async () => {
    const [plain, json] = (await runAll(fake, [["status"], ["status", "--json"]])).map(dataOf);
    assert.match(plain ?? "", /^State: +serving$/m);
    assert.match(plain ?? "", /^Model: +tiny$/m);
    assert.match(plain ?? "", /^Engine: +llama\.cpp 0\.7\.0 \(build 11669\) on CPU, folder /m);
    const status = JSON.parse(json ?? "");
    assert.equal(status["node_id"], (await fake.status()).node_id);
    assert.deepEqual([status["llama_ready"], status["model_name"]], [true, FAKE_MODEL]);
    assert.match(plain ?? "", new RegExp(`^API: +http://localhost:${status["api_port"]}/v1$`, "m"));
  });

  await t.step("models", async () => {
    await Deno.mkdir(join(homeDir, "models"), { recursive: true });
    await writeTinyModel(join(homeDir, "models", `${FAKE_MODEL}.gguf`));
    const [plain, json] = (await runAll(fake, [["models"], ["models", "--json"]])).map(dataOf);
    assert.match(plain ?? "", /^ {2}tiny {2}\d+ KiB .*tiny\.gguf \(served now\)$/m);
    assert.match(plain ?? "", /^ {2}SmolLM2-135M-Instruct {2}Starter model/m);
    const told = JSON.parse(json ?? "");
    assert.equal(told.served, FAKE_MODEL);
    const [onDisk, ...others] = told["on_disk"];
    assert.deepEqual([onDisk.id, others], [FAKE_MODEL, []]);
    assert.ok(onDisk["size_bytes"] > 0);
    assert.ok(told.catalogue.length > 3);
  });

  await t.step("engine", async () => {
    const [plain, json] = (await runAll(fake, [["engine"], ["engine", "--json"]])).map(dataOf);
    assert.match(plain ?? "", /^Version: +0\.7\.0$/m);
    assert.match(plain ?? "", /^Build: +11669$/m);
    assert.match(plain ?? "", /^Devices: +none: computes on the CPU$/m);
    const told = JSON.parse(json ?? "");
    assert.deepEqual([told.origin, told.dir, told.build], ["bin-dir", fake.binDir, 11669]);
  });

  await t.step("plan, of a node that runs", async () => {
    const [plain, json] = (await runAll(fake, [
      ["plan", fake.modelPath],
      ["plan", FAKE_MODEL, "--json"],
    ])).map(dataOf);
    assert.match(plain ?? "", /^host of "tiny" is [\w-]{8}: serves it already$/m);
    assert.match(plain ?? "", /^This machine, with what is free now: \d x 2048 tokens of context/m);
    const told = JSON.parse(json ?? "");
    assert.deepEqual([told.members[0]["is_host"], told.here.ok], [true, true]);
    const [absent] = await runAll(fake, [["plan", "Qwen3-8B"]]);
    assert.equal(absent?.code, 1);
    assert.match(absent?.stdout ?? "", /^no member can hold "Qwen3-8B"/);
    assert.match(absent?.stdout ?? "", /^This machine, .* by the size of its file, 4\.7 GiB, /m);
  });

  await t.step("plan, where no node runs", () => planAlone(fake));
});

Deno.test("commands that change or judge say what they did or found", async (t) => {
  await using fake = await FakeNode.ready();
  const { homeDir } = fake.node;

  await t.step("doctor", async () => {
    const [plain, json] = (await runAll(fake, [["doctor"], ["doctor", "--json"]])).map(dataOf);
    assert.match(plain ?? "", /^ok +home folder: /m);
    assert.match(plain ?? "", /^ok +engine: llama\.cpp 0\.7\.0 from folder /m);
    assert.match(
      plain ?? "",
      new RegExp(`a node of this home runs, process ${fake.node.pid}$`, "m"),
    );
    assert.match(plain ?? "", /^ok +mesh: /m);
    const findings: { is_good: boolean }[] = JSON.parse(json ?? "");
    assert.ok(findings.length >= 5 && findings.every((finding) => finding["is_good"]));
  });

  await t.step("doctor says what to do about what does not work", async () => {
    const env = { HOME: homeDir, MESH_LLM_BIN_DIR: "/nowhere" };
    const { code, stdout } = await runProgram(["doctor", "--home", homeDir], env);
    assert.equal(code, 1);
    assert.match(stdout, /^PROBLEM engine: .*"\/nowhere": there is no such folder$/m);
  });

  await t.step("doctor says that nobody is at the console that is named", async () => {
    const env = { HOME: homeDir, MESH_LLM_BIN_DIR: fake.binDir };
    const words = ["doctor", "--home", homeDir, "--console", "1"];
    const { code, stdout } = await runProgram(words, env);
    assert.equal(code, 1);
    const ran = `a node of this home runs, process ${fake.node.pid}`;
    assert.ok(stdout.includes(`PROBLEM ports: no node answers on console port 1; ${ran}`), stdout);
  });

  await t.step("drop", async () => {
    const [wrong] = await runAll(fake, [["drop", "other"]]);
    assert.equal(wrong?.code, 1);
    assert.match(wrong?.stderr ?? "", /Cannot drop "other".*it serves "tiny"/);
    const [json] = (await runAll(fake, [["drop", "TINY.gguf", "--json"]])).map(dataOf);
    assert.deepEqual(JSON.parse(json ?? ""), { dropped: "TINY.gguf" });
    assert.equal((await fake.status()).node_status, "idle");
  });
});

Deno.test("commands about a node that does not run say so and end with 1", async () => {
  const home = await Deno.makeTempDir({ prefix: "mesh-llm-empty-" });
  // A port that nobody gets who leaves the choice to the system: another test could have one of those by now.
  const run = (...words: string[]) => runProgram([...words, "--home", home, "--console", "1"]);
  const results = await Promise.all([
    run("status"),
    run("stop"),
    run("drop", "tiny"),
    run("members"),
    run("invite"),
    run("join", "a.b.c"),
    run("revoke", "0123456789"),
    run("rotate-key"),
    run("mesh-key", "export"),
  ]);
  for (const { code, stdout, stderr } of results) {
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /^mesh-llm: [^\n]+\n$/);
    assert.ok(!stderr.includes("a.b.c"));
  }
  await Deno.remove(home, { recursive: true });
});

const WRONG: readonly (readonly [words: readonly string[], told: RegExp])[] = [
  [["--prot", "80"], /--port/],
  [["frobnicate"], /frobnicate/],
  [["staus"], /status/],
  [["--port", "70000"], /65,?535/],
  [["serve", "--log-level", "loud"], /loud/],
  [["plan"], /MODEL/],
  [["engine", "remove"], /install/],
  [["--api-key", "short"], /fewer than 8 characters/],
  [["--listen-all"], /Refusing --listen-all without an API key.*--api-key/],
  [["--join", ""], /--join was given an empty one/],
  [["--join", "@/nowhere/token"], /Cannot read an invite token from \/nowhere\/token/],
  [["--client", "--model", "a"], /--client together with --model/],
  [["--advertise", "0.0.0.0:1"], /Cannot advertise "0\.0\.0\.0:1"/],
  [["--bind-port", "70000"], /65,?535/],
  [["revoke", "short"], /at least the first 6 characters/],
  [["invite", "--role", "admin"], /member/],
  [["invite", "--expires", "5"], /--expires is "5", wanted is a whole number with s, m, h, d or w/],
  [["join"], /give one invite token/],
  [["--auto"], /--auto is not available: this version does not support/],
  [["--split"], /--split is not available/],
  [["--draft", "x.gguf"], /--draft is not available/],
  [["--publish"], /--publish is not available/],
  [["discover"], /mesh-llm discover is not available/],
];

Deno.test("wrong usage, and what is not built yet, end with 2 and a word of advice", async () => {
  const home = await Deno.makeTempDir({ prefix: "mesh-llm-wrong-" });
  const env = { HOME: home, MESH_LLM_HOME: home };
  // A few at a time: each is a process of its own.
  for (let at = 0; at < WRONG.length; at += 4) {
    await Promise.all(
      WRONG.slice(at, at + 4).map(async ([words, told]) => {
        const { code, stdout, stderr } = await runProgram(words, env);
        assert.deepEqual([code, stdout], [2, ""], `${words.join(" ")}: ${stderr}`);
        assert.match(stderr, told);
        assert.match(stderr, /^mesh-llm: /);
        assert.doesNotMatch(stderr, /should not happen/);
      }),
    );
  }
  await Deno.remove(home, { recursive: true });
});

Deno.test("--help and --version go to stdout and end with 0", async () => {
  const [help, version, completion] = await Promise.all([
    runProgram(["--help"]),
    runProgram(["--version"]),
    runProgram(["completion", "bash"]),
  ]);
  assert.deepEqual([help.code, version.code, completion.code], [0, 0, 0]);
  for (const word of ["mesh-llm status --json", "--listen-all", "doctor", "--ctx-size"]) {
    assert.ok(help.stdout.includes(word), word);
  }
  assert.match(version.stdout, /\d+\.\d+\.\d+/);
  assert.match(completion.stdout, /complete/);
});

Deno.test("--json announces each step as one JSON line", async () => {
  await using fake = await FakeNode.start({ args: ["--json", "--log-format", "json"] });
  const { node } = fake;
  await node.line('{"event":"ready"');
  const events = node.stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(events.map(({ event }) => event), ["pid", "invite", "api", "console", "ready"]);
  assert.equal(events[0].pid, node.pid);
  assert.equal(events[4].model, FAKE_MODEL);
  const models = await (await fetch(`${events[2].url}/models`)).json();
  assert.equal(models.data[0].id, FAKE_MODEL);
  assert.equal((await node.stop()).code, 0);
  // Logs on stderr are JSON lines too.
  for (const line of node.stderr.trimEnd().split("\n")) JSON.parse(line);
});

Deno.test("a home that cannot be one is refused with a sentence, by every command", async () => {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-file-home-" });
  const file = join(dir, "file");
  await Deno.writeTextFile(file, "not a folder");
  await Deno.writeTextFile(join(dir, "run"), "not a folder either");
  const ports = ["--port", "0", "--console", "0"];
  const results = await Promise.all([
    runProgram(["serve", "--home", join(file, "home"), ...ports]),
    runProgram(["serve", "--home", dir, ...ports]),
    runProgram(["doctor", "--home", join(file, "home")]),
  ]);
  for (const { code, stdout, stderr } of results) {
    assert.deepEqual([code, stdout], [1, ""]);
    assert.match(stderr, /^mesh-llm: Cannot [^\n]+\n$/);
  }
  await Deno.remove(dir, { recursive: true });
});

Deno.test("stop touches no process of which the record tells only the id", async () => {
  const homeDir = await Deno.makeTempDir({ prefix: "mesh-llm-forged-" });
  const other = new Deno.Command("sleep", { args: ["600"] }).spawn();
  try {
    const dir = join(homeDir, "run", String(other.pid));
    await Deno.mkdir(dir, { recursive: true });
    const owner = { process: { pid: other.pid } };
    await Deno.writeTextFile(join(dir, "owner.json"), JSON.stringify(owner));
    const { code, stderr } = await runProgram(["stop", "--home", homeDir], { HOME: homeDir });
    assert.equal(code, 1);
    assert.match(stderr, /may be another program/);
  } finally {
    other.kill("SIGKILL");
    assert.equal((await other.status).signal, "SIGKILL", "it ran until now");
    await Deno.remove(homeDir, { recursive: true });
  }
});
