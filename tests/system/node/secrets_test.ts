import assert from "node:assert/strict";
import { join } from "node:path";
import { FakeNode } from "#support/fake_node.ts";
import { argumentsOf, environmentOf, readTree } from "#support/processes.ts";

const CHAT = "/v1/chat/completions";
const API_KEY = "sk-zebra-api-key-0123456789";
const HF_TOKEN = "hf_zebra_token_0123456789";
const PROMPT = "zebra-prompt-that-nobody-may-keep";
const ANSWER = "zebra-answer-that-nobody-may-keep";

/** What an engine on a machine without accelerators may know of its surroundings. */
const ENGINE_VARIABLES: readonly string[] = [
  "LLAMA_API_KEY",
  "LLAMA_SERVER_ROUTER_PORT",
  "LLAMA_CACHE",
  "GGML_NO_BACKTRACE",
  "XDG_CACHE_HOME",
  "CUDA_CACHE_PATH",
  "PATH",
  "LD_LIBRARY_PATH",
  "TMPDIR",
  // What the stand-in for llama-server sets for itself, and what its shell adds.
  "DENO_DIR",
  "DENO_NO_UPDATE_CHECK",
  "PWD",
  "OLDPWD",
  "SHLVL",
  "_",
];

async function modeOf(path: string): Promise<string> {
  return (((await Deno.stat(path)).mode ?? 0) & 0o777).toString(8);
}

/** Requests of every kind that the engine or the door could quote. */
async function ask(fake: FakeNode): Promise<void> {
  const headers = { authorization: `Bearer ${API_KEY}` };
  const messages = [{ role: "user", content: PROMPT }];
  const send = async (body: Record<string, unknown>) =>
    await (await fake.chat(body, { headers })).text();
  assert.match(await send({ messages }), new RegExp(ANSWER));
  await fake.control({ answers: {} });
  assert.match(await send({ messages, stream: true }), /\[DONE\]/);
  assert.match(await send({ messages, model: PROMPT }), /model_not_found/);
  const url = `${await fake.node.apiBase()}${CHAT}`;
  for (const body of [`{"prompt": "${PROMPT}", `, `"${PROMPT}"`]) {
    const response = await fetch(url, { method: "POST", headers, body });
    assert.equal(response.status, 400);
    await response.body?.cancel();
  }
  const path = `${url}?prompt=${PROMPT}`;
  await (await fetch(path, { method: "POST", headers, body: "{}" })).body?.cancel();
  const wrong = { authorization: `Bearer ${PROMPT}` };
  await (await fetch(url, { method: "POST", headers: wrong, body: "{}" })).body?.cancel();
  // The engine breaks: what it and we say about that must not quote the request.
  await fake.control({
    answers: { [CHAT]: { kind: "truncated", announcedBytes: 999, body: ANSWER } },
  });
  await send({ messages });
}

/** What pages and scripts are told, past events included. */
async function readDoors(fake: FakeNode): Promise<string> {
  const headers = { authorization: `Bearer ${API_KEY}` };
  const console = await fake.node.consoleBase();
  const urls = [`${console}/api/status`, `${console}/metrics`, `${console}/`];
  const texts = await Promise.all(
    urls.map(async (url) => await (await fetch(url, { headers })).text()),
  );
  const events = await fetch(`${console}/api/events?after=1`, { headers });
  const reader = events.body?.getReader();
  const decoder = new TextDecoder();
  let told = "";
  while (!told.includes("upstream_failed")) {
    const part = await reader?.read();
    if (part === undefined || part.done) throw new Error(`The events ended early:\n${told}`);
    told += decoder.decode(part.value, { stream: true });
  }
  await reader?.cancel();
  return `${texts.join("\n")}\n${told}`;
}

function answerWith(text: string) {
  const message = { role: "assistant", content: text };
  const body = JSON.stringify({ object: "chat.completion", choices: [{ index: 0, message }] });
  return { kind: "raw", status: 200, body } as const;
}

