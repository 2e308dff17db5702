import assert from "node:assert/strict";
import fc from "fast-check";
import { accepted, bootstrapPeer, codeOf, DAY_MS, PaperMesh } from "#support/paper_mesh.ts";
import { standInId } from "#support/stand_in_signer.ts";
import { UserError } from "~/base/errors.ts";
import type { MeshAuthority } from "~/mesh/authority.ts";
import { type Right, RIGHTS } from "~/mesh/credentials.ts";
import { isRefusal } from "~/mesh/refusal.ts";

const PEERS = [bootstrapPeer("first")];

/** Begins a mesh: its originator's authority. */
async function beginMesh(options: { readonly isClosed?: boolean } = {}) {
  const mesh = new PaperMesh();
  const first = await mesh.authority("first", { isOriginator: true, ...options });
  assert.ok(await first.renewOwn());
  return { mesh, first };
}

/** Lets a node in at `host` by an invite of `inviter`. */
async function join(
  mesh: PaperMesh,
  name: string,
  { inviter, host = inviter, rights = RIGHTS }: {
    readonly inviter: MeshAuthority;
    readonly host?: MeshAuthority;
    readonly rights?: readonly Right[];
  },
) {
  const invite = await inviter.makeInvite({ rights, peers: PEERS });
  const certificate = accepted(await host.admit(invite.jws, standInId(name)));
  const authority = await mesh.authority(name);
  assert.equal(await authority.takeCertificate(certificate.jws), "taken");
  return { id: standInId(name), authority, invite, certificate };
}

/** Gives a node the grant that the originator has for it. */
async function letInvite(first: MeshAuthority, node: Awaited<ReturnType<typeof join>>) {
  const grant = await first.grantFor(node.certificate.jws, node.id);
  assert.equal(await node.authority.takeGrant(grant ?? ""), "taken");
}

Deno.test("MeshAuthority lets a node in with the rights that its invite says", async () => {
  const { mesh, first } = await beginMesh();
  for (
    const rights of [RIGHTS, ["request"], ["request", "serve"]] as readonly (readonly Right[])[]
  ) {
    const { certificate, invite } = await join(mesh, "node", { inviter: first, rights });
    assert.deepEqual(certificate.paper.rights, rights);
    assert.equal(certificate.paper.inviteSerial, invite.paper.serial);
    accepted(await first.checkCertificate(certificate.jws, standInId("node")));
    const other = await first.checkCertificate(certificate.jws, standInId("other"));
    assert.equal(codeOf(other), "certificate");
  }
});

Deno.test("MeshAuthority outlives its originator: members let in others and renew themselves", async () => {
  const { mesh, first } = await beginMesh();
  const one = await join(mesh, "one", { inviter: first });
  assert.equal(one.authority.isIssuer, false);
  await letInvite(first, one);
  assert.ok(one.authority.isIssuer);
  // From here on nobody asks the originator.
  mesh.time.advance(25 * DAY_MS);
  assert.ok(one.authority.isRenewalDue());
  assert.ok(await one.authority.renewOwn());
  const two = await join(mesh, "two", { inviter: one.authority });
  mesh.time.advance(21 * DAY_MS);
  assert.ok(two.authority.isRenewalDue());
  assert.equal(await two.authority.renewOwn(), false);
  const renewed = accepted(await one.authority.renew(two.certificate.jws, two.id));
  assert.equal(renewed.paper.inviteSerial, two.invite.paper.serial);
  assert.equal(await two.authority.takeCertificate(renewed.jws), "taken");
  assert.equal(two.authority.isRenewalDue(), false);
  mesh.time.advance(DAY_MS);
  assert.equal(two.authority.judgeOwn(), undefined);
});

Deno.test("MeshAuthority admits by the invite of another member", async () => {
  const { mesh, first } = await beginMesh();
  const one = await join(mesh, "one", { inviter: first });
  await letInvite(first, one);
  const two = await join(mesh, "two", { inviter: first, host: one.authority });
  accepted(await first.checkCertificate(two.certificate.jws, two.id));
});

Deno.test("MeshAuthority of a node without a grant admits, invites, renews and revokes nobody", async () => {
  const { mesh, first } = await beginMesh();
  const { authority, certificate, id, invite } = await join(mesh, "one", { inviter: first });
  assert.equal(codeOf(await authority.admit(invite.jws, standInId("two"))), "invite");
  assert.equal(codeOf(await authority.renew(certificate.jws, id)), "certificate");
  await assert.rejects(authority.makeInvite({ rights: RIGHTS, peers: PEERS }), UserError);
  const revoking = authority.revoke({ node: standInId("x") }, { certificates: [], keep: false });
  await assert.rejects(revoking, /originator of the mesh has not allowed/);
});

