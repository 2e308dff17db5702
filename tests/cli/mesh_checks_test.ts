import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { UserError } from "~/base/errors.ts";
import { describeMemory, describeMesh } from "~/cli/mesh_checks.ts";
import { encodeMemory } from "~/mesh/mesh_memory.ts";
import { writePaper } from "~/mesh/papers.ts";
import { MESH_ID, PEER_ID, peerOf, snapshotOf } from "#support/managed_node.ts";

const NOW_S = 1_800_000_000;
const DAY_S = 86_400;

/** A certificate of this mesh as a JWS that nobody verifies here. */
function certificateJws(expiresUnixS: number): string {
  const payload = writePaper("mesh-llm-certificate", {
    paper: {
      meshId: MESH_ID,
      issuer: MESH_ID,
      issuedUnixS: expiresUnixS - 20 * DAY_S,
      expiresUnixS,
      serial: `${MESH_ID.slice(0, 16)}.0123456789A`,
      subject: PEER_ID,
      rights: ["request"],
      inviteSerial: undefined,
    },
    grantJws: undefined,
  });
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "EdDSA" })}.${part(payload)}.c2ln`;
}

function memoryText(certificate: string | undefined): string {
  const peer = { nodeId: PEER_ID, addresses: [{ ip: "192.0.2.7", port: 4433 }], leafHash: MESH_ID };
  return encodeMemory({
    meshId: MESH_ID,
    papers: { certificate, grant: undefined, revocations: [] },
    port: undefined,
    peers: [peer],
  });
}

Deno.test("describeMesh() tells mesh, port, and whom nothing is heard of", () => {
  assert.equal(describeMesh(snapshotOf()), "none, this machine only");
  const peers = [peerOf(), peerOf({ state: "suspect" }), peerOf({ state: "silent" })];
  const told = describeMesh(snapshotOf({ mesh_id: MESH_ID, peer_port: 4433, peers }));
  assert.equal(
    told,
    `${MESH_ID}, 3 peers, 0 clients, links on UDP port 4433; nothing is heard of 2 of the peers now`,
  );
});

Deno.test("describeMemory() tells which mesh the next start goes back to, and for how long it may", () => {
  assert.match(describeMemory(undefined, NOW_S), /^none yet: .*--join/);
  const told = describeMemory(memoryText(certificateJws(NOW_S + 12 * DAY_S)), NOW_S);
  assert.equal(told, `${MESH_ID}, certificate for 12 d more, 1 known peer`);
  assert.equal(describeMemory(memoryText(undefined), NOW_S), `${MESH_ID}, 1 known peer`);
});

Deno.test("describeMemory() says what to do about an expired certificate and a damaged file", () => {
  const expired = memoryText(certificateJws(NOW_S));
  assert.throws(() => describeMemory(expired, NOW_S), /has expired: join again with --join TOKEN/);
  assert.throws(() => describeMemory("{", NOW_S), /mesh\.json is damaged/);
});

Deno.test("describeMemory() of any text is a sentence, or a refusal that says what to do", () => {
  const texts = fc.oneof(
    fc.string(),
    fc.json(),
    fc.string().map((certificate) => memoryText(certificate)),
  );
  fc.assert(fc.property(texts, (text) => {
    try {
      assert.notEqual(describeMemory(text, NOW_S), "");
    } catch (error) {
      assert.ok(error instanceof UserError);
    }
  }));
});
