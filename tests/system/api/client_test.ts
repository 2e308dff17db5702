import assert from "node:assert/strict";
import { join } from "node:path";
import { managementClient, NoNodeError } from "~/api/io/client.ts";
import { UserError } from "~/base/errors.ts";
import {
  memberOf,
  MESH_ID,
  PEER_ID,
  RELAY_ID,
  selfOf,
  TEST_SERIAL,
  TEST_TOKEN,
} from "#support/managed_node.ts";
import { ManagementDoor } from "#support/management_door.ts";

async function withToken(token: string | undefined, use: (path: string) => Promise<void>) {
  const home = await Deno.makeTempDir({ prefix: "mesh-llm-test-" });
  const path = join(home, "management-token");
  try {
    if (token !== undefined) await Deno.writeTextFile(path, token, { mode: 0o600 });
    await use(path);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

/** A port on which nothing listens now. */
async function freePort(): Promise<number> {
  await using door = await ManagementDoor.open();
  return door.port;
}

Deno.test("managementClient() reads the status and asks for models and the end", async () => {
  await using door = await ManagementDoor.open();
  await withToken(TEST_TOKEN, async (tokenPath) => {
    const client = managementClient({ port: door.port, tokenPath });
    assert.deepEqual(await client.status(), door.node.snapshot);
    assert.deepEqual(await client.loadModel("org/repo/größe.gguf"), {
      model: "org/repo/größe.gguf",
    });
    await client.dropModel("org/repo/a b%.gguf");
    await client.shutdown();
    const calls = ["load org/repo/größe.gguf", "drop org/repo/a b%.gguf", "shutdown"];
    assert.deepEqual(door.node.calls, calls);
  });
});

Deno.test("managementClient() joins, invites, revokes and lists members", async () => {
  await using door = await ManagementDoor.open({ mesh_id: MESH_ID });
  door.node.memberList = [selfOf(), memberOf()];
  await withToken(TEST_TOKEN, async (tokenPath) => {
    const client = managementClient({ port: door.port, tokenPath });
    const members = [selfOf(), memberOf()];
    assert.deepEqual(await client.members(), { "mesh_id": MESH_ID, members });
    assert.deepEqual(await client.join("a.b.c"), { "mesh_id": MESH_ID, peers: 2 });
    const made = await client.makeInvite({ role: "client", expires: "12h" });
    assert.deepEqual([made.serial, made.role], [TEST_SERIAL, "client"]);
    await client.makeInvite({ role: undefined });
    const revoked = await client.revoke({ node: PEER_ID }, { keep: true });
    assert.deepEqual(revoked, {
      revoked: PEER_ID,
      "closed_links": 1,
      "closed_invites": [TEST_SERIAL],
      "ended_nodes": [PEER_ID, RELAY_ID],
    });
    await client.revoke({ serial: TEST_SERIAL }, { keep: false });
    assert.deepEqual(door.node.calls, [
      "join a.b.c",
      "invite client for 43200 s",
      "invite member for 604800 s",
      `revoke ${PEER_ID}, keep`,
      `revoke ${TEST_SERIAL}`,
    ]);
  });
});

Deno.test("managementClient() passes on why the door cannot make an invite", async () => {
  await using door = await ManagementDoor.open();
  await withToken(TEST_TOKEN, async (tokenPath) => {
    const client = managementClient({ port: door.port, tokenPath });
    await assert.rejects(
      client.makeInvite({ expires: "soon" }),
      /"expires" is "soon", wanted is a whole number/,
    );
    assert.deepEqual(door.node.calls, []);
  });
});

Deno.test("managementClient() reads the status without a token, and with it where needed", async () => {
  await using door = await ManagementDoor.open();
  await withToken(undefined, async (tokenPath) => {
    const client = managementClient({ port: door.port, tokenPath });
    assert.equal((await client.status()).node_status, "serving");
  });
  await door.stop();
  await door.start({ policy: { hosts: "any" }, apiKeys: ["sk-test-key"] });
  await withToken(TEST_TOKEN, async (tokenPath) => {
    const client = managementClient({ port: door.port, tokenPath });
    assert.equal((await client.status()).token, "secret-invite-token");
  });
});

Deno.test("managementClient() says that no node is running", async () => {
  const port = await freePort();
  await withToken(TEST_TOKEN, async (tokenPath) => {
    const client = managementClient({ port, tokenPath });
    for (const call of [client.status(), client.shutdown()]) {
      await assert.rejects(call, (error) => {
        assert.ok(error instanceof NoNodeError && error instanceof UserError);
        return error.message.startsWith(`No node is running on console port ${port}`);
      });
    }
  });
});

Deno.test("managementClient() says that there is no token, or the token of another home", async () => {
  await using door = await ManagementDoor.open();
  await withToken(undefined, async (tokenPath) => {
    const client = managementClient({ port: door.port, tokenPath });
    await assert.rejects(client.shutdown(), /Cannot find a management token in .*--home/);
  });
  await withToken("another-token-of-more-than-32-characters", async (tokenPath) => {
    const client = managementClient({ port: door.port, tokenPath });
    await assert.rejects(client.shutdown(), /is not its own; name the home/);
  });
  assert.deepEqual(door.node.calls, []);
});

Deno.test("managementClient() passes on what the node says no to", async () => {
  await using door = await ManagementDoor.open();
  door.node.failure = new UserError('Cannot find model "a": nothing here has this name');
  await withToken(TEST_TOKEN, async (tokenPath) => {
    const client = managementClient({ port: door.port, tokenPath });
    await assert.rejects(client.loadModel("a"), { message: door.node.failure?.message ?? "" });
    await assert.rejects(client.dropModel("a"), UserError);
  });
});

Deno.test("managementClient() gives up on a node that does not answer", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted = listener.accept();
  await withToken(TEST_TOKEN, async (tokenPath) => {
    const { port } = listener.addr;
    const client = managementClient({ port, tokenPath, timeoutMs: 50 });
    await assert.rejects(client.status(), /did not answer within 0.05 s/);
  });
  (await accepted).close();
});

const FOREIGN = [
  "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
  "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
  "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n[]",
];

Deno.test.each(
  FOREIGN.flatMap((text) => [[text, "status"] as const, [text, "members"] as const]),
)(
  "managementClient() knows another program by its answer %j to %s()",
  async (text, call) => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const serving = listener.accept().then(async (socket) => {
      await socket.read(new Uint8Array(4096));
      await socket.write(new TextEncoder().encode(text));
      socket.close();
    });
    await withToken(TEST_TOKEN, async (tokenPath) => {
      const client = managementClient({ port: listener.addr.port, tokenPath });
      await assert.rejects(client[call](), /another program answers there/);
    });
    await serving;
  },
);

Deno.test("managementClient() speaks to this machine even where a proxy is set", async () => {
  await using door = await ManagementDoor.open();
  await withToken(TEST_TOKEN, async (tokenPath) => {
    const url = new URL("../../../lib/api/io/client.ts", import.meta.url).href;
    const options = JSON.stringify({ port: door.port, tokenPath });
    const code = `const { managementClient } = await import(${JSON.stringify(url)});
      console.log((await managementClient(${options}).status()).node_status);`;
    const nowhere = "http://127.0.0.1:9";
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["eval", "--no-check", code],
      env: { HTTP_PROXY: nowhere, http_proxy: nowhere, ALL_PROXY: nowhere, NO_PROXY: "" },
    }).output();
    assert.equal(new TextDecoder().decode(stdout).trim(), "serving");
  });
});