Deno.test("grantFor() gives grants to those who may invite, and to nobody in a closed mesh", async () => {
  const { mesh, first } = await beginMesh();
  const member = await join(mesh, "member", { inviter: first });
  const client = await join(mesh, "client", { inviter: first, rights: ["request"] });
  const grant = await first.grantFor(member.certificate.jws, member.id);
  assert.equal(await first.grantFor(member.certificate.jws, member.id), grant);
  assert.equal(await first.grantFor(client.certificate.jws, client.id), undefined);
  assert.equal(await first.grantFor(member.certificate.jws, client.id), undefined);
  assert.equal(await member.authority.grantFor(member.certificate.jws, member.id), undefined);
  assert.equal(codeOf(asPaper(await client.authority.takeGrant(grant ?? ""))), "certificate");
  const closed = await mesh.authority("first", { isOriginator: true, isClosed: true });
  assert.equal(await closed.grantFor(member.certificate.jws, member.id), undefined);
});

Deno.test("admit() refuses an invite that is expired, revoked, forged, or for another mesh", async () => {
  const { mesh, first } = await beginMesh();
  const joiner = standInId("joiner");
  const code = async (jws: string, by = joiner) => codeOf(await first.admit(jws, by));
  const invite = await first.makeInvite({ rights: RIGHTS, peers: PEERS, expiresInMs: 3_600_000 });
  assert.equal(await code(invite.jws), "accepted");
  assert.equal(await code(invite.jws, standInId("first")), "self");
  assert.equal(await code(invite.jws, "nobody"), "certificate");
  assert.equal(await code(`${invite.jws}A`), "invite");
  const foreign = await new PaperMesh("foreign").authority("first", { isOriginator: true });
  const alien = await foreign.makeInvite({ rights: RIGHTS, peers: PEERS });
  assert.equal(await code(alien.jws), "mesh");
  const { serial } = invite.paper;
  mesh.time.advance(3_600_000 + 599_000);
  assert.equal(await code(invite.jws), "accepted");
  mesh.time.advance(2000);
  assert.equal(await code(invite.jws), "expired");
  const other = await first.makeInvite({ rights: RIGHTS, peers: PEERS });
  await first.revoke({ serial: other.paper.serial }, { certificates: [], keep: false });
  assert.equal(await code(other.jws), "revoked");
  assert.notEqual(serial, other.paper.serial);
});

Deno.test("makeInvite() keeps to its bounds and says them", async () => {
  const { first } = await beginMesh();
  for (const expiresInMs of [0, -1, 59_000, NaN, 366 * DAY_MS, Infinity]) {
    const making = first.makeInvite({ rights: RIGHTS, peers: PEERS, expiresInMs });
    await assert.rejects(making, /one minute to 365 days/);
  }
  await assert.rejects(first.makeInvite({ rights: RIGHTS, peers: [] }), /no address is known/);
  const { paper } = await first.makeInvite({ rights: ["serve"], peers: PEERS });
  assert.deepEqual(paper.rights, ["request", "serve"]);
  assert.equal(paper.expiresUnixS - paper.issuedUnixS, 8 * 86_400);
});

Deno.test("a revoked node cannot come back: not with its papers, nor a new key and its old token", async () => {
  const { mesh, first } = await beginMesh();
  const bad = await join(mesh, "bad", { inviter: first });
  await letInvite(first, bad);
  const witness = await join(mesh, "witness", { inviter: first });
  const { papers } = await first.revoke({ node: bad.id }, {
    certificates: [bad.certificate.jws, witness.certificate.jws],
    keep: false,
  });
  for (const { jws } of papers) assert.equal(await witness.authority.addRevocation(jws), "added");
  const { authority } = witness;
  const own = await authority.checkCertificate(bad.certificate.jws, bad.id);
  assert.equal(codeOf(own), "revoked");
  assert.equal(codeOf(await first.admit(bad.invite.jws, standInId("new key"))), "revoked");
  assert.equal(codeOf(await first.renew(bad.certificate.jws, bad.id)), "revoked");
  const invite = await first.makeInvite({ rights: RIGHTS, peers: PEERS });
  assert.equal(codeOf(await first.admit(invite.jws, bad.id)), "revoked");
  // It still has its grant, and does not listen to revocations.
  const second = await bad.authority.makeInvite({ rights: RIGHTS, peers: PEERS });
  const selfMade = accepted(await bad.authority.admit(second.jws, standInId("new key")));
  const back = await authority.checkCertificate(selfMade.jws, standInId("new key"));
  assert.equal(codeOf(back), "revoked");
  assert.equal(codeOf(await first.admit(second.jws, standInId("third key"))), "revoked");
});

