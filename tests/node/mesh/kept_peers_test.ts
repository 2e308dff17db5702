import assert from "node:assert/strict";
import fc from "fast-check";
import { keptPeers, type KnownPeers } from "~/node/mesh/kept_peers.ts";
import { memberView, signedRecordOf } from "#support/member_views.ts";
import { bootstrapPeer } from "#support/paper_mesh.ts";
import { standInId } from "#support/stand_in_signer.ts";

const NOBODY_ELSE: KnownPeers = {
  members: [],
  records: [],
  before: [],
  self: standInId("self"),
  isRevoked: () => false,
};

function kept(known: Partial<KnownPeers>): string[] {
  const all = { ...NOBODY_ELSE, ...known };
  const names = new Map("abcdefgh".split("").map((name) => [standInId(name), name]));
  return keptPeers(all).map(({ nodeId }) => names.get(nodeId) ?? "?");
}

Deno.test("kept peers: who is here comes first, then who was, then what was kept before", () => {
  assert.deepEqual(
    kept({
      members: [memberView("c", { isDirect: false, via: ["b"] }), memberView("b")],
      records: [signedRecordOf("a"), signedRecordOf("b")],
      before: [bootstrapPeer("d"), bootstrapPeer("a")],
    }),
    ["b", "c", "a", "d"],
  );
});

Deno.test("kept peers: who cannot be dialled comes after who can; without an address, or this node, never", () => {
  assert.deepEqual(
    kept({
      members: [memberView("a", { says: { dialable: "no" } }), memberView("b")],
      records: [signedRecordOf("c", { addresses: [] }), signedRecordOf("self")],
      before: [bootstrapPeer("self"), bootstrapPeer("d", 0)],
    }),
    ["b", "a"],
  );
});

Deno.test("kept peers: what is newest of a peer is kept", () => {
  const addresses = [{ ip: "198.51.100.1", port: 7 }];
  const [peer] = keptPeers({
    ...NOBODY_ELSE,
    members: [memberView("a", { says: { addresses } })],
    before: [bootstrapPeer("a")],
  });
  assert.deepEqual(peer?.addresses, addresses);
});

Deno.test("kept peers: who said goodbye is kept from before only", () => {
  const records = [signedRecordOf("a", { isLeaving: true })];
  assert.deepEqual(kept({ records }), []);
  assert.deepEqual(kept({ records, before: [bootstrapPeer("a")] }), ["a"]);
});

Deno.test("kept peers: who was revoked is kept no more, wherever it is known from", () => {
  const revoked = new Set(["a", "c", "e"].map((name) => standInId(name)));
  assert.deepEqual(
    kept({
      members: [memberView("a"), memberView("b")],
      records: [signedRecordOf("c"), signedRecordOf("d")],
      before: [bootstrapPeer("e"), bootstrapPeer("f")],
      isRevoked: (node) => revoked.has(node),
    }),
    ["b", "d", "f"],
  );
});

Deno.test("kept peers: each once, and no more than the file is for", () => {
  const name = fc.integer({ min: 0, max: 200 }).map(String);
  fc.assert(fc.property(fc.array(name), fc.array(name), fc.array(name), (here, known, before) => {
    const peers = keptPeers({
      ...NOBODY_ELSE,
      members: here.map((each) => memberView(each)),
      records: known.map((each) => signedRecordOf(each)),
      before: before.map((each) => bootstrapPeer(each)),
    });
    const all = new Set([...here, ...known, ...before]);
    assert.equal(peers.length, Math.min(64, all.size));
    assert.equal(new Set(peers.map(({ nodeId }) => nodeId)).size, peers.length);
  }));
});
