import assert from "node:assert/strict";
import { join } from "node:path";
import { MeshTestNode } from "#support/mesh_nodes.ts";
import { argumentsOf, environmentOf, readTree } from "#support/processes.ts";
import { runProgram } from "#support/node_process.ts";

const CHAT = "/v1/chat/completions";
const API_KEY = "sk-zebra-api-key-0123456789";
const PROMPT = "zebra-prompt-that-nobody-may-keep";
const ANSWER = "zebra-answer-that-nobody-may-keep";
const COOKIE = "zebra-cookie-0123456789";
const SECRET_FILES = ["key", "link-cert.pem", "management-token", "mesh.json"];

function answerWith(text: string) {
  const message = { role: "assistant", content: text };
  const body = JSON.stringify({ object: "chat.completion", choices: [{ index: 0, message }] });
  return { kind: "raw", status: 200, body } as const;
}

/** Requests of every kind that either node could quote. */
async function ask(asker: MeshTestNode, host: MeshTestNode): Promise<void> {
  const headers = { authorization: `Bearer ${API_KEY}`, "x-api-key": API_KEY, cookie: COOKIE };
  const send = async (body: Record<string, unknown>) => {
    const messages = [{ role: "user", content: PROMPT }];
    return await (await asker.chat("alpha", { messages, ...body }, { headers })).text();
  };
  assert.match(await send({}), new RegExp(ANSWER));
  await host.fake.control({ answers: {} });
  assert.match(await send({ stream: true }), /\[DONE\]/);
  assert.match(await send({ model: PROMPT }), /model_not_found/);
  // The engine breaks: what both nodes say about that must not quote the request.
  const broken = { kind: "truncated", announcedBytes: 999, body: ANSWER } as const;
  await host.fake.control({ answers: { [CHAT]: broken } });
  await send({});
}

Deno.test("what is asked of a far engine stays between who asks and the engine", async (t) => {
  const env = { MESH_LLM_API_KEY: API_KEY, AWS_SECRET_ACCESS_KEY: COOKIE };
  const args = ["--log-level", "trace"];
  const script = { answers: { [CHAT]: answerWith(ANSWER) } };
  await using host = await MeshTestNode.start({ serves: "alpha", script, env, args });
  const token = await host.token();
  await using member = await MeshTestNode.start({ serves: "beta", token, env, args });
  await Promise.all([member.listed("alpha"), member.listed("beta"), host.listed("beta")]);
  const engines = await Promise.all([host, member].map(({ fake }) => fake.engine()));
  await ask(member, host);

  await t.step("keys and cookies of the caller do not reach the far engine", async () => {
    const { lastHeaderNames: names } = await host.fake.record();
    // The engine takes its own key alone, so what arrived as authorization was not the caller's.
    assert.ok(names.includes("authorization"));
    for (const name of ["cookie", "x-api-key"]) assert.equal(names.includes(name), false, name);
  });

  await t.step("an engine listens for its own node alone", async () => {
    for (const { port, pid } of engines) {
      const wrong = await fetch(`http://127.0.0.1:${port}${CHAT}`, { method: "POST", body: "{}" });
      assert.equal(wrong.status, 401);
      await wrong.body?.cancel();
      const words = await argumentsOf(pid);
      assert.equal(words[words.indexOf("--host") + 1], "127.0.0.1");
      for (const { address, family } of Deno.networkInterfaces()) {
        if (family !== "IPv4" || address.startsWith("127.")) continue;
        await assert.rejects(Deno.connect({ hostname: address, port }), address);
      }
    }
  });

  await t.step(
    "no secret of the mesh is in a child's environment or anybody's arguments",
    async () => {
      const secrets = [token.slice(-40), API_KEY, COOKIE, await host.node.managementToken()];
      for (const name of ["key", "mesh-key", "link-cert.pem"]) {
        const pem = await Deno.readTextFile(join(host.node.homeDir, name));
        secrets.push(pem.split("\n").find((line) => line !== "" && !line.startsWith("-")) ?? name);
      }
      for (const { pid } of engines) {
        const seen = [...Object.values(await environmentOf(pid)), ...await argumentsOf(pid)].join(
          " ",
        );
        for (const secret of secrets) assert.equal(seen.includes(secret), false);
      }
      for (const { node } of [host, member]) {
        const seen = (await argumentsOf(node.pid)).join(" ");
        for (const secret of secrets) assert.equal(seen.includes(secret), false);
      }
    },
  );

  await t.step("files with secrets are their owner's alone", async () => {
    for (const { node } of [host, member]) {
      const names = node === host.node ? [...SECRET_FILES, "mesh-key"] : SECRET_FILES;
      for (const name of names) {
        const { mode } = await Deno.stat(join(node.homeDir, name));
        assert.equal(((mode ?? 0) & 0o777).toString(8), "600", name);
      }
    }
  });

  await t.step("neither node prints, tells or keeps anything of it", async () => {
    await assertNothingKept([host, member], token);
  });
});

/** What the doors tell, what was printed, and every file of the homes, after the end of the nodes. */
async function assertNothingKept(nodes: readonly MeshTestNode[], token: string): Promise<void> {
  const told: (readonly [string, string])[] = [];
  for (const { node } of nodes) {
    const base = await node.consoleBase();
    for (const path of ["/api/status", "/metrics"]) {
      const headers = { authorization: `Bearer ${API_KEY}`, origin: base };
      told.push([path, await (await fetch(`${base}${path}`, { headers })).text()]);
    }
    const members = await runProgram(["members", "--json", "--home", node.homeDir]);
    assert.equal(members.code, 0, members.stderr);
    told.push(["members", members.stdout]);
  }
  for (const { node } of nodes) {
    assert.equal((await node.stop()).code, 0);
    assert.match(node.stderr, /debug/);
    told.push(["stderr", node.stderr], ...await readTree(node.homeDir));
  }
  for (const secret of [API_KEY, COOKIE, PROMPT, ANSWER, token.slice(-40)]) {
    const found = told.filter(([, text]) => text.includes(secret)).map(([place]) => place);
    assert.deepEqual(found, [], secret);
  }
}
