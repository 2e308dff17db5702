import assert from "node:assert/strict";
import fc from "fast-check";
import { bootstrapPeer } from "#support/paper_mesh.ts";
import type { JsonValue } from "~/base/json.ts";
import { RIGHTS } from "~/mesh/credentials.ts";
import { serialOf } from "~/mesh/ids.ts";
import {
  asPeer,
  asPeers,
  asRights,
  asSerialIfAny,
  asUnixS,
  PEER_ADDRESSES_MAX,
  peerJson,
  PEERS_MAX,
} from "~/mesh/paper_fields.ts";

Deno.test("asRights() puts rights in order, skips those of later versions, and needs request", () => {
  assert.deepEqual(asRights(["invite", "split", "serve", "request"]), RIGHTS);
  assert.deepEqual(asRights(["request", "train", "request"]), ["request"]);
  assert.equal(asRights(["serve"]), undefined);
  assert.equal(asRights([]), undefined);
  assert.equal(asRights("request"), undefined);
  assert.equal(asRights(Array.from({ length: 17 }, () => "request")), undefined);
});

Deno.test("asUnixS() takes whole seconds from 1970 on", () => {
  assert.equal(asUnixS(0), 0);
  assert.equal(asUnixS(1_790_000_000), 1_790_000_000);
  for (const value of [-1, 0.5, 2 ** 41, NaN, Infinity, "1", null, undefined]) {
    assert.equal(asUnixS(value as JsonValue), undefined);
  }
});

Deno.test("asSerialIfAny() tells none from a wrong one", () => {
  const serial = serialOf(bootstrapPeer("a").nodeId, "AAAAAAAAAAA");
  assert.equal(asSerialIfAny(serial), serial);
  assert.equal(asSerialIfAny(undefined), undefined);
  for (const value of [null, "", 7, `${serial}A`]) {
    assert.equal(asSerialIfAny(value), "malformed");
  }
});

Deno.test("asPeer() reads what peerJson() wrote, with as many addresses as are allowed", () => {
  const peer = bootstrapPeer("a", PEER_ADDRESSES_MAX);
  assert.deepEqual(asPeer(peerJson(peer)), peer);
  assert.deepEqual(asPeer(peerJson(bootstrapPeer("a", PEER_ADDRESSES_MAX + 1))), peer);
});

for (
  const change of [
    { id: "x" },
    { hash: undefined },
    { at: [] },
    { at: ["192.0.2.1:0"] },
    { at: ["example.org:4433"] },
    { at: ["192.0.2.1:4433", 7] },
    { at: Array.from({ length: PEER_ADDRESSES_MAX + 1 }, () => "192.0.2.1:4433") },
    { at: [`[${"0:".repeat(30)}1]:4433`] },
  ]
) {
  Deno.test(`asPeer() refuses ${JSON.stringify(change).slice(0, 50)}`, () => {
    const json = JSON.parse(JSON.stringify({ ...peerJson(bootstrapPeer("a")), ...change }));
    assert.equal(asPeer(json), undefined);
  });
}

Deno.test("asPeers() takes one to four, all of them right", () => {
  const one = peerJson(bootstrapPeer("a"));
  for (let count = 1; count <= PEERS_MAX; count++) {
    assert.equal(asPeers(Array.from({ length: count }, () => one))?.length, count);
  }
  assert.equal(asPeers([]), undefined);
  assert.equal(asPeers(Array.from({ length: PEERS_MAX + 1 }, () => one)), undefined);
  assert.equal(asPeers([one, {}]), undefined);
});

Deno.test("no reader fails on any value", () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => {
    for (const read of [asRights, asUnixS, asPeers, asSerialIfAny]) read(value as JsonValue);
    asPeer(value as JsonValue);
  }));
});
