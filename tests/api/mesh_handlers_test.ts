import assert from "node:assert/strict";
import { JOIN_TIMEOUT_MS, NodeRefusal } from "~/api/ports.ts";
import { UserError } from "~/base/errors.ts";
import {
  memberOf,
  MESH_ID,
  PEER_ID,
  RELAY_ID,
  selfOf,
  TEST_SERIAL,
} from "#support/managed_node.ts";
import { MemoryDoor, refusalOf } from "#support/memory_door.ts";

Deno.test("POST /api/join joins, and says which mesh and how many are there", async () => {
  const door = new MemoryDoor();
  const answer = await door.write("/api/join", { token: " a.token.x\n" });
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), { "mesh_id": MESH_ID, peers: 2 });
  assert.deepEqual(door.node.calls, ["join a.token.x"]);
  assert.equal(door.time.pendingCount, 0, "no timer is left");
});

Deno.test("POST /api/invites makes an invite, by default for a member and 7 days", async () => {
  const door = new MemoryDoor();
  const answer = await door.write("/api/invites", { role: "client", expires: "12h" });
  assert.equal(answer.status, 201);
  assert.deepEqual(await answer.json(), {
    token: "a.new.token",
    serial: TEST_SERIAL,
    "expires_unix_s": 1_800_000_000,
    role: "client",
  });
  await door.write("/api/invites", {});
  const calls = ["invite client for 43200 s", "invite member for 604800 s"];
  assert.deepEqual(door.node.calls, calls);
});

Deno.test("POST /api/revocations revokes a node or a serial, and tells what closed", async () => {
  const door = new MemoryDoor();
  const answer = await door.write("/api/revocations", { node: PEER_ID, keep: true });
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), {
    revoked: PEER_ID,
    "closed_links": 1,
    "closed_invites": [TEST_SERIAL],
    "ended_nodes": [PEER_ID, RELAY_ID],
  });
  await door.write("/api/revocations", { serial: TEST_SERIAL });
  assert.deepEqual(door.node.calls, [`revoke ${PEER_ID}, keep`, `revoke ${TEST_SERIAL}`]);
});

Deno.test("GET /api/members lists everybody, without a token to be seen", async () => {
  const door = new MemoryDoor();
  assert.deepEqual(await (await door.ask("/api/members")).json(), { "mesh_id": null, members: [] });
  door.node.snapshot = { ...door.node.snapshot, mesh_id: MESH_ID };
  door.node.memberList = [selfOf(), memberOf()];
  const text = await (await door.ask("/api/members")).text();
  assert.deepEqual(JSON.parse(text), { "mesh_id": MESH_ID, members: [selfOf(), memberOf()] });
  assert.ok(!text.includes("secret-invite-token"));
});

const REFUSALS = [
  [new UserError("Cannot use this: the token has expired"), "400 invalid_request_error"],
  [new NodeRefusal("not_found", "Cannot revoke: nobody is known by that name"), "404 not_found"],
  [new NodeRefusal("conflict", "Cannot do this: this node is in no mesh"), "409 conflict"],
] as const;
const WRITES = [
  ["/api/join", { token: "a.b.c" }, "token"],
  ["/api/invites", {}, null],
  ["/api/revocations", { node: PEER_ID }, "node"],
  ["/api/revocations", { serial: TEST_SERIAL }, "serial"],
] as const;

Deno.test("what the node says no to reaches the caller in its words", async () => {
  for (const [failure, expected] of REFUSALS) {
    for (const [path, body, param] of WRITES) {
      const door = new MemoryDoor();
      door.node.failure = failure;
      const answer = await door.write(path, body);
      const { error } = await answer.clone().json();
      assert.deepEqual([error.message, error.param], [failure.message, param]);
      assert.equal(await refusalOf(answer), expected);
    }
  }
});

Deno.test("a defect while joining is a 500 that tells nothing about it", async () => {
  const door = new MemoryDoor();
  door.node.failure = new TypeError("secret detail");
  const answer = await door.write("/api/join", { token: "a.b.c" });
  assert.ok(!(await answer.clone().text()).includes("secret detail"));
  assert.equal(await refusalOf(answer), "500 internal_error");
});

/** Waits until the node was asked to join: the body is read in several turns. */
async function untilAsked(door: MemoryDoor): Promise<void> {
  while (!door.node.calls.some((call) => call.startsWith("join "))) await Promise.resolve();
}

Deno.test("POST /api/join gives up after its time, and tells the node so", async () => {
  const door = new MemoryDoor();
  door.node.joinGate = Promise.withResolvers<void>().promise;
  const answer = door.write("/api/join", { token: "a.b.c" });
  await untilAsked(door);
  door.time.advance(JOIN_TIMEOUT_MS - 1);
  assert.deepEqual(door.node.calls, ["join a.b.c"]);
  door.time.advance(1);
  assert.equal(await refusalOf(await answer), "504 upstream_timeout");
  assert.deepEqual(door.node.calls, ["join a.b.c", "join is over"]);
});

Deno.test("POST /api/join of a caller that left is given up, and its timer goes", async () => {
  const door = new MemoryDoor();
  const gone = new AbortController();
  door.node.joinGate = Promise.withResolvers<void>().promise;
  const answer = door.write("/api/join", { token: "a.b.c" }, { clientGone: gone.signal });
  await untilAsked(door);
  gone.abort();
  assert.equal((await answer).status, 499);
  assert.deepEqual(door.node.calls, ["join a.b.c", "join is over"]);
  assert.equal(door.time.pendingCount, 0);
});

Deno.test("POST /api/join takes one at a time, and the next when it is over", async () => {
  const door = new MemoryDoor();
  const gate = Promise.withResolvers<void>();
  door.node.joinGate = gate.promise;
  const first = door.write("/api/join", { token: "first.b.c" });
  await untilAsked(door);
  assert.equal(await refusalOf(await door.write("/api/join", { token: "x.b.c" })), "409 conflict");
  gate.resolve();
  assert.equal((await first).status, 200);
  assert.equal((await door.write("/api/join", { token: "next.b.c" })).status, 200);
  const joins = door.node.calls.filter((call) => call !== "join is over");
  assert.deepEqual(joins, ["join first.b.c", "join next.b.c"]);
});
