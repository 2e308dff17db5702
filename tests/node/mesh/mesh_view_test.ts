import assert from "node:assert/strict";
import { GIB } from "~/base/units.ts";
import type { NodeRecord } from "~/mesh/record.ts";
import { memberOf, peerOf, selfOf, servedElsewhere, type Ways } from "~/node/mesh/mesh_view.ts";
import { memberView } from "#support/member_views.ts";
import { standInId } from "#support/stand_in_signer.ts";

const LINKED: Ways = {
  linkOf: () => ({ remoteAddress: { ip: "192.0.2.9", port: 7 }, rttMs: 1.2345 }),
  relayOf: () => "relay",
};

function served(id: string, sizeBytes: number): NodeRecord["serving"][number] {
  return { id, createdUnixS: 1, slots: 2, sizeBytes, meta: {} };
}

Deno.test("mesh view: a linked member, with what its record says", () => {
  const says: Partial<NodeRecord> = {
    offeredBytes: 12.345 * GIB,
    models: ["x", "y"],
    serving: [served("x", 1)],
    loading: [{ id: "y", phase: "downloading" }],
    dialable: "yes",
  };
  assert.deepEqual(peerOf(memberView("a", { says }), LINKED), {
    id: standInId("a"),
    role: "member",
    rights: ["request", "serve", "split", "invite"],
    state: "live",
    models: ["x", "y"],
    vram_gb: 12.35,
    serving: "x",
    loading: "y",
    version: "0.1.0",
    dialable: "yes",
    reached: "direct",
    via: null,
    address: "192.0.2.9:7",
    rtt_ms: 1.23,
  });
});

Deno.test("mesh view: how a member is reached: punched, forwarded and by whom, or not at all", () => {
  const reach = (member: ReturnType<typeof memberView>, ways = LINKED) => {
    const { reached, via, address, rtt_ms } = peerOf(member, ways);
    return [reached, via, address, rtt_ms];
  };
  assert.deepEqual(reach(memberView("a", { isPunched: true })), [
    "punched",
    null,
    "192.0.2.9:7",
    1.23,
  ]);
  const far = memberView("a", { isDirect: false, via: ["other", "relay"] });
  assert.deepEqual(reach(far), ["forwarded", "relay", null, null]);
  const nowhere: Ways = { linkOf: () => undefined, relayOf: () => undefined };
  assert.deepEqual(reach(memberView("a", { health: "suspect" }), nowhere), [
    "forwarded",
    null,
    null,
    null,
  ]);
  const fresh: Ways = {
    ...LINKED,
    linkOf: () => ({ remoteAddress: { ip: "::1", port: 7 }, rttMs: undefined }),
  };
  assert.deepEqual(reach(memberView("a"), fresh), ["direct", null, "[::1]:7", null]);
});

Deno.test("mesh view: a member in the list, with its papers", () => {
  const member = memberOf(memberView("a", { rights: ["request", "serve"] }), LINKED);
  assert.equal(member.is_self, false);
  assert.equal(member.clients, null);
  assert.deepEqual(member.rights, ["request", "serve"]);
  assert.equal(member.certificate_expires_unix_s, 1_702_000_000);
  assert.equal(member.issuer, standInId("mesh"));
  assert.equal(member.invite_serial, "invite of a");
});

Deno.test("mesh view: this node itself, before it has papers too", () => {
  const facts = {
    nodeId: "n",
    version: "1",
    serving: ["x"],
    models: ["x", "y"],
    role: "client",
    certificate: undefined,
    clients: 3,
  } as const;
  const self = selfOf(facts);
  assert.deepEqual([self.reached, self.role, self.rights, self.clients], ["self", "client", [], 3]);
  assert.deepEqual([self.issuer, self.certificate_expires_unix_s], [null, null]);
  const { certificate } = memberView("a").record;
  assert.equal(selfOf({ ...facts, certificate: certificate.paper }).invite_serial, "invite of a");
});

Deno.test("mesh view: models elsewhere: who serves, who loads, how large", () => {
  const members = [
    memberView("a", { says: { serving: [served("x", 5)] } }),
    memberView("b", {
      says: { serving: [served("x", 7)], loading: [{ id: "y", phase: "starting" }] },
    }),
    memberView("c"),
  ];
  assert.deepEqual([...servedElsewhere(members)], [
    ["x", { hosts: 2, loading: 0, sizeBytes: 7 }],
    ["y", { hosts: 0, loading: 1, sizeBytes: 0 }],
  ]);
});
