import assert from "node:assert/strict";
import fc from "fast-check";
import { bootstrapPeer, codeOf, DAY_MS, memberBy, PaperMesh } from "#support/paper_mesh.ts";
import { standInId } from "#support/stand_in_signer.ts";
import type { Revocation, Signed } from "~/mesh/credentials.ts";
import { issuerPart } from "~/mesh/ids.ts";
import type { Issuer } from "~/mesh/issuer.ts";
import { RevocationBook } from "~/mesh/revocations.ts";

const NODE = standInId("node");
const PEERS = [bootstrapPeer("a")];

function inviteBy(issuer: Issuer) {
  return issuer.invite({ rights: ["request"], peers: PEERS }, 7 * 86_400);
}

function nodeBy(issuer: Issuer, nodeId = NODE, closes?: string) {
  return issuer.revocation({ revoked: { kind: "node", nodeId, closes } });
}

function serialBy(issuer: Issuer, serial: string) {
  return issuer.revocation({ revoked: { kind: "serial", serial } });
}

function bookOf(mesh: PaperMesh, ...revocations: readonly Signed<Revocation>[]): RevocationBook {
  const book = new RevocationBook(mesh.meshId);
  for (const revocation of revocations) assert.equal(book.add(revocation), "added");
  return book;
}

Deno.test("the mesh key ends a node and closes the invite it came by, for others too", async () => {
  const mesh = new PaperMesh();
  const { issuer } = await mesh.grantee("inviter");
  const invite = await inviteBy(issuer);
  const certificate = await memberBy(issuer, NODE, invite.paper.serial);
  const neighbour = await memberBy(issuer, standInId("neighbour"), invite.paper.serial);
  const book = bookOf(mesh, await nodeBy(mesh.originator(), NODE, invite.paper.serial));
  assert.equal(codeOf(book.judgeCertificate(certificate)), "revoked");
  assert.equal(codeOf(book.judgeInvite(invite)), "revoked");
  assert.equal(codeOf(book.judgeCertificate(neighbour)), "accepted");
});

Deno.test("a node is out for good only by the mesh key: what one issuer ended, another may begin anew", async () => {
  const mesh = new PaperMesh();
  const { issuer } = await mesh.grantee("inviter");
  const byIssuer = bookOf(mesh, await nodeBy(issuer));
  assert.equal(byIssuer.isNodeRevoked(NODE), false);
  const byMeshKey = bookOf(mesh, await nodeBy(issuer), await nodeBy(mesh.originator()));
  assert.equal(byMeshKey.isNodeRevoked(NODE), true);
  assert.equal(byMeshKey.isNodeRevoked(standInId("neighbour")), false);
});

Deno.test("a revoked serial ends everybody who came by that invite, and what they issued", async () => {
  const mesh = new PaperMesh();
  const inviter = await mesh.grantee("inviter");
  const invite = await inviteBy(inviter.issuer);
  const { serial } = invite.paper;
  const came = await mesh.grantee("came", { inviteSerial: serial });
  const certificate = await memberBy(mesh.originator(), came.id, serial);
  const theirs = await memberBy(came.issuer, standInId("guest"));
  const untouched = await memberBy(inviter.issuer, standInId("other"));
  for (const by of [mesh.originator(), inviter.issuer]) {
    const book = bookOf(mesh, await serialBy(by, serial));
    assert.equal(codeOf(book.judgeInvite(invite)), "revoked");
    assert.equal(codeOf(book.judgeCertificate(certificate)), "revoked");
    assert.equal(codeOf(book.judgeGrant(came.grant.paper)), "revoked");
    assert.equal(codeOf(book.judgeCertificate(theirs)), "revoked");
    assert.equal(codeOf(book.judgeInvite(await inviteBy(came.issuer))), "revoked");
    assert.equal(codeOf(book.judgeCertificate(untouched)), "accepted");
  }
});

Deno.test("a revoked issuer takes with it all that it issued, renewed by others or not", async () => {
  const mesh = new PaperMesh();
  const bad = await mesh.grantee("bad");
  const good = await mesh.grantee("good");
  const serial = bad.issuer.freshSerial();
  const direct = await memberBy(bad.issuer, standInId("one"), serial);
  const renewed = await memberBy(good.issuer, standInId("two"), serial);
  const grantOnBadInvite = await mesh.grantee("three", { inviteSerial: serial });
  const grantOnBadPaper = await mesh.grantee("four", { certifier: issuerPart(bad.id) });
  const signedAnew = await memberBy(mesh.originator(), standInId("one"));
  const book = bookOf(mesh, await nodeBy(mesh.originator(), bad.id));
  assert.equal(codeOf(book.judgeCertificate(direct)), "revoked");
  assert.equal(codeOf(book.judgeCertificate(renewed)), "revoked");
  assert.equal(codeOf(book.judgeGrant(grantOnBadInvite.grant.paper)), "revoked");
  assert.equal(codeOf(book.judgeGrant(grantOnBadPaper.grant.paper)), "revoked");
  assert.equal(codeOf(book.judgeInvite(await inviteBy(bad.issuer))), "revoked");
  assert.equal(codeOf(book.judgeCertificate(signedAnew)), "accepted");
});

