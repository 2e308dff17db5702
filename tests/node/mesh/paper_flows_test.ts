import assert from "node:assert/strict";
import { isRefusal } from "~/mesh/refusal.ts";
import { RIGHTS } from "~/mesh/credentials.ts";
import { Issuer } from "~/mesh/issuer.ts";
import { PaperTrust } from "~/mesh/trust.ts";
import { standInId, standInJws, standInSigner, standInVerifier } from "#support/stand_in_signer.ts";
import { meshOf, type RunningNode, type RuntimeWorld } from "#support/runtime_mesh.ts";

const DAY_MS = 86_400_000;

/** A mesh of a, who began it, and others who joined by its token; all are linked and have their grants. */
async function grantedMesh<Name extends string>(
  names: readonly Name[],
  options: { readonly isClosed?: boolean } = {},
) {
  const mesh = await meshOf(names, options);
  const { world } = mesh;
  await world.until(() => world.nodes.every(({ linked }) => linked.length === names.length));
  await world.run(1_000);
  return mesh;
}

function serialOf(node: RunningNode): string {
  return node.life.authority.certificate?.paper.inviteSerial ?? "";
}

Deno.test("papers: a new member gets a grant and can invite, also when the originator is gone", async () => {
  const { world, a, b } = await grantedMesh(["b"]);
  assert.deepEqual(b.invites.length, 1);
  const token = b.token;
  a.kill();
  const c = world.start("c");
  await world.done(c.runtime.join([token]));
  await world.agreed([b, c], 6_000);
  assert.equal(c.runtime.invite, undefined, "nobody is there who could grant it that");
  const again = a.again({ port: a.transport.port });
  await world.done(again.runtime.resume());
  await world.until(() => c.runtime.invite !== undefined);
  await world.end();
});

Deno.test("papers: in a closed mesh only the originator invites", async () => {
  const { world, a, b } = await grantedMesh(["b"], { isClosed: true });
  assert.deepEqual(b.invites, []);
  await assert.rejects(b.invite("member"), {
    message: "Cannot make an invite: the originator of the mesh has not allowed it to this node",
  });
  const c = await world.joined("c", a);
  await world.agreed([a, b, c]);
  const named = a.runtime.invite?.paper.peers.map(({ nodeId }) => nodeId);
  assert.deepEqual(named, [a.id], "who may not admit others is not named");
  await world.end();
});

Deno.test("papers: to revoke a node closes its links everywhere, and it can't come back", async () => {
  const { world, a, b, c, d } = await grantedMesh(["b", "c", "d"]);
  const [token = ""] = a.invites;
  const kept = b.store.reopened();
  const { closedLinks } = await world.done(a.life.flows.revoke({ node: b.id }, false));
  assert.equal(closedLinks, 1);
  const tookMs = await world.agreed([a, c, d]);
  assert.ok(tookMs <= 1_000, `it took ${tookMs} ms`);
  for (const node of [a, c, d]) assert.ok(!node.linked.includes(b.id));
  assert.equal(b.runtime.life, undefined, "it goes on alone");
  await world.run(2_000);
  assert.equal(b.store.text, undefined, "and forgets the mesh");

  // With its old certificate, before it has heard anything.
  await world.done(b.runtime.close());
  const stubborn = b.again({ store: kept });
  await world.done(stubborn.runtime.resume());
  await world.run(10_000);
  await world.agreed([a, c, d], 0);
  // With a new key and the token that let it in.
  const renamed = world.start("b with a new key");
  const { problem } = await world.done(
    renamed.runtime.join([token]).then(
      () => ({ problem: "" }),
      ({ message }) => ({ problem: message as string }),
    ),
  );
  assert.equal(problem, "Cannot join: The invite token was revoked");
  await world.end();
});

Deno.test("papers: to revoke an invite ends everybody who came by it", async () => {
  const { world, a, b } = await grantedMesh(["b"]);
  const c = world.start("c");
  await world.done(c.runtime.join([await a.invite("member")]));
  await world.agreed([a, b, c]);
  await world.run(1_000);
  const serial = serialOf(c);
  assert.deepEqual(await world.done(a.life.flows.revoke({ serial }, false)), {
    closedLinks: 1,
    // It came as an inviter, so it is named too, with the invite that it came by.
    closedInvites: [serial],
    ended: [c.id],
  });
  await world.agreed([a, b], 1_000);
  assert.equal(c.runtime.life, undefined);
  await world.end();
});

Deno.test("papers: whom a revoked member let in may stay when that is said, and nobody sees them go", async () => {
  const { world, a, b, d } = await grantedMesh(["b", "d"]);
  const c = await world.joined("c", b);
  await world.agreed([a, b, c, d]);
  await world.run(2_000);
  const seenBefore = d.seen(c).length;
  const { ended } = await world.done(a.life.flows.revoke({ node: b.id }, true));
  assert.deepEqual(ended, [b.id]);
  await world.agreed([a, c, d], 3_000);
  await world.run(20_000);
  await world.agreed([a, c, d], 0);
  const since = d.seen(c).slice(seenBefore);
  assert.ok(!since.some((event) => ["left", "gone", "suspect"].includes(event)), `${since}`);
  await world.end();
});