Deno.test("no secret, prompt or answer leaves its place, even with --log-level trace", async (t) => {
  const env = { MESH_LLM_API_KEY: API_KEY, HF_TOKEN, AWS_SECRET_ACCESS_KEY: HF_TOKEN };
  await using fake = await FakeNode.ready({
    args: ["--log-level", "trace"],
    env,
    script: { answers: { [CHAT]: answerWith(ANSWER) } },
  });
  const { node } = fake;
  const { pid } = await fake.engine();
  const { LLAMA_API_KEY: engineKey = "" } = await environmentOf(pid);
  const token = await node.managementToken();
  await ask(fake);
  const doors = await readDoors(fake);

  await t.step("the keys are long and random", () => {
    assert.match(engineKey, /^[0-9a-f]{64}$/);
    assert.ok(token.length >= 32);
    assert.notEqual(token, engineKey);
  });

  await t.step("the engine gets only what it is allowed to have", async () => {
    const allowed = new Set(ENGINE_VARIABLES);
    const names = Object.keys(await environmentOf(pid));
    assert.deepEqual(names.filter((name) => !allowed.has(name)), []);
  });

  await t.step("what other users of the machine can see holds none", async () => {
    const words = [...await argumentsOf(pid), ...await argumentsOf(node.pid)].join(" ");
    for (const secret of [engineKey, token, API_KEY, HF_TOKEN, PROMPT, ANSWER]) {
      assert.ok(!words.includes(secret), secret);
    }
  });

  await t.step("what the node prints, tells and logs holds none", async () => {
    assert.match(node.stderr, /debug/);
    await node.stop();
    const files = await readTree(node.homeDir);
    assert.ok([...files.keys()].some((path) => path.endsWith("logs/llama-server.log")));
    const places = new Map([...files, ["stdout", node.stdout], ["stderr", node.stderr], [
      "doors",
      doors,
    ]]);
    for (const secret of [engineKey, token, API_KEY, HF_TOKEN, PROMPT, ANSWER]) {
      const found = [...places].filter(([, text]) => text.includes(secret)).map(([place]) => place);
      const expected = secret === token ? [join(node.homeDir, "management-token")] : [];
      assert.deepEqual(found, expected, secret);
    }
  });

  await t.step("files that hold secrets are their owner's alone", async () => {
    for (const name of ["key", "management-token", "logs/llama-server.log"]) {
      assert.equal(await modeOf(join(node.homeDir, name)), "600", name);
    }
    assert.equal(await modeOf(join(node.homeDir, "logs")), "700");
  });
});

Deno.test("a secret that others can read is refused, not used", async () => {
  const homeDir = await Deno.makeTempDir({ prefix: "mesh-llm-open-" });
  {
    await using first = await FakeNode.start({ homeDir });
    await first.node.line("API: ");
    await first.node.stop();
    await Deno.chmod(join(homeDir, "key"), 0o644);
    await using second = await FakeNode.start({ homeDir });
    assert.equal((await second.node.exited).code, 1);
    assert.match(second.node.stderr, /^mesh-llm: Refusing .*key: others can read this secret/m);
  }
  await Deno.remove(homeDir, { recursive: true });
});

Deno.test("the log of the engine is bounded: a full one makes room for a new one", async () => {
  const homeDir = await Deno.makeTempDir({ prefix: "mesh-llm-log-" });
  const path = join(homeDir, "logs", "llama-server.log");
  await Deno.mkdir(join(homeDir, "logs"), { mode: 0o700 });
  const old = `${"x".repeat(99)}\n`.repeat(42_000);
  await Deno.writeTextFile(path, old, { mode: 0o600 });
  {
    await using fake = await FakeNode.ready({ homeDir });
    await fake.node.stop();
    assert.ok((await Deno.readTextFile(`${path}.1`)).startsWith(old));
    const fresh = await Deno.readTextFile(path);
    assert.ok(fresh.length < 10_000, `${fresh.length} characters`);
    assert.match(fresh, /listening on/);
    assert.equal(await modeOf(path), "600");
  }
  await Deno.remove(homeDir, { recursive: true });
});
