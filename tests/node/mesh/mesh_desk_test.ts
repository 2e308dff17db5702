import assert from "node:assert/strict";
import { NodeRefusal } from "~/api/ports.ts";
import { MeshDesk } from "~/node/mesh/mesh_desk.ts";
import { NO_MESH_FACTS, NoMesh } from "#support/no_mesh.ts";
import { standInId } from "#support/stand_in_signer.ts";
import { meshOf, type RunningNode, RuntimeWorld } from "#support/runtime_mesh.ts";

function deskOf({ runtime, id }: RunningNode): MeshDesk {
  return new MeshDesk(
    runtime,
    () => ({ nodeId: id, version: "0.1.0", serving: ["x"], models: ["x", "y"] }),
  );
}

Deno.test("mesh desk: in no mesh there is nothing to show, and nothing to do", async () => {
  const desk = new MeshDesk(
    new NoMesh(),
    () => ({ nodeId: "n", version: "1", serving: [], models: [] }),
  );
  assert.deepEqual(desk.facts(), NO_MESH_FACTS);
  assert.deepEqual(desk.members(), []);
  await assert.rejects(
    desk.makeInvite({ role: "member", expiresInS: 60 }),
    (error) => error instanceof NodeRefusal && error.kind === "conflict",
  );
});

Deno.test("mesh desk: shows the mesh: token, peers, clients, this node first", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const b = await world.joined("b", a);
  await world.joined("c", a, { isClient: true });
  await world.agreed([a, b]);
  await world.run(7_000);
  const facts = deskOf(a).facts();
  assert.equal(facts.meshId, a.meshId);
  assert.equal(facts.token, a.token);
  assert.equal(facts.clients, 1);
  assert.equal(facts.isClient, false);
  assert.deepEqual(
    facts.peers.map(({ id, reached, rtt_ms }) => [id, reached, rtt_ms]),
    [[b.id, "direct", 2]],
  );
  const members = deskOf(a).members();
  assert.deepEqual(members.map(({ id, is_self }) => [id, is_self]), [[a.id, true], [b.id, false]]);
  assert.deepEqual([members[0]?.clients, members[0]?.serving], [1, ["x"]]);
  await world.end();
});

Deno.test("mesh desk: makes invites for members and clients", async () => {
  const world = new RuntimeWorld();
  const a = await world.resumed("a");
  const made = await deskOf(a).makeInvite({ role: "client", expiresInS: 3_600 });
  assert.equal(made.role, "client");
  assert.equal(made.expires_unix_s, Math.floor(world.clock.wallMs() / 1000) + 3_600);
  const b = world.start("b");
  const joined = await world.done(deskOf(b).join(made.token, new AbortController().signal));
  assert.deepEqual(joined, { mesh_id: a.meshId, peers: 1 });
  assert.equal(b.life.role, "client");
  await assert.rejects(deskOf(b).makeInvite({ role: "member", expiresInS: 60 }), {
    message: /has not allowed it to this node/,
  });
  await world.end();
});

Deno.test("mesh desk: revokes what is named, and says what it does not know", async () => {
  const { world, a, b } = await meshOf(["b"]);
  const desk = deskOf(a);
  for (const request of [{ node: "someone" }, { serial: "some" }]) {
    await assert.rejects(
      desk.revoke({ ...request, keep: false }),
      (error) => error instanceof NodeRefusal && error.kind === "not_found",
    );
  }
  await assert.rejects(world.done(desk.revoke({ node: a.id, keep: false })), {
    message: /Cannot revoke this node itself/,
  });
  const serial = b.life.authority.certificate?.paper.inviteSerial;
  const revoked = await world.done(desk.revoke({ node: b.id, keep: false }));
  assert.deepEqual(revoked, {
    revoked: b.id,
    closed_links: 1,
    closed_invites: [serial],
    ended_nodes: [b.id],
  });
  // Somebody who is not here, and never was: the mesh key may say so.
  const stranger = standInId("stranger");
  const none = await world.done(desk.revoke({ node: stranger, keep: false }));
  const nothing = { "closed_links": 0, "closed_invites": [], "ended_nodes": [] };
  assert.deepEqual(none, { revoked: stranger, ...nothing });
  await world.end();
});
