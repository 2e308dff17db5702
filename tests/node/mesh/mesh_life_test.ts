import assert from "node:assert/strict";
import { RIGHTS } from "~/mesh/credentials.ts";
import { meshOf, type RunningNode, RuntimeWorld } from "#support/runtime_mesh.ts";

function named(node: RunningNode): string[] {
  return node.life.bootstrapPeers().map(({ nodeId }) => nodeId);
}

Deno.test("life: a member names itself first in its invites, a client never", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const b = await world.joined("b", a);
  const c = await world.joined("c", a, { isClient: true });
  await world.agreed([a, b]);
  await world.until(() => c.members.length === 2);
  assert.deepEqual(named(b), [b.id, a.id]);
  assert.deepEqual(named(c), [a.id, b.id].sort());
  await world.end();
});

Deno.test("life: an invite leads to members when the node that made it is gone", async () => {
  const { world, a, b } = await meshOf(["b"]);
  await world.until(() => b.runtime.invite !== undefined && named(a).length === 2);
  const token = (await a.life.makeInvite(RIGHTS)).jws;
  a.kill();
  const c = world.start("c");
  await world.done(c.runtime.join([token]));
  await world.agreed([b, c], 6_000);
  await world.end();
});

Deno.test("life: only the best peers fit into an invite", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const others = [];
  for (const name of ["b", "c", "d", "e", "f"]) others.push(await world.joined(name, a));
  await world.agreed([a, ...others]);
  const { paper } = await a.life.makeInvite(RIGHTS);
  assert.equal(paper.peers.length, 4);
  assert.equal(paper.peers[0]?.nodeId, a.id);
  await world.end();
});

Deno.test("life: advertised addresses come first in the record and in invites", async () => {
  const world = new RuntimeWorld();
  const advertised = [{ ip: "203.0.113.9", port: 7_000 }];
  const a = await world.resumed("a", { advertised });
  const b = await world.joined("b", a);
  await world.agreed([a, b]);
  const { record } = b.life.session.member(a.id)?.record ?? {};
  assert.deepEqual(record?.addresses, [...advertised, a.transport.address]);
  assert.deepEqual(a.runtime.invite?.paper.peers[0]?.addresses[0], advertised[0]);
  await world.end();
});

Deno.test("life: peers of a token that say nothing do not keep a joiner from those that answer", async () => {
  const { world, b } = await meshOf(["b"]);
  await world.until(() => b.runtime.invite !== undefined && named(b).length === 2);
  const token = (await b.life.makeInvite(RIGHTS)).jws;
  b.kill();
  const c = world.start("c");
  const startMs = world.time.nowMs();
  await world.done(c.runtime.join([token]));
  const tookMs = world.time.nowMs() - startMs;
  assert.ok(tookMs <= 2_000, `it took ${tookMs} ms`);
  await world.end();
});

Deno.test("life: a joiner over two slow addresses of one peer is one member with a steady link", async () => {
  const world = new RuntimeWorld({ delayMs: () => 150 });
  const advertised = [{ ip: "10.0.0.1", port: 40_001 }];
  // The same socket under two names: both handshakes are under way at the same time.
  const a = await world.resumed("a", { advertised, interfaces: ["10.0.0.1", "127.0.0.1"] });
  world.network.alias({ ip: "127.0.0.1", port: 40_001 }, a.transport);
  const b = await world.joined("b", a);
  await world.agreed([a, b]);
  await world.run(60_000);
  assert.deepEqual([a.members, a.linked], [[b.id], [b.id]]);
  assert.ok(!a.seen(b).some((event) => ["suspect", "gone"].includes(event)), `${a.seen(b)}`);
  assert.ok(!b.seen(a).some((event) => ["suspect", "gone"].includes(event)), `${b.seen(a)}`);
  await world.end();
});

Deno.test("life: what a node begins to serve is known everywhere within a second", async () => {
  const { world, a, b, c } = await meshOf(["b", "c"]);
  await world.run(2_000);
  b.slot = {
    kind: "ready",
    sinceUnixS: 1,
    model: { id: "tiny", path: "/t", sizeBytes: 1, contextTokens: 1, slots: 1, meta: {} },
  };
  b.runtime.changed();
  const serves = ({ life }: RunningNode): boolean =>
    life.session.member(b.id)?.record.record.serving[0]?.id === "tiny";
  await world.until(() => serves(a) && serves(c), 1_000);
  await world.end();
});

Deno.test("life: regression: nobody computes on a client, over its link or through its gateway", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const taken: string[] = [];
  const c = world.start("c", {
    stream: (link, stream) => {
      taken.push(link.peer.nodeId);
      stream.cancel();
    },
  });
  await world.done(c.runtime.join([await a.invite("client")]));
  const link = a.life.session.table.get(c.id);
  assert.ok(link !== undefined);
  const stream = await link.openStream();
  await stream.write({ kind: "head", head: { t: "request" } });
  await assert.rejects(world.done(stream.read()), { name: "StreamBrokenError" });
  assert.deepEqual(taken, []);
  assert.equal(a.life.ways.wayTo(c.id), undefined);
  await world.end();
});