Deno.test("an issuer ends a node that it let in, with the grant that hangs on it", async () => {
  const mesh = new PaperMesh();
  const inviter = await mesh.grantee("inviter");
  const other = await mesh.grantee("other");
  const serial = inviter.issuer.freshSerial();
  const node = await mesh.grantee("node", { inviteSerial: serial });
  const renewedByOther = await memberBy(other.issuer, NODE, serial);
  const bySelf = await memberBy(node.issuer, NODE, serial);
  const newKey = await memberBy(node.issuer, standInId("new key"));
  const book = bookOf(mesh, await nodeBy(inviter.issuer));
  for (const certificate of [renewedByOther, bySelf, newKey]) {
    assert.equal(codeOf(book.judgeCertificate(certificate)), "revoked");
  }
});

Deno.test("an issuer ends nothing of a node that somebody else let in", async () => {
  const mesh = new PaperMesh();
  const [inviter, meddler] = [await mesh.grantee("inviter"), await mesh.grantee("meddler")];
  const node = await mesh.grantee("node", { inviteSerial: inviter.issuer.freshSerial() });
  const certificate = await memberBy(inviter.issuer, NODE);
  const book = bookOf(mesh, await nodeBy(meddler.issuer), await nodeBy(meddler.issuer, inviter.id));
  assert.equal(codeOf(book.judgeCertificate(certificate)), "accepted");
  assert.equal(codeOf(book.judgeGrant(node.grant.paper)), "accepted");
  assert.equal(codeOf(book.judgeGrant(inviter.grant.paper)), "accepted");
  assert.equal(codeOf(book.judgeInvite(await inviteBy(inviter.issuer))), "accepted");
});

Deno.test("a book forgets a revocation when its time is over, and then only", async () => {
  const mesh = new PaperMesh();
  const certificate = await memberBy(mesh.originator(), NODE);
  const book = bookOf(mesh, await nodeBy(mesh.originator()));
  const lifeMs = 5 * 365 * DAY_MS;
  book.prune(mesh.time.wallMs() + lifeMs);
  assert.equal(codeOf(book.judgeCertificate(certificate)), "revoked");
  book.prune(mesh.time.wallMs() + lifeMs + 601_000);
  assert.equal(codeOf(book.judgeCertificate(certificate)), "accepted");
  assert.deepEqual(book.serials(), []);
});

Deno.test("missingFrom() gives what a peer lacks", async () => {
  const mesh = new PaperMesh();
  const by = mesh.originator();
  const [one, other] = [await nodeBy(by), await nodeBy(by, standInId("other"))];
  const book = bookOf(mesh, one, other);
  assert.equal(book.add(one), "known");
  assert.deepEqual(book.missingFrom([one.paper.serial, "unheard of"]), [other]);
  assert.deepEqual(book.missingFrom([]), book.list());
});

Deno.test("one issuer fills its own share only, and its serials come first", async () => {
  const mesh = new PaperMesh();
  const [flooder, other] = [await mesh.grantee("flooder"), await mesh.grantee("other")];
  const honest = await nodeBy(other.issuer);
  const serial = await serialBy(flooder.issuer, flooder.issuer.freshSerial());
  const book = bookOf(mesh, honest, serial);
  for (let n = 0; n < 200; n++) book.add(await nodeBy(flooder.issuer, standInId(n)));
  assert.equal(book.list().filter(({ paper }) => paper.issuer === flooder.id).length, 64);
  const kept = new Set(book.serials());
  assert.ok(kept.has(honest.paper.serial) && kept.has(serial.paper.serial));
});

Deno.test("books that heard the same hold the same, whatever the order", async () => {
  const mesh = new PaperMesh();
  const issuers = [mesh.originator()];
  for (const name of ["a", "b"]) issuers.push((await mesh.grantee(name)).issuer);
  const papers: Signed<Revocation>[] = [];
  for (let n = 0; n < 150; n++) {
    mesh.time.advance(1000 * (n % 7));
    for (const by of issuers) {
      papers.push(
        n % 5 === 0 ? await serialBy(by, by.freshSerial()) : await nodeBy(by, standInId(n)),
      );
    }
  }
  const inOrder = new RevocationBook(mesh.meshId);
  for (const paper of papers) inOrder.add(paper);
  const wanted = [...inOrder.serials()].sort();
  assert.equal(wanted.length, 150 + 2 * 64);
  const shuffled = fc.shuffledSubarray(papers, { minLength: papers.length });
  fc.assert(
    fc.property(shuffled, (order) => {
      const book = new RevocationBook(mesh.meshId);
      for (const paper of order) book.add(paper);
      assert.deepEqual([...book.serials()].sort(), wanted);
    }),
    { numRuns: 5 },
  );
});
