import assert from "node:assert/strict";
import { accepted, bootstrapPeer, codeOf, CountedSecrets } from "#support/paper_mesh.ts";
import { VirtualTime } from "#support/virtual_time.ts";
import { MeshAuthority } from "~/mesh/authority.ts";
import { RIGHTS } from "~/mesh/credentials.ts";
import { jwsSigner, JwsVerifier } from "~/mesh/io/jws.ts";
import { makeEphemeralMeshKey } from "~/mesh/io/mesh_key.ts";
import { makeEphemeralNodeKey } from "~/mesh/io/node_key.ts";
import { PAPER_LIMITS } from "~/mesh/papers.ts";
import type { Signer } from "~/mesh/signing.ts";
import { openInvite } from "~/mesh/trust.ts";

const verifier = new JwsVerifier();
const clock = new VirtualTime();
const secrets = new CountedSecrets();

async function nodeSigner(): Promise<Signer> {
  const { nodeId, privateKey } = await makeEphemeralNodeKey();
  return jwsSigner(nodeId, privateKey);
}

async function authorityOf(node: Signer, mesh: { id: string; key: Signer | undefined }) {
  const { authority } = await MeshAuthority.open({
    meshId: mesh.id,
    node,
    meshKey: mesh.key,
    verifier,
    clock,
    secrets,
    isClosed: false,
  });
  return authority;
}

Deno.test("with real keys a mesh begins, grows by a member, and ends a node", async () => {
  const key = await makeEphemeralMeshKey();
  const [first, one, two] = [await nodeSigner(), await nodeSigner(), await nodeSigner()];
  const origin = await authorityOf(first, { id: key.id, key });
  assert.ok(await origin.renewOwn());
  const peers = ["a", "b", "c", "d"].map((name) => bootstrapPeer(name, 8));

  const invite = await origin.makeInvite({ rights: RIGHTS, peers });
  const opened = accepted(await openInvite(invite.jws, { verifier, nowMs: clock.wallMs() }));
  assert.equal(opened.paper.meshId, key.id);
  const issued = accepted(await origin.admit(invite.jws, one.id));
  const member = await authorityOf(one, { id: opened.paper.meshId, key: undefined });
  assert.equal(await member.takeCertificate(issued.jws), "taken");
  const grant = await origin.grantFor(issued.jws, one.id) ?? "";
  assert.equal(await member.takeGrant(grant), "taken");
  assert.ok(grant.length <= PAPER_LIMITS["mesh-llm-grant"].charsMax, `${grant.length}`);

  const second = await member.makeInvite({ rights: RIGHTS, peers });
  assert.ok(second.jws.length <= PAPER_LIMITS["mesh-llm-invite"].charsMax);
  assert.ok(second.paper.peers.length >= 2, `${second.paper.peers.length} peers`);
  const guest = accepted(await member.admit(second.jws, two.id));
  accepted(await origin.checkCertificate(guest.jws, two.id));
  const { papers } = await origin.revoke({ node: two.id }, {
    certificates: [guest.jws],
    keep: false,
  });
  for (const { jws } of papers) assert.equal(await member.addRevocation(jws), "added");
  assert.equal(codeOf(await member.checkCertificate(guest.jws, two.id)), "revoked");
  assert.equal(codeOf(await member.admit(second.jws, (await nodeSigner()).id)), "revoked");
});
