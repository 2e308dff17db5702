import assert from "node:assert/strict";
import { accepted, bootstrapPeer, PaperMesh } from "#support/paper_mesh.ts";
import { standInId } from "#support/stand_in_signer.ts";
import { RIGHTS } from "~/mesh/credentials.ts";
import { isSerialOf } from "~/mesh/ids.ts";
import { BACKDATE_S, PAPER_LIMITS } from "~/mesh/papers.ts";

const INVITE_CHARS_MAX = 2048;
/** A signature has 86 characters, that of the stand-in 43; the one in the grant is encoded once more. */
const REAL_SIGNATURES_MORE = 43 + 58;

Deno.test("Issuer dates papers back one day, and gives each a serial of its own", async () => {
  const mesh = new PaperMesh();
  const issuer = mesh.originator();
  const nowS = mesh.time.wallMs() / 1000;
  const fields = { subject: standInId(1), rights: RIGHTS, inviteSerial: undefined };
  const [one, other] = [await issuer.certificate(fields), await issuer.certificate(fields)];
  assert.equal(one.paper.issuedUnixS, nowS - BACKDATE_S);
  assert.equal(one.paper.expiresUnixS, nowS + PAPER_LIMITS["mesh-llm-certificate"].lifeS);
  assert.ok(isSerialOf(one.paper.serial, mesh.meshId));
  assert.notEqual(one.paper.serial, other.paper.serial);
});

Deno.test("Issuer signs what PaperTrust takes, at the limits of every life", async () => {
  const mesh = new PaperMesh();
  const trust = mesh.trust();
  const { grant, issuer } = await mesh.grantee("issuer");
  accepted(await trust.read("mesh-llm-grant", grant.jws));
  const year = PAPER_LIMITS["mesh-llm-invite"].lifeS;
  const invite = await issuer.invite({ rights: RIGHTS, peers: [bootstrapPeer("a")] }, year);
  accepted(await trust.read("mesh-llm-invite", invite.jws));
  const revoked = { kind: "serial", serial: invite.paper.serial } as const;
  const revocation = await issuer.revocation({ revoked });
  accepted(await trust.read("mesh-llm-revocation", revocation.jws));
});

Deno.test("Issuer makes invites that fit into one short line, with at least one address", async () => {
  const mesh = new PaperMesh();
  const inviteSerial = mesh.originator().freshSerial();
  const { issuer } = await mesh.grantee("issuer", { inviteSerial });
  const trust = mesh.trust();
  for (const by of [mesh.originator(), issuer]) {
    for (let peerCount = 1; peerCount <= 6; peerCount++) {
      for (const addressCount of [1, 3, 8, 20]) {
        const peers = Array.from(
          { length: peerCount },
          (_, n) => bootstrapPeer(`peer ${n}`, addressCount),
        );
        const { jws, paper } = await by.invite({ rights: RIGHTS, peers }, 3600);
        assert.ok(jws.length <= INVITE_CHARS_MAX && /^[\w.-]+$/.test(jws));
        assert.deepEqual(accepted(await trust.read("mesh-llm-invite", jws)).paper, paper);
        const [first] = paper.peers;
        assert.ok(first !== undefined && first.addresses.length > 0);
        assert.equal(first.nodeId, peers[0]?.nodeId);
      }
    }
  }
});

Deno.test("an invite by a member has room for two peers with three addresses each", async () => {
  const mesh = new PaperMesh();
  const inviteSerial = mesh.originator().freshSerial();
  const { issuer } = await mesh.grantee("issuer", { inviteSerial });
  const ip = "2001:db8:1234:5678:9abc:def0:1234:5678";
  const peers = ["a", "b"].map((name) => ({
    ...bootstrapPeer(name),
    addresses: [1, 2, 3].map((port) => ({ ip, port: 40_000 + port })),
  }));
  const { jws, paper } = await issuer.invite({ rights: RIGHTS, peers }, 3600);
  assert.deepEqual(paper.peers, peers);
  assert.ok(jws.length + REAL_SIGNATURES_MORE <= INVITE_CHARS_MAX, `${jws.length} characters`);
});
