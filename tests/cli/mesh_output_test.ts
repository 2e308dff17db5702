// deno-lint-ignore-file camelcase -- the status has the field names that scripts rely on
import assert from "node:assert/strict";
import { formatMembers, inviteNote, meshLine, peerLines, revokeNotes } from "~/cli/mesh_output.ts";
import {
  memberOf,
  MESH_ID,
  PEER_ID,
  peerOf,
  RELAY_ID,
  selfOf,
  snapshotOf,
  TEST_SERIAL,
} from "#support/managed_node.ts";

const NOW_S = 1_800_000_000 - 29 * 86_400;
const FORWARDED = { reached: "forwarded", via: PEER_ID, address: null, rtt_ms: null } as const;

Deno.test("meshLine() tells the mesh and how many are in it", () => {
  assert.equal(meshLine(snapshotOf()), "none, this machine only");
  const alone = snapshotOf({ mesh_id: MESH_ID });
  assert.equal(meshLine(alone), `${MESH_ID}, 0 peers, 0 clients`);
  const named = snapshotOf({
    mesh_id: MESH_ID,
    mesh_name: "lab\u001b",
    peers: [peerOf()],
    clients: 1,
  });
  assert.equal(meshLine(named), `lab? (${MESH_ID}), 1 peer, 1 client`);
});

Deno.test("peerLines() tells who a peer is, how it is reached and what it serves", () => {
  const client = { role: "client", rights: ["request"], serving: null, version: null } as const;
  const lines = peerLines([
    peerOf(),
    peerOf({ ...client, ...FORWARDED, id: RELAY_ID, state: "suspect" }),
    peerOf({ reached: "punched", rtt_ms: 41.6, serving: null, loading: "Big" }),
  ]);
  const all = "request,serve,split,invite";
  assert.deepEqual(lines.map((line) => line.split(/ {2,}/)), [
    ["PEER", "ROLE", "MAY", "STATE", "REACHED", "RTT", "VERSION", "SERVES"],
    ["peerpeer2222", "member", all, "live", "direct 192.0.2.7:4433", "1.3 ms", "0.1.0", "Qwen3-4B"],
    ["relayrelay33", "client", "request", "suspect", "forwarded by peerpeer2222", "-", "-", "-"],
    [
      "peerpeer2222",
      "member",
      all,
      "live",
      "punched 192.0.2.7:4433",
      "42 ms",
      "0.1.0",
      "loading Big",
    ],
  ]);
  assert.deepEqual(peerLines([]), []);
});

Deno.test("formatMembers() lists this node and the others, and how long their papers hold", () => {
  const members = [
    selfOf({ clients: 2, certificate_expires_unix_s: null }),
    memberOf({ serving: ["a", "b"] }),
    memberOf({ ...FORWARDED, id: RELAY_ID, certificate_expires_unix_s: NOW_S, serving: [] }),
  ];
  const [title, head, ...rows] = formatMembers({ mesh_id: MESH_ID, members }, NOW_S).split("\n");
  assert.equal(title, `Mesh ${MESH_ID}: 3 nodes, 2 clients on this one`);
  assert.match(head ?? "", /^NODE +ROLE +MAY +STATE +REACHED +RTT +VERSION +HOLDS +SERVES$/);
  assert.match(rows[0] ?? "", /^selfself1111 .* this node +- +0\.1\.0 +- +Qwen3-4B$/);
  assert.match(rows[1] ?? "", /^peerpeer2222 .* direct 192\.0\.2\.7:4433 .* 29 d +a, b$/);
  assert.match(rows[2] ?? "", /^relayrelay33 .* forwarded by peerpeer2222 .* expired +-$/);
  assert.equal(formatMembers({ mesh_id: null, members: [] }, NOW_S), "This node is in no mesh");
});

Deno.test("nothing that a peer says about itself reaches the terminal as a command", () => {
  const evil = "\u001b]52;c;AAAA\u0007\n";
  const peer = { id: evil, state: evil, version: evil, rights: [evil], via: evil, address: evil };
  const told = [
    ...peerLines([peerOf({ ...peer, serving: evil })]),
    formatMembers({ mesh_id: MESH_ID, members: [memberOf({ ...peer, serving: [evil] })] }, NOW_S),
  ].join("\n");
  // deno-lint-ignore no-control-regex -- what a terminal would obey is looked for
  assert.doesNotMatch(told, /[\u0000-\u0009\u000b-\u001f]/);
  assert.equal(told.split("\n").length, 5);
});

Deno.test("inviteNote() tells for whom, until when and how to take it back, without the token", () => {
  const made = { token: "secret.a.b", serial: TEST_SERIAL, expires_unix_s: 1_800_000_000 };
  const note = inviteNote({ ...made, role: "client" });
  assert.match(note, /join as client until 2027-01-15T08:00:00Z/);
  assert.ok(note.endsWith(`mesh-llm revoke ${TEST_SERIAL}`) && !note.includes(made.token));
});

Deno.test("revokeNotes() tells which invites ended with a node, and who else is out", () => {
  const revoked = {
    revoked: PEER_ID,
    closed_links: 2,
    closed_invites: [TEST_SERIAL],
    ended_nodes: [PEER_ID, RELAY_ID],
  };
  assert.deepEqual(revokeNotes(revoked, true), [
    `Ended too: the invite that it came by (${TEST_SERIAL}), and every one that it made`,
    "Out of the mesh with it: relayrelay33",
  ]);
  const alone = { ...revoked, closed_invites: [], ended_nodes: [PEER_ID] };
  assert.deepEqual(revokeNotes(alone, true), [
    "No invite was ended: the one that it came by is not known here, or somebody else's; who has its " +
    "token can still join",
  ]);
});

Deno.test("revokeNotes() of a serial tells who had come by it", () => {
  const revoked = { revoked: TEST_SERIAL, closed_links: 1, closed_invites: [] };
  const join = "Nobody can join by an invite of this serial any more";
  assert.deepEqual(revokeNotes({ ...revoked, ended_nodes: [] }, false), [join]);
  assert.deepEqual(revokeNotes({ ...revoked, ended_nodes: [PEER_ID, RELAY_ID] }, false), [
    join,
    "Out of the mesh with it: peerpeer2222, relayrelay33",
  ]);
});
