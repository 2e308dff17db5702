import assert from "node:assert/strict";
import { FAKE_MODEL, FakeNode } from "#support/fake_node.ts";
import { runProgram } from "#support/node_process.ts";

const KEY = "sk-for-the-tests-0123456789";

/** An address of this machine beyond 127.0.0.1, as other machines would use it where it has one. */
function otherAddress(): string {
  const found = Deno.networkInterfaces().find(({ family, address }) =>
    family === "IPv4" && !address.startsWith("127.")
  );
  return found?.address ?? "127.0.0.2";
}

async function statusOf(url: string, key?: string): Promise<number> {
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const response = await fetch(url, { headers });
  await response.body?.cancel();
  return response.status;
}

function portOf(base: string): string {
  return new URL(base).port;
}

Deno.test("without --listen-all nobody is reached but this machine", async () => {
  await using fake = await FakeNode.start();
  for (const base of [await fake.node.apiBase(), await fake.node.consoleBase()]) {
    await assert.rejects(fetch(`http://${otherAddress()}:${portOf(base)}/health`), TypeError);
    assert.ok(await statusOf(base.replace("localhost", "127.0.0.1")) < 500);
  }
});

Deno.test("--listen-all opens both doors to others, with a key only", async (t) => {
  await using fake = await FakeNode.ready({ args: ["--listen-all", "--api-key", KEY] });
  const api = `http://${otherAddress()}:${portOf(await fake.node.apiBase())}`;
  const console = `http://${otherAddress()}:${portOf(await fake.node.consoleBase())}`;

  await t.step("the OpenAI door", async () => {
    for (const path of ["/v1/models", "/metrics"]) {
      assert.equal(await statusOf(`${api}${path}`), 401);
      assert.equal(await statusOf(`${api}${path}`, "sk-of-somebody-else"), 401);
      assert.equal(await statusOf(`${api}${path}`, KEY), 200);
    }
    assert.equal(await statusOf(`${api}/health`), 200);
    const ask = (key: string) =>
      fetch(`${api}/v1/chat/completions`, {
        method: "POST",
        headers: { "x-api-key": key, "content-type": "application/json" },
        body: JSON.stringify({ model: FAKE_MODEL, messages: [] }),
      });
    const [refused, answered] = [await ask("sk-of-somebody-else"), await ask(KEY)];
    assert.deepEqual([refused.status, answered.status], [401, 200]);
    assert.equal((await refused.json()).error.code, "invalid_api_key");
    await answered.body?.cancel();
  });

  await t.step("the management door: keys read, only the management token changes", async () => {
    assert.equal(await statusOf(`${console}/api/status`), 401);
    assert.equal(await statusOf(`${console}/api/status`, KEY), 200);
    const drop = async (key: string) => {
      const headers = { authorization: `Bearer ${key}` };
      const url = `${console}/api/models/${FAKE_MODEL}`;
      const response = await fetch(url, { method: "DELETE", headers });
      await response.body?.cancel();
      return response.status;
    };
    assert.ok([401, 403].includes(await drop(KEY)));
    assert.equal((await fake.node.managementToken()).length >= 32, true);
    assert.equal(await drop(await fake.node.managementToken()), 200);
  });

  await t.step("commands on this machine work on without more words", async () => {
    const { code, stdout } = await runProgram(["status", "--json", "--home", fake.node.homeDir]);
    assert.equal(code, 0);
    assert.equal(JSON.parse(stdout)["node_status"], "idle");
  });
});

Deno.test("keys come from files and the environment, too; loopback needs them as well then", async () => {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-keys-" });
  const file = `${dir}/keys.txt`;
  await Deno.writeTextFile(file, `${KEY}-one\n${KEY}-two\n`);
  {
    const env = { MESH_LLM_API_KEY: `${KEY}-env` };
    await using fake = await FakeNode.ready({ args: ["--api-key", `@${file}`], env });
    const url = `${await fake.node.apiBase()}/v1/models`;
    for (const end of ["-one", "-two", "-env"]) assert.equal(await statusOf(url, KEY + end), 200);
    assert.equal(await statusOf(url), 401);
    assert.equal(await statusOf(url, KEY), 401);
  }
  await Deno.remove(dir, { recursive: true });
});

Deno.test("pages of other sites and rebound names are refused at both doors", async () => {
  await using fake = await FakeNode.start();
  for (const base of [await fake.node.apiBase(), await fake.node.consoleBase()]) {
    const response = await fetch(`${base}/v1/models`, {
      headers: { origin: "https://evil.example" },
    });
    assert.equal(response.status, 403);
    assert.equal((await response.json()).error.code, "forbidden");
    assert.match(await askAs(Number(portOf(base)), "evil.example"), /^HTTP\/1\.1 403 /);
    assert.doesNotMatch(await askAs(Number(portOf(base)), "localhost"), /^HTTP\/1\.1 403 /);
  }
});

/** The first line of the answer to a request under this name. */
async function askAs(port: number, host: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const request = `GET /v1/models HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
  await connection.write(new TextEncoder().encode(request));
  const answer = new Uint8Array(1024);
  const size = await connection.read(answer);
  return new TextDecoder().decode(answer.subarray(0, size ?? 0)).split("\r\n")[0] ?? "";
}

Deno.test("a home that others can write is refused, with the way to mend it", async () => {
  const homeDir = await Deno.makeTempDir({ prefix: "mesh-llm-open-home-" });
  try {
    await Deno.chmod(homeDir, 0o777);
    const { code, stderr } = await runProgram(["serve", "--port", "0", "--console", "0"], {
      HOME: homeDir,
      MESH_LLM_HOME: homeDir,
    });
    assert.equal(code, 1);
    assert.match(stderr, /others can write there \(mode 777\). Run: chmod go-w/);
  } finally {
    await Deno.remove(homeDir, { recursive: true });
  }
});
