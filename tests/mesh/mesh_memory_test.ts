import assert from "node:assert/strict";
import fc from "fast-check";
import { bootstrapPeer } from "#support/paper_mesh.ts";
import { standInId } from "#support/stand_in_signer.ts";
import {
  decodeMemory,
  encodeMemory,
  MEMORY_BYTES_MAX,
  type MeshMemory,
  PEERS_KEPT_MAX,
} from "~/mesh/mesh_memory.ts";

const MEMORY: MeshMemory = {
  meshId: standInId("mesh"),
  papers: { certificate: "a.b.c", grant: "d.e.f", revocations: ["g.h.i", "j.k.l"] },
  port: 4433,
  peers: [bootstrapPeer("a", 3), bootstrapPeer("b")],
};
const EMPTY: MeshMemory = {
  meshId: standInId("mesh"),
  papers: { certificate: undefined, grant: undefined, revocations: [] },
  port: undefined,
  peers: [],
};

Deno.test("decodeMemory() reads what encodeMemory() wrote", () => {
  for (const memory of [MEMORY, EMPTY]) {
    assert.deepEqual(decodeMemory(encodeMemory(memory)), memory);
  }
});

Deno.test("decodeMemory() keeps what is right of a text that is damaged in places", () => {
  const value = JSON.parse(encodeMemory(MEMORY));
  value.certificate = 7;
  value.grant = "x".repeat(2000);
  value.revocations.push(null);
  value.peers[0].at = ["nowhere"];
  value.port = 65_536;
  value.later = { unknown: true };
  assert.deepEqual(decodeMemory(JSON.stringify(value)), {
    meshId: MEMORY.meshId,
    papers: { ...EMPTY.papers, revocations: MEMORY.papers.revocations },
    port: undefined,
    peers: MEMORY.peers.slice(1),
  });
});

for (const text of ["", "{", "null", "[]", "7", "{}", '{"format":2}', '{"format":1,"mesh":"x"}']) {
  Deno.test(`decodeMemory() finds nothing in ${JSON.stringify(text)}`, () => {
    assert.equal(decodeMemory(text), undefined);
  });
}

Deno.test("a memory stays within its bounds, and the largest can be read again", () => {
  const revocations = Array.from({ length: 2000 }, () => "x".repeat(2048));
  const peers = Array.from({ length: 1000 }, (_, n) => bootstrapPeer(`${n}`, 20));
  const papers = { certificate: "x".repeat(2048), grant: "x".repeat(1024), revocations };
  const text = encodeMemory({ ...MEMORY, papers, peers });
  assert.ok(text.length <= MEMORY_BYTES_MAX);
  const memory = decodeMemory(text);
  assert.equal(memory?.peers.length, PEERS_KEPT_MAX);
  assert.equal(memory.papers.revocations.length, 1024);
});

Deno.test("decodeMemory() fails on no text", () => {
  const names = ["format", "mesh", "certificate", "grant", "revocations", "port", "peers"];
  const change = fc.dictionary(fc.constantFrom(...names.slice(2)), fc.jsonValue());
  fc.assert(fc.property(change, (members) => {
    const value = { ...JSON.parse(encodeMemory(MEMORY)), ...members };
    const memory = decodeMemory(JSON.stringify(value));
    assert.equal(memory?.meshId, MEMORY.meshId);
    assert.deepEqual(decodeMemory(encodeMemory(memory)), memory);
  }));
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
    assert.equal(decodeMemory(text), undefined);
  }));
});