Deno.test("papers: without that, whom a revoked member let in goes too", async () => {
  const { world, a, b, d } = await grantedMesh(["b", "d"]);
  const c = await world.joined("c", b);
  await world.agreed([a, b, c, d]);
  await world.run(2_000);
  const came = serialOf(b);
  const { ended, closedInvites } = await world.done(a.life.flows.revoke({ node: b.id }, false));
  assert.deepEqual([...ended].sort(), [b.id, c.id].sort());
  assert.deepEqual(closedInvites, [came]);
  await world.agreed([a, d], 3_000);
  assert.equal(c.runtime.life, undefined);
  await world.end();
});

Deno.test("papers: a member that was away hears of a revocation when it comes back", async () => {
  const { world, a, b, c } = await grantedMesh(["b", "c"]);
  await world.run(2_000);
  await world.done(c.runtime.close());
  await world.done(a.life.flows.revoke({ node: b.id }, false));
  const again = c.again();
  await world.done(again.runtime.resume());
  await world.agreed([a, again]);
  await world.until(() => again.life.authority.revocationSerials().length > 0);
  await world.end();
});

Deno.test("papers: a node may not revoke whom it did not let in", async () => {
  const { world, a, b, c } = await grantedMesh(["b", "c"]);
  await assert.rejects(world.done(b.life.flows.revoke({ node: c.id }, false)), {
    name: "UserError",
    message: /^Cannot revoke node .* may revoke only what it issued/,
  });
  await world.agreed([a, b, c], 0);
  await world.end();
});

Deno.test("papers: certificates are renewed in time, month after month, a client's too", async () => {
  const { world, a, b } = await grantedMesh(["b"]);
  const c = await world.joined("c", a, { isClient: true });
  const d = world.start("d");
  await world.done(d.runtime.join([await a.invite("client")]));
  await world.run(2_000);
  const expiry = ({ life }: RunningNode) => life.authority.certificate?.paper.expiresUnixS ?? 0;
  const before = [a, b, c, d].map(expiry);
  await halfYear(world);
  for (const [n, node] of [a, b, c, d].entries()) {
    assert.ok(expiry(node) > (before[n] ?? 0) + 150 * 86_400, node.name);
    assert.ok(expiry(node) * 1000 > world.clock.wallMs() + 5 * DAY_MS, node.name);
  }
  await world.until(() => [a, b].every(({ members }) => members.length === 1));
  await world.until(() => [c, d].every(({ members }) => members.length === 2));
  await world.end();
});

/** Half a year, a week at a time; the next look at papers comes within a minute. */
async function halfYear(world: RuntimeWorld): Promise<void> {
  for (let week = 0; week < 26; week += 1) {
    world.sleptMs += 7 * DAY_MS;
    await world.run(70_000);
  }
}

Deno.test("papers: regression: a client's link does not end with the certificate that it was made with", async () => {
  const { world, a, b } = await grantedMesh(["b"]);
  const c = await world.joined("c", a, { isClient: true });
  const d = world.start("d");
  await world.done(d.runtime.join([await a.invite("client")]));
  await world.until(() => [c, d].every(({ linked }) => linked.length === 2));
  await world.run(10_000);
  const before = world.network.connectionCount;
  const clients = [c, d].map(({ id }) => id).sort();
  await halfYear(world);
  assert.equal(world.network.connectionCount, before, "nobody had to dial anew");
  assert.deepEqual([...a.life.session.clients()].sort(), clients);
  assert.deepEqual([...b.life.session.clients()].sort(), clients);
  await world.end();
});

Deno.test("papers: regression: who may not renew is renewed again and again over one link", async () => {
  const { world, a, b } = await grantedMesh(["b"], { isClosed: true });
  const before = world.network.connectionCount;
  await halfYear(world);
  assert.equal(world.network.connectionCount, before);
  const { certificate } = b.life.authority;
  assert.ok((certificate?.paper.expiresUnixS ?? 0) * 1000 > world.clock.wallMs() + 5 * DAY_MS);
  await world.agreed([a, b], 0);
  await world.end();
});

Deno.test("papers: a client that is kept although its issuer is revoked keeps its links too", async () => {
  const { world, a, b, d } = await grantedMesh(["b", "d"]);
  const c = world.start("c");
  await world.done(c.runtime.join([await b.invite("client")]));
  // Requests for them give it links with all.
  for (const { id } of [a, b, d]) c.life.session.tell({ kind: "want_direct", peer: id });
  await world.until(() => c.linked.length === 3);
  await world.run(2_000);
  const links = [a, d].map(({ id }) => c.life.session.table.get(id));
  await world.done(a.life.flows.revoke({ node: b.id }, true));
  await world.run(20_000);
  assert.deepEqual(c.linked, [a.id, d.id].sort());
  assert.deepEqual([a, d].map(({ id }) => c.life.session.table.get(id)), links);
  await world.end();
});

