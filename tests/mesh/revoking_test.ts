import assert from "node:assert/strict";
import { memberBy, PaperMesh } from "#support/paper_mesh.ts";
import { standInId } from "#support/stand_in_signer.ts";
import { UserError } from "~/base/errors.ts";
import type { Certificate } from "~/mesh/credentials.ts";
import { planRevocation, type RevokeSubject } from "~/mesh/revoking.ts";

const SELF = standInId("self");
const NODE = standInId("node");

/** A mesh in which `node` came by an invite of `inviter`, and `guest` by one of `node`. */
async function familyOf() {
  const mesh = new PaperMesh();
  const inviter = await mesh.grantee("inviter");
  const node = await mesh.grantee("node");
  const [serial, guestSerial] = [inviter.issuer.freshSerial(), node.issuer.freshSerial()];
  const certificate = (await memberBy(inviter.issuer, NODE, serial)).paper;
  const guest = (await memberBy(node.issuer, standInId("guest"), guestSerial)).paper;
  const own = (await memberBy(mesh.originator(), SELF)).paper;
  const plan = (issuer: string, subject: RevokeSubject) =>
    planRevocation(subject, {
      meshId: mesh.meshId,
      issuer,
      self: SELF,
      certificates: [own, certificate, guest] as readonly Certificate[],
    });
  return { mesh, inviter, node, serial, certificate, guest, own, plan };
}

Deno.test("planRevocation() of a node closes the invite that it came by", async () => {
  const { mesh, inviter, serial, plan } = await familyOf();
  const wanted = [{ kind: "node", nodeId: NODE, closes: serial }];
  assert.deepEqual(plan(mesh.meshId, { node: NODE }), wanted);
  assert.deepEqual(plan(inviter.id, { node: NODE }), wanted);
});

Deno.test("planRevocation() lets the mesh key end a node that nobody knows", async () => {
  const { mesh, inviter, plan } = await familyOf();
  const stranger = standInId("stranger");
  const wanted = [{ kind: "node", nodeId: stranger, closes: undefined }];
  assert.deepEqual(plan(mesh.meshId, { node: stranger }), wanted);
  assert.throws(() => plan(inviter.id, { node: stranger }), /not known here.*originator/);
});

Deno.test("planRevocation() lets an issuer end only what it issued, and says who could", async () => {
  const { inviter, node, serial, guest, plan } = await familyOf();
  const guests = { node: guest.subject };
  assert.throws(() => plan(inviter.id, guests), /came by somebody else.*originator/);
  assert.throws(() => plan(node.id, { serial }), /somebody else issued it/);
  assert.equal(plan(node.id, guests).length, 1);
});

Deno.test("planRevocation() of an invite ends those who came by it and may have invited", async () => {
  const { mesh, inviter, serial, plan } = await familyOf();
  assert.deepEqual(plan(mesh.meshId, { serial }), [
    { kind: "serial", serial },
    { kind: "node", nodeId: NODE, closes: serial },
  ]);
  // An issuer's word ends their papers; more it cannot.
  assert.deepEqual(plan(inviter.id, { serial }), [{ kind: "serial", serial }]);
});

Deno.test("planRevocation() of a certificate ends its node: it would have another made", async () => {
  const { inviter, certificate, serial, plan } = await familyOf();
  assert.deepEqual(plan(inviter.id, { serial: certificate.serial }), [
    { kind: "serial", serial: certificate.serial },
    { kind: "node", nodeId: NODE, closes: serial },
  ]);
});

Deno.test("planRevocation() refuses to end the node that asks", async () => {
  const { mesh, own, plan } = await familyOf();
  const subjects = [{ node: SELF }, { serial: own.serial }, { serial: own.inviteSerial ?? "" }];
  for (const subject of subjects) {
    assert.throws(() => plan(mesh.meshId, subject), UserError);
  }
});