Deno.test("revoking an issuer ends what it issued, unless that is signed again", async () => {
  for (const keep of [false, true]) {
    const { mesh, first } = await beginMesh();
    const bad = await join(mesh, "bad", { inviter: first });
    await letInvite(first, bad);
    const guest = await join(mesh, "guest", { inviter: bad.authority });
    await letInvite(first, guest);
    const asker = await join(mesh, "asker", { inviter: bad.authority, rights: ["request"] });
    mesh.time.advance(60_000);
    const certificates = [bad, guest, asker].map(({ certificate }) => certificate.jws);
    const { papers, kept } = await first.revoke({ node: bad.id }, { certificates, keep });
    for (const { jws } of papers) await guest.authority.addRevocation(jws);
    const now = await first.checkCertificate(guest.certificate.jws, guest.id);
    assert.equal(codeOf(now), "revoked");
    assert.equal(guest.authority.isIssuer, false);
    assert.deepEqual(
      kept.map(({ certificate }) => certificate.paper.subject),
      keep ? [guest.id, asker.id] : [],
    );
    if (!keep) continue;
    assert.deepEqual(kept.map(({ grant }) => grant !== undefined), [true, false]);
    const [mine] = kept;
    assert.equal(await guest.authority.takeCertificate(mine?.certificate.jws ?? ""), "taken");
    assert.equal(await guest.authority.takeGrant(mine?.grant?.jws ?? ""), "taken");
    assert.ok(guest.authority.isIssuer);
    assert.equal(guest.authority.judgeOwn(), undefined);
  }
});

Deno.test("a node that renewed itself still hangs on who let it in", async () => {
  const { mesh, first } = await beginMesh();
  const bad = await join(mesh, "bad", { inviter: first });
  await letInvite(first, bad);
  // The invite is the originator's, so only the certificate tells that `bad` was the host.
  const guest = await join(mesh, "guest", { inviter: first, host: bad.authority });
  await letInvite(first, guest);
  mesh.time.advance(25 * DAY_MS);
  assert.ok(await guest.authority.renewOwn());
  const renewed = guest.authority.certificate?.jws ?? "";
  accepted(await first.checkCertificate(renewed, guest.id));
  mesh.time.advance(4 * 365 * DAY_MS);
  assert.ok(await guest.authority.renewOwn());
  const newest = guest.authority.certificate?.jws ?? "";
  const again = await first.grantFor(newest, guest.id);
  assert.equal(await guest.authority.takeGrant(again ?? ""), "taken");
  assert.ok(await guest.authority.renewOwn());
  const certificate = guest.authority.certificate?.jws ?? "";
  accepted(await first.checkCertificate(certificate, guest.id));
  await first.revoke({ node: bad.id }, { certificates: [], keep: false });
  assert.equal(codeOf(await first.checkCertificate(certificate, guest.id)), "revoked");
});

Deno.test("a member revokes whom it invited, and the originator believes it", async () => {
  const { mesh, first } = await beginMesh();
  const one = await join(mesh, "one", { inviter: first });
  await letInvite(first, one);
  const guest = await join(mesh, "guest", { inviter: one.authority, host: first });
  const certificates = [guest.certificate.jws];
  const { papers } = await one.authority.revoke({ node: guest.id }, { certificates, keep: false });
  for (const { jws } of papers) {
    assert.equal(await first.addRevocation(jws), "added");
    assert.equal(await first.addRevocation(jws), "known");
  }
  assert.equal(codeOf(await first.checkCertificate(guest.certificate.jws, guest.id)), "revoked");
  assert.equal(codeOf(await first.admit(guest.invite.jws, standInId("again"))), "revoked");
  const upward = one.authority.revoke({ node: standInId("first") }, {
    certificates: [first.certificate?.jws ?? ""],
    keep: false,
  });
  await assert.rejects(upward, UserError);
});

Deno.test("addRevocation() refuses rubbish and what somebody without a grant signed", async () => {
  const { mesh, first } = await beginMesh();
  const revoked = { kind: "node", nodeId: standInId("first"), closes: undefined } as const;
  const foreign = await new PaperMesh("foreign").originator().revocation({ revoked });
  const { grant } = await mesh.grantee("granted");
  const thief = await mesh.issuerWith("thief", grant).revocation({ revoked });
  for (const jws of ["", "a.b.c", foreign.jws, thief.jws]) {
    assert.ok(isRefusal(Object(await first.addRevocation(jws))));
  }
  assert.deepEqual(first.revocationSerials(), []);
  assert.equal(first.judgeOwn(), undefined);
});