Deno.test("papers: a client that shows certificates of others loses its link", async () => {
  const { world, a } = await grantedMesh([]);
  const c = world.start("c");
  await world.done(c.runtime.join([await a.invite("client")]));
  const { certificate } = a.life.authority;
  assert.ok(certificate !== undefined);
  const link = c.life.session.table.get(a.id);
  for (let n = 0; n < 7; n += 1) link?.send({ t: "certificate", certificate: certificate.jws });
  await world.run(100);
  assert.deepEqual(a.linked, [c.id]);
  link?.send({ t: "certificate", certificate: certificate.jws });
  await world.until(() => a.linked.length === 0);
  await world.end();
});

Deno.test("papers: the standing invite is made anew before it expires, without anything else happening", async () => {
  const { world, a } = await grantedMesh([]);
  const before = a.token;
  await world.run(3_600_000);
  assert.equal(a.token, before);
  world.sleptMs += 4 * DAY_MS;
  await world.run(70_000);
  assert.notEqual(a.token, before);
  assert.equal(a.invites.length, 1, "it is printed once");
  await world.end();
});

Deno.test("papers: a member that slept for longer than its certificate renews it by its grant", async () => {
  const { world, a, b } = await grantedMesh(["b"]);
  world.sleptMs += 40 * DAY_MS;
  await world.run(90_000);
  await world.agreed([a, b]);
  await world.end();
});

Deno.test("papers: who may not renew and slept too long is out, and keeps what it knows", async () => {
  const { world, a, b } = await grantedMesh(["b"], { isClosed: true });
  await world.run(2_000);
  world.network.cut(a.ip, b.ip);
  await world.run(20_000);
  world.sleptMs += 40 * DAY_MS;
  await world.run(70_000);
  assert.equal(b.runtime.life, undefined);
  assert.equal((await b.store.load())?.meshId, a.meshId);
  world.network.heal();
  await world.run(10_000);
  assert.deepEqual(a.members, []);
  await world.done(b.runtime.close());
  const again = b.again();
  await world.done(again.runtime.join([await a.invite("member")]));
  await world.agreed([a, again]);
  await world.end();
});

Deno.test("papers: a grant, a renewal and revocations that nobody can have signed change nothing, and end the link", async () => {
  const { world, a, b, c } = await grantedMesh(["b", "c"]);
  const { certificate } = c.life.authority;
  const link = b.life.session.table.get(c.id);
  const [, payload = ""] = certificate?.jws.split(".") ?? [];
  const claims = JSON.parse(atob(payload.replaceAll("-", "+").replaceAll("_", "/")));
  const revocation = (n: number) =>
    standInJws(standInId("mallory"), "mesh-llm-revocation", {
      ...claims,
      jti: `${claims.jti.slice(0, -1)}${n}`,
      node: a.id,
      sub: undefined,
      rights: undefined,
    });
  const forged = standInJws(standInId("mallory"), "mesh-llm-certificate", claims);
  link?.send({ t: "grant", grant: forged });
  link?.send({ t: "renewed", certificate: forged });
  await world.run(100);
  assert.ok(c.linked.includes(b.id));
  assert.equal(c.life.authority.certificate, certificate);
  link?.send({ t: "revocations", papers: Array.from({ length: 9 }, (_, n) => revocation(n)) });
  await world.until(() => !c.linked.includes(b.id));
  assert.deepEqual(c.life.authority.revocationSerials(), []);
  await world.run(5_000);
  await world.agreed([a, b, c]);
  await world.end();
});

/** Signs as a member with its grant, whatever its program would not sign. */
async function issuerOf(world: RuntimeWorld, { id, life }: RunningNode): Promise<Issuer> {
  const { authority } = life;
  const trust = new PaperTrust({ meshId: authority.meshId, verifier: standInVerifier });
  const grant = await trust.read("mesh-llm-grant", authority.papers().grant ?? "");
  assert.ok(!isRefusal(grant));
  const { clock, secrets } = world;
  return new Issuer({ meshId: authority.meshId, signer: standInSigner(id), grant, clock, secrets });
}

Deno.test("papers: a member cannot put others out by making them a certificate that it may revoke", async () => {
  const { world, a, b, c } = await grantedMesh(["b", "c"]);
  const mallory = await issuerOf(world, b);
  await world.run(2_000);
  for (const victim of [a, c]) {
    const { certificate } = victim.life.authority;
    const made = await mallory.certificate({
      subject: victim.id,
      rights: RIGHTS,
      inviteSerial: certificate?.paper.inviteSerial ?? mallory.freshSerial(),
    });
    const link = b.life.session.table.get(victim.id);
    link?.send({ t: "renewed", certificate: made.jws });
    await world.run(1_000);
    assert.equal(victim.life.authority.certificate?.jws, certificate?.jws, "it was not asked for");
    const revoked = { kind: "node", nodeId: victim.id, closes: undefined } as const;
    const { jws } = await mallory.revocation({ revoked });
    link?.send({ t: "revocations", papers: [jws] });
    await world.run(3_000);
    assert.ok(victim.runtime.life !== undefined, `${victim.name} is still in`);
  }
  await world.agreed([a, b, c]);
  await world.end();
});
