import assert from "node:assert/strict";
import { decodeMemory, encodeMemory } from "~/mesh/mesh_memory.ts";
import { meshOf, type RunningNode, type RuntimeWorld } from "#support/runtime_mesh.ts";

/** A mesh of a, who began it, and others that came by its token, all of them kept by each other. */
async function keptMesh<Name extends string>(names: readonly Name[]) {
  const mesh = await meshOf(names);
  const { world } = mesh;
  await world.run(3_000);
  for (const node of world.nodes) assert.equal((await kept(node)).length, names.length);
  return mesh;
}

async function kept({ store }: RunningNode): Promise<string[]> {
  return (await store.load())?.peers.map(({ nodeId }) => nodeId) ?? [];
}

/** How many connections came about while so much time passed. */
async function connectionsIn(world: RuntimeWorld, forMs: number): Promise<number> {
  const before = world.network.connectionCount;
  await world.run(forMs);
  return world.network.connectionCount - before;
}

Deno.test("revoked peers: regression: a revoked node is kept no more, and not dialled after a restart", async () => {
  const { world, a, b, c } = await keptMesh(["b", "c"]);
  await world.done(a.life.flows.revoke({ node: b.id }, false));
  await world.run(3_000);
  assert.deepEqual([await kept(a), await kept(c)], [[c.id], [a.id]]);
  for (const node of [a, c]) await world.done(node.runtime.close());
  assert.notEqual(world.network.at(b.transport.address), undefined, "it could be reached");
  for (const node of [a, c]) {
    const again = node.again();
    await world.done(again.runtime.resume());
    assert.equal(await connectionsIn(world, 60_000), 0);
    await world.done(again.runtime.close());
  }
  await world.end();
});

Deno.test("revoked peers: what an older program kept of a revoked node is not dialled, and goes", async () => {
  const { world, a, b } = await keptMesh(["b"]);
  const before = await a.store.load();
  await world.done(a.life.flows.revoke({ node: b.id }, false));
  await world.run(3_000);
  await world.done(a.runtime.close());
  const store = a.store.reopened();
  const memory = decodeMemory(store.text ?? "");
  assert.ok(memory !== undefined && before !== undefined);
  store.text = encodeMemory({ ...memory, peers: before.peers });
  const again = a.again({ store });
  await world.done(again.runtime.resume());
  assert.equal(await connectionsIn(world, 60_000), 0);
  assert.deepEqual(await kept(again), []);
  await world.end();
});

Deno.test("revoked peers: whom a member revoked that it had let in, the others keep no more", async () => {
  const { world, a, b } = await keptMesh(["b"]);
  await world.until(() => b.runtime.invite !== undefined);
  const c = await world.joined("c", b);
  await world.agreed([a, b, c]);
  await world.run(3_000);
  assert.ok((await kept(a)).includes(c.id));
  await world.done(b.life.flows.revoke({ node: c.id }, false));
  await world.run(3_000);
  assert.deepEqual([await kept(a), await kept(b)], [[b.id], [a.id]]);
  await world.end();
});

Deno.test("revoked peers: whom an invite's end put out is forgotten when its certificate is seen", async () => {
  const { world, a, m, d } = await keptMesh(["m", "d"]);
  await world.until(() => m.runtime.invite !== undefined);
  const b = await world.joined("b", m);
  await world.agreed([a, m, d, b]);
  await world.run(3_000);
  const stubborn = b.store.reopened();
  const serial = b.life.authority.certificate?.paper.inviteSerial ?? "";
  await world.done(d.runtime.close());
  await world.done(m.life.flows.revoke({ serial }, false));
  await world.done(b.runtime.close());
  const late = d.again();
  await world.done(late.runtime.resume());
  await world.agreed([a, m, late]);
  await world.run(3_000);
  assert.ok((await kept(late)).includes(b.id), "nothing says who came by that invite");
  for (const node of [a, m, late]) await world.done(node.runtime.close());
  const back = b.again({ store: stubborn, port: b.transport.port });
  await world.done(back.runtime.resume());
  const last = late.again();
  await world.done(last.runtime.resume());
  await world.run(10_000);
  assert.deepEqual([last.members, last.linked], [[], []]);
  assert.deepEqual((await kept(last)).sort(), [a.id, m.id].sort());
  await world.end();
});

Deno.test("revoked peers: a token that names a revoked node does not lead to it", async () => {
  const { world, a, b, c } = await keptMesh(["b", "c"]);
  const token = (await a.life.makeInvite(["request"], undefined, [{
    nodeId: b.id,
    leafHash: b.transport.leafHash,
    addresses: [b.transport.address],
  }])).jws;
  await world.done(a.life.flows.revoke({ node: b.id }, false));
  await world.run(3_000);
  for (const node of [a, c]) await world.done(node.runtime.close());
  const again = c.again();
  await world.done(again.runtime.join([token]));
  assert.equal(await connectionsIn(world, 60_000), 0);
  assert.deepEqual(await kept(again), [a.id]);
  await world.end();
});
