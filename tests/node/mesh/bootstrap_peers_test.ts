import assert from "node:assert/strict";
import { type BootstrapFacts, bootstrapPeers } from "~/node/mesh/bootstrap_peers.ts";
import { memberView } from "#support/member_views.ts";
import { bootstrapPeer } from "#support/paper_mesh.ts";
import { standInId } from "#support/stand_in_signer.ts";

function named(changes: Partial<BootstrapFacts> = {}): string[] {
  const names = new Map(["own", "a", "b", "c", "d", "e"].map((name) => [standInId(name), name]));
  return bootstrapPeers({
    own: bootstrapPeer("own"),
    role: "member",
    dialable: "yes",
    members: ["a", "b"].map((name) => memberView(name)),
    isClosed: false,
    ...changes,
  }).map(({ nodeId }) => names.get(nodeId) ?? "?");
}

Deno.test("bootstrap peers: this node first, then members, those that were reached before others", () => {
  assert.deepEqual(named(), ["own", "a", "b"]);
  const members = [memberView("a"), memberView("b", { says: { dialable: "yes" } })];
  assert.deepEqual(named({ members }), ["own", "b", "a"]);
});

Deno.test("bootstrap peers: who cannot admit anybody, or be reached, is not named", () => {
  const members = [
    memberView("a", { rights: ["request", "serve"] }),
    memberView("b", { says: { dialable: "no" } }),
    memberView("c", { says: { addresses: [] } }),
    memberView("d", { health: "suspect" }),
    memberView("e"),
  ];
  assert.deepEqual(named({ members }), ["own", "e"]);
  assert.deepEqual(named({ isClosed: true }), ["own"]);
});

Deno.test("bootstrap peers: nobody hangs on a client", () => {
  assert.deepEqual(named({ role: "client" }), ["a", "b"]);
});

Deno.test("bootstrap peers: a node that cannot be dialled comes last of those that fit", () => {
  const members = ["a", "b", "c", "d", "e"].map((name) => memberView(name));
  assert.deepEqual(named({ dialable: "no", members }), ["a", "b", "c", "own", "d", "e"]);
  assert.deepEqual(named({ dialable: "no", members: [] }), ["own"]);
});
