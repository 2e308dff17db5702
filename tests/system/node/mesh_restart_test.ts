import assert from "node:assert/strict";
import { join } from "node:path";
import { until } from "#support/fake_engine.ts";
import { MeshTestNode, tellFigure } from "#support/mesh_nodes.ts";

/** Below those that Linux gives out by itself: nobody who leaves the choice to it takes one in between. */
const PORTS = { from: 20_000, count: 12_000 };

/** A UDP port that nobody has. */
function freeUdpPort(): number {
  for (;;) {
    const port = PORTS.from + Math.floor(Math.random() * PORTS.count);
    try {
      Deno.listenDatagram({ transport: "udp", hostname: "0.0.0.0", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

async function tempHome(stack: AsyncDisposableStack): Promise<string> {
  const homeDir = await Deno.makeTempDir({ prefix: "mesh-llm-home-" });
  stack.defer(() => Deno.remove(homeDir, { recursive: true }));
  return homeDir;
}

async function readMesh(homeDir: string): Promise<string> {
  return await Deno.readTextFile(join(homeDir, "mesh.json"));
}

async function assertAnswered(node: MeshTestNode, model: string, by: MeshTestNode): Promise<void> {
  const response = await node.chat(model);
  await response.body?.cancel();
  const nodeId = response.headers.get("x-mesh-llm-node");
  assert.deepEqual([response.status, nodeId], [200, by.id]);
}

Deno.test("nodes find their mesh again without a token", async (t) => {
  await using stack = new AsyncDisposableStack();
  const [hostHome, memberHome, clientHome] = [
    await tempHome(stack),
    await tempHome(stack),
    await tempHome(stack),
  ];
  const ports = [freeUdpPort(), freeUdpPort()].map(String);
  const startHost = (port = "0") =>
    MeshTestNode.start({ serves: "alpha", homeDir: hostHome, args: ["--bind-port", port] });
  let meshId: string | null = null;
  let ids: string[] = [];

  await t.step("a member and a client after an orderly stop", async () => {
    await using host = await startHost(ports[0]);
    const token = await host.token();
    meshId = (await host.events.status(() => true, "status")).mesh_id;
    for (const [homeDir, isClient] of [[memberHome, false], [clientHome, true]] as const) {
      const options = { homeDir, isClient, ...(isClient ? {} : { serves: "beta" }) };
      {
        await using first = await MeshTestNode.start({ ...options, token });
        await first.listed("alpha");
        ids = [...ids, first.id];
        assert.equal((await first.node.stop()).code, 0);
      }
      await using again = await MeshTestNode.start(options);
      await again.listed("alpha");
      const ms = Math.round(performance.now() - again.openedAtMs);
      tellFigure(`${isClient ? "client" : "member"} is back ${ms} ms after its "API:" line`);
      assert.equal(again.id, ids.at(-1));
      await assertAnswered(again, "alpha", host);
    }
  });

  await t.step("a host that was killed, on another port, while the others ran on", async () => {
    await using member = await MeshTestNode.start({ serves: "beta", homeDir: memberHome });
    await using client = await MeshTestNode.start({ homeDir: clientHome, isClient: true });
    let hostId: string;
    {
      await using host = await startHost(ports[0]);
      hostId = host.id;
      await Promise.all([member.listed("alpha"), client.listed("alpha"), host.listed("beta")]);
      // What it learned in its last second a killed host may not know the next time.
      const { peer_port: port } = await member.events.status(() => true, "status");
      await until(async () => (await readMesh(hostHome)).includes(`:${port}`), "a kept address");
      await host.die();
      await Promise.all([member, client].map(({ events }) => events.peer(hostId, "gone")));
    }
    await member.events.status(({ peers }) => peers.length === 0, "status without the host");
    await client.events.status(
      ({ peers }) => peers.every(({ id }) => id !== hostId),
      "status without the host",
    );
    await using host = await startHost(ports[1]);
    assert.equal(host.id, hostId);
    assert.equal((await host.events.status(() => true, "status")).mesh_id, meshId);
    await Promise.all([member.listed("alpha"), host.listed("beta")]);
    const back = member.events.peers.findLast(({ id, event }) =>
      id === hostId && event === "joined"
    );
    const ms = Math.round((back?.atMs ?? NaN) - host.openedAtMs);
    tellFigure(`the mesh has a restarted host back ${ms} ms after its "API:" line`);
    await assertAnswered(member, "alpha", host);
    await assertAnswered(host, "beta", member);
    await client.listed("alpha");
    await assertAnswered(client, "alpha", host);
  });
});
