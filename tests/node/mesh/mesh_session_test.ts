import assert from "node:assert/strict";
import type { ControlMessage } from "~/mesh/control.ts";
import { decodeRecord, encodeRecord } from "~/mesh/record_codec.ts";
import { peekPayload } from "~/mesh/signing.ts";
import { standInId, standInJws } from "#support/stand_in_signer.ts";
import { meshOf, type RunningNode, RuntimeWorld } from "#support/runtime_mesh.ts";

/** Three nodes that are linked with each other. */
async function three() {
  const mesh = await meshOf(["b", "c"]);
  const { world } = mesh;
  await world.until(() => world.nodes.every(({ linked }) => linked.length === 2));
  await world.run(2_000);
  return mesh;
}

function say(from: RunningNode, to: RunningNode, ...messages: ControlMessage[]): void {
  for (const message of messages) from.life.session.table.get(to.id)?.send(message);
}

Deno.test("session: two processes with one key: one of them is told to end, and the others keep one", async () => {
  const { world, a, b, c } = await three();
  const copy = b.again({ store: b.store.reopened(), ip: "10.0.0.99" });
  await world.done(copy.runtime.resume());
  await world.until(() => b.clashes + copy.clashes > 0, 30_000);
  const [ends, stays] = b.clashes > 0 ? [b, copy] : [copy, b];
  ends.kill();
  await world.agreed([a, stays, c], 10_000);
  await world.run(30_000);
  assert.equal(stays.clashes, 0);
  await world.agreed([a, stays, c], 0);
  await world.end();
});

Deno.test("session: two clients with one key do not drive each other out all the time", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const c = await world.joined("c", a, { isClient: true });
  await world.run(2_000);
  const copy = c.again({ store: c.store.reopened(), ip: "10.0.0.99", isClient: true });
  await world.done(copy.runtime.resume());
  const before = world.network.connectionCount;
  await world.run(60_000);
  const made = world.network.connectionCount - before;
  assert.ok(made <= 8, `${made} connections in a minute`);
  await world.end();
});

Deno.test("session: a node started anew takes the place of its old process at once", async () => {
  const { world, a, b, c } = await three();
  b.kill();
  const again = b.again({ port: b.transport.port });
  await world.done(again.runtime.resume());
  const isNew = (node: RunningNode): boolean =>
    node.life.session.table.get(b.id)?.peer.session === again.session;
  await world.until(() => isNew(a) && isNew(c), 2_000);
  assert.ok(![...a.seen(b), ...c.seen(b)].includes("gone"));
  await world.run(20_000);
  await world.agreed([a, again, c], 0);
  await world.end();
});

Deno.test("session: two that are cut off from each other stay members through a third, and are linked again when it heals", async () => {
  const { world, a, b, c } = await three();
  world.network.cut(b.ip, c.ip);
  await world.until(() => !b.linked.includes(c.id) && !c.linked.includes(b.id), 20_000);
  await world.agreed([a, b, c], 0);
  const view = b.life.session.member(c.id);
  assert.deepEqual([view?.isDirect, view?.via], [false, [a.id]]);
  assert.ok(!b.seen(c).includes("gone") && !b.seen(c).includes("left"));
  world.network.heal();
  await world.until(() => b.linked.includes(c.id) && c.linked.includes(b.id), 65_000);
  await world.end();
});

Deno.test("session: a mesh that was split agrees within 5 s after it heals", async () => {
  const { world, a, b, c } = await three();
  const d = await world.joined("d", a);
  await world.agreed([a, b, c, d]);
  for (const one of [a, b]) for (const other of [c, d]) world.network.cut(one.ip, other.ip);
  await world.until(() => a.members.join() === b.id && c.members.join() === d.id, 10_000);
  await world.run(120_000);
  world.network.heal();
  await world.agreed([a, b, c, d], 5_000);
  await world.end();
});

Deno.test("session: records that do not hold change nothing", async () => {
  const { world, a, b, c } = await three();
  const record = b.life.session.member(a.id)?.record;
  assert.ok(record !== undefined);
  const payload = peekPayload(record.jws, 1e6) ?? {};
  const newer = { ...payload, incarnation: record.record.incarnation + 1_000, models: ["bad"] };
  const leaving = { ...payload, incarnation: record.record.incarnation + 2_000, leaving: true };
  const far = { ...payload, incarnation: world.clock.wallMs() + 3 * 86_400_000 };
  const mallory = standInId("mallory");
  const asMallory = { ...newer, node: mallory };
  say(b, c, {
    t: "records",
    records: [
      // Somebody else's word about a node; a stranger with a's certificate; with none that holds.
      standInJws(b.id, "mesh-llm-record", newer),
      standInJws(b.id, "mesh-llm-record", leaving),
      standInJws(mallory, "mesh-llm-record", asMallory),
      standInJws(mallory, "mesh-llm-record", { ...asMallory, certificate: "a.b.c" }),
      // Signed by its own key, as another kind of paper.
      standInJws(a.id, "mesh-llm-proof", newer),
      "a.b.c",
    ],
  });
  // What its own key signed for a year from now would shut it out for good.
  say(b, c, { t: "records", records: [standInJws(a.id, "mesh-llm-record", far)] });
  await world.run(2_000);
  await world.agreed([a, b, c], 0);
  const kept = c.life.session.member(a.id)?.record.record;
  assert.equal(kept?.incarnation, record.record.incarnation);
  assert.equal(a.clashes, 0);
  await world.end();
});