Deno.test("two nodes exchange what was revoked by the serials that the other lacks", async () => {
  const { mesh, first } = await beginMesh();
  const { authority } = await join(mesh, "one", { inviter: first });
  await first.revoke({ node: standInId("x") }, { certificates: [], keep: false });
  await first.revoke({ node: standInId("y") }, { certificates: [], keep: false });
  const lacking = first.revocationsBeyond(authority.revocationSerials());
  assert.equal(lacking.length, 2);
  for (const jws of lacking) await authority.addRevocation(jws);
  assert.deepEqual(first.revocationsBeyond(authority.revocationSerials()), []);
  assert.deepEqual(authority.revocationsBeyond(first.revocationSerials()), []);
});

Deno.test("renew() refuses what holds for long enough, and what holds no more", async () => {
  const { mesh, first } = await beginMesh();
  const { certificate, id } = await join(mesh, "one", { inviter: first });
  assert.equal(codeOf(await first.renew(certificate.jws, id)), "busy");
  mesh.time.advance(20 * DAY_MS);
  assert.equal(codeOf(await first.renew(certificate.jws, standInId("two"))), "certificate");
  const { paper } = accepted(await first.renew(certificate.jws, id));
  assert.deepEqual([paper.rights, paper.subject], [RIGHTS, id]);
  mesh.time.advance(11 * DAY_MS);
  assert.equal(codeOf(await first.renew(certificate.jws, id)), "expired");
});

Deno.test("takeCertificate() lets nobody take rights away from a node", async () => {
  const { mesh, first } = await beginMesh();
  const { authority, id } = await join(mesh, "one", { inviter: first });
  mesh.time.advance(DAY_MS);
  const invite = await first.makeInvite({ rights: ["request"], peers: PEERS });
  const less = accepted(await first.admit(invite.jws, id));
  assert.equal(await authority.takeCertificate(less.jws), "known");
  assert.deepEqual(authority.certificate?.paper.rights, RIGHTS);
  mesh.time.advance(29 * DAY_MS + 601_000);
  assert.equal(await authority.takeCertificate(less.jws), "taken");
});

Deno.test("isRenewalDue() when a third of the life is left", async () => {
  const { mesh, first } = await beginMesh();
  const { authority } = await join(mesh, "one", { inviter: first });
  mesh.time.advance(19 * DAY_MS);
  assert.deepEqual([authority.isRenewalDue(), first.isRenewalDue()], [false, false]);
  mesh.time.advance(DAY_MS);
  assert.deepEqual([authority.isRenewalDue(), first.isRenewalDue()], [true, true]);
  assert.ok(await first.renewOwn());
  assert.equal(first.isRenewalDue(), false);
  const stranger = await mesh.authority("stranger");
  assert.equal(stranger.isRenewalDue(), false);
  assert.equal(codeOf(stranger.judgeOwn()), "certificate");
  assert.equal(await stranger.renewOwn(), false);
});

Deno.test("MeshAuthority takes up what it saved, and says what does not hold any more", async () => {
  const { mesh, first } = await beginMesh();
  const one = await join(mesh, "one", { inviter: first });
  await letInvite(first, one);
  await one.authority.addRevocation(
    (await first.revoke({ node: standInId("x") }, { certificates: [], keep: false }))
      .papers[0]?.jws ?? "",
  );
  const saved = JSON.parse(JSON.stringify(one.authority.papers()));
  const again = await mesh.authority("one", { saved });
  assert.deepEqual(again.papers(), one.authority.papers());
  assert.ok(again.isIssuer);
  const other = await mesh.authority("other", { saved });
  assert.deepEqual([other.certificate, other.isIssuer], [undefined, false]);
  assert.equal(other.revocationSerials().length, 1);
});

Deno.test("no text that a peer sends makes an authority fail or changes what it holds", async () => {
  const { mesh, first } = await beginMesh();
  const { authority, certificate, invite } = await join(mesh, "one", { inviter: first });
  const before = authority.papers();
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.constantFrom(certificate.jws, invite.jws).chain((jws) =>
      fc.nat(jws.length).map((at) => jws.slice(0, at) + jws.slice(at + 1))
    ),
  );
  await fc.assert(fc.asyncProperty(text, async (jws) => {
    if (jws === certificate.jws || jws === invite.jws) return;
    const answers = [
      await authority.addRevocation(jws),
      await authority.takeCertificate(jws),
      await authority.takeGrant(jws),
      await authority.checkCertificate(jws, standInId("one")),
      await first.admit(jws, standInId("two")),
      await first.renew(jws, standInId("one")),
    ];
    for (const answer of answers) assert.ok(isRefusal(Object(answer)), jws);
    assert.equal(await first.grantFor(jws, standInId("one")), undefined);
  }));
  assert.deepEqual(authority.papers(), before);
});

function asPaper(answer: Parameters<typeof codeOf>[0] | string) {
  return typeof answer === "string" ? undefined : answer;
}
