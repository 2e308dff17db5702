import assert from "node:assert/strict";
import { MeshTestNode, tellFigure } from "#support/mesh_nodes.ts";

async function assertAnswers(client: MeshTestNode, model: string, host: MeshTestNode) {
  const response = await client.chat(model);
  await response.body?.cancel();
  const by = response.headers.get("x-mesh-llm-node");
  assert.deepEqual([response.status, by], [200, host.id]);
}

Deno.test("a client whose gateway dies goes on over another, and costs the mesh no member", async () => {
  await using gateway = await MeshTestNode.start({ serves: "alpha" });
  const token = await gateway.token();
  await using other = await MeshTestNode.start({ serves: "beta", token });
  await other.listed("alpha");
  await using client = await MeshTestNode.start({ isClient: true, token });
  await Promise.all([client.listed("alpha"), client.listed("beta")]);
  await assertAnswers(client, "alpha", gateway);
  await assertAnswers(client, "beta", other);
  // Nobody lists the client as a member.
  const { peers } = await other.events.status(() => true, "status");
  assert.deepEqual(peers.map(({ id }) => id), [gateway.id]);
  await gateway.die();
  const diedMs = performance.now();
  await client.events.peer(gateway.id, "gone");
  tellFigure(`the client sees its gateway gone after ${Math.round(performance.now() - diedMs)} ms`);
  await assertAnswers(client, "beta", other);
  assert.deepEqual(await client.models(), ["beta"]);
  // A member that comes now is known to the client through the gateway that is left.
  await using late = await MeshTestNode.start({ serves: "gamma", token: await other.token() });
  await client.listed("gamma");
  await assertAnswers(client, "gamma", late);
});