Deno.test("session: nobody can say that others are gone, nor invent any", async () => {
  const { world, a, b, c } = await three();
  const invented = Array.from({ length: 1_000 }, (_, n) => standInId(`invented ${n}`));
  say(
    b,
    c,
    { t: "paths", reset: true, up: [], down: [a.id, c.id] },
    { t: "paths", reset: false, up: invented, down: [] },
    { t: "digest", have: [], revoked: [], answer: false },
    { t: "want", nodes: invented.slice(0, 64) },
    {
      t: "dial_me",
      target: c.id,
      from: invented[0] ?? "",
      leafHash: standInId("leaf"),
      addresses: [{ ip: "10.9.9.9", port: 9 }],
    },
  );
  await world.run(10_000);
  await world.agreed([a, b, c], 0);
  assert.ok(!c.seen(a).some((event) => ["suspect", "gone", "left"].includes(event)));
  await world.end();
});

Deno.test("session: a peer that floods loses its link, the others keep theirs, and it is not dialled at once", async () => {
  const { world, a, b, c } = await three();
  const flood = Array.from({ length: 1_500 }, () => ({ t: "want", nodes: [a.id] }) as const);
  say(b, c, ...flood);
  await world.until(() => !c.linked.includes(b.id), 2_000);
  assert.deepEqual(c.linked, [a.id]);
  assert.ok(!c.seen(a).includes("suspect"));
  await world.run(5_000);
  assert.ok(!b.linked.includes(c.id), "who was sent away does not knock again at once");
  await world.end();
});

Deno.test("session: a peer without room is left alone for a while", async () => {
  const { world, a, b, c } = await three();
  const before = world.network.connectionCount;
  const turnAway = (): void => {
    for (const node of [b, c]) a.life.session.table.get(node.id)?.close("full");
  };
  turnAway();
  await world.run(9_000);
  // The peer itself may dial; those whom it sent away must not.
  const made = world.network.connectionCount - before;
  assert.ok(made <= 4, `${made} connections`);
  await world.until(() => a.linked.length === 2, 60_000);
  await world.end();
});

Deno.test("session: a clock that was set back between two starts does not keep a node out", async () => {
  const { world, a, b, c } = await three();
  b.kill();
  world.sleptMs -= 3_600_000;
  const again = b.again({ port: b.transport.port });
  await world.done(again.runtime.resume());
  await world.agreed([a, again, c], 5_000);
  await world.run(10_000);
  assert.equal(again.clashes, 0);
  for (const node of [a, c]) {
    assert.equal(node.life.session.member(b.id)?.record.record.session, again.session);
  }
  await world.end();
});

Deno.test("session: what it says about itself is what others read", async () => {
  const { world, a, b } = await three();
  const { jws, record } = b.life.session.member(a.id)?.record ?? {};
  assert.ok(jws !== undefined && record !== undefined);
  const read = decodeRecord(peekPayload(jws, 1e6) ?? {});
  assert.deepEqual(read?.record, record);
  assert.deepEqual(record.addresses, [a.transport.address]);
  assert.equal(record.dialable, "yes");
  assert.equal(encodeRecord(record, "c")["node"], a.id);
  await world.end();
});

Deno.test("session: a node behind a translation of addresses says that nobody can dial it", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const b = await world.joined("b", a, { interfaces: ["192.168.1.2"] });
  await world.agreed([a, b]);
  await world.until(() => a.life.session.member(b.id)?.record.record.dialable === "no");
  await world.until(() => b.runtime.invite !== undefined);
  const named = b.runtime.invite?.paper.peers.map(({ nodeId }) => nodeId);
  assert.deepEqual(named, [a.id, b.id], "its own token names first whom one can dial");
  await world.end();
});

Deno.test("session: what is asked for at a client is heard by its gateway; the word of a member is not", async () => {
  const { world, a, b, c } = await three();
  const client = await world.joined("client", a, { isClient: true });
  await world.until(() => client.linked.length > 0);
  const asked = [{ id: "tiny", requests: 2 }];
  const [gateway] = [a, b, c].filter(({ id }) => client.linked.includes(id));
  assert.ok(gateway !== undefined);
  say(client, gateway, { t: "demand", asked });
  say(b, c, { t: "demand", asked });
  say(gateway, client, { t: "demand", asked });
  await world.until(() => gateway.demand.length > 0, 1_000);
  await world.run(1_000);
  assert.deepEqual(gateway.demand, [[client.id, asked]]);
  assert.deepEqual([a, b, c, client].flatMap(({ demand }) => demand).length, 1);
  await world.end();
});
