import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "~/base/errors.ts";
import { invite, join as joinMesh, members, revoke } from "~/cli/commands/mesh.ts";
import type { CommandContext } from "~/cli/context.ts";
import { CommandDesk } from "#support/command_desk.ts";
import {
  memberOf,
  MESH_ID,
  PEER_ID,
  RELAY_ID,
  selfOf,
  TEST_SERIAL,
  TEST_TOKEN,
} from "#support/managed_node.ts";
import { ManagementDoor } from "#support/management_door.ts";

/** A home with the token of a node whose door is real. */
class Desk implements AsyncDisposable {
  readonly door: ManagementDoor;
  readonly #desk: CommandDesk;

  private constructor(door: ManagementDoor, desk: CommandDesk) {
    this.door = door;
    this.#desk = desk;
  }

  static async open(): Promise<Desk> {
    const desk = await CommandDesk.open();
    await desk.write("management-token", TEST_TOKEN);
    const door = await ManagementDoor.open({ mesh_id: MESH_ID });
    door.node.memberList = [selfOf(), memberOf()];
    return new Desk(door, desk);
  }

  get printed(): readonly string[] {
    return this.#desk.printed;
  }

  get told(): readonly string[] {
    return this.#desk.told;
  }

  context(changes: Partial<CommandContext> = {}): CommandContext {
    return this.#desk.context({ consolePort: this.door.port, isConsoleGiven: true, ...changes });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.door.stop();
    await this.#desk[Symbol.asyncDispose]();
  }
}

Deno.test("regression: members() of a home on which no node runs showed the mesh of another on the usual port", async () => {
  await using desk = await Desk.open();
  await assert.rejects(members(desk.context({ isConsoleGiven: false })), (error) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, /^No node runs on \/.*: start one .* --home or .* --console$/);
    return true;
  });
  assert.deepEqual(desk.printed, []);
});

Deno.test("members() prints a table, or the answer as JSON", async () => {
  await using desk = await Desk.open();
  assert.equal(await members(desk.context()), 0);
  assert.match(
    desk.printed[0] ?? "",
    new RegExp(`^Mesh ${MESH_ID}: 2 nodes\nNODE .*this node`, "s"),
  );
  assert.equal(await members(desk.context({ isJson: true })), 0);
  const answer = { "mesh_id": MESH_ID, members: [selfOf(), memberOf()] };
  assert.deepEqual(JSON.parse(desk.printed[1] ?? ""), answer);
  assert.deepEqual(desk.told, []);
});

Deno.test("invite() prints just the token on stdout, so that a shell can take it", async () => {
  await using desk = await Desk.open();
  assert.equal(await invite(desk.context(), { role: "client", expires: "12h" }), 0);
  assert.deepEqual(desk.printed, ["a.new.token"]);
  assert.match(
    desk.told.join("\n"),
    new RegExp(`as client until .* mesh-llm revoke ${TEST_SERIAL}$`),
  );
  assert.ok(!desk.told.join("\n").includes("a.new.token"));
  assert.equal(await invite(desk.context({ isJson: true }), {}), 0);
  assert.equal(JSON.parse(desk.printed[1] ?? "").token, "a.new.token");
  assert.equal(desk.told.length, 1, "with --json everything is in the object");
  const calls = ["invite client for 43200 s", "invite member for 604800 s"];
  assert.deepEqual(desk.door.node.calls, calls);
});

Deno.test("invite() says what is wrong with a duration, before it looks for a node", async () => {
  await using desk = await Desk.open();
  const wrong = [
    [
      "5",
      '--expires is "5", wanted is a whole number with s, m, h, d or w behind it, such as 12h or 7d',
    ],
    [
      "1y",
      '--expires is "1y", wanted is a whole number with s, m, h, d or w behind it, such as 12h or 7d',
    ],
    ["59s", '--expires is "59s", wanted is a time from 1 min to 365 d'],
  ] as const;
  for (const [expires, message] of wrong) {
    await assert.rejects(invite(desk.context({ isConsoleGiven: false }), { expires }), {
      exitCode: 2,
      message: `Cannot make this invite: ${message}`,
    });
  }
  assert.deepEqual([desk.printed, desk.door.node.calls], [[], []]);
});

Deno.test("revoke() completes the beginning of an id, and takes serials as they are", async () => {
  await using desk = await Desk.open();
  assert.equal(await revoke(desk.context(), { subject: "peerpe", keep: false }), 0);
  assert.equal(
    await revoke(desk.context({ isJson: true }), { subject: TEST_SERIAL, keep: true }),
    0,
  );
  assert.deepEqual(desk.door.node.calls, [`revoke ${PEER_ID}`, `revoke ${TEST_SERIAL}, keep`]);
  assert.equal(desk.printed[0], `Revoked ${PEER_ID}, 1 link of this node closed`);
  assert.deepEqual(desk.told, [
    `Ended too: the invite that it came by (${TEST_SERIAL}), and every one that it made`,
    `Out of the mesh with it: ${RELAY_ID.slice(0, 12)}`,
  ], "with --json everything is in the object");
  assert.deepEqual(JSON.parse(desk.printed[1] ?? ""), {
    revoked: TEST_SERIAL,
    "closed_links": 1,
    "closed_invites": [TEST_SERIAL],
    "ended_nodes": [PEER_ID, RELAY_ID],
  });
});

Deno.test("revoke() of nobody asks the node for nothing", async () => {
  await using desk = await Desk.open();
  await assert.rejects(revoke(desk.context(), { subject: "nobody-here", keep: false }), UserError);
  assert.deepEqual([desk.door.node.calls, desk.printed], [[], []]);
});

Deno.test("join() takes one token: of the line, of a file, or of the environment", async () => {
  await using desk = await Desk.open();
  const file = join(desk.context().homeDir, "token");
  await Deno.writeTextFile(file, "from.a.file\n");
  const env = (): string => "from.the.env";
  assert.equal(await joinMesh(desk.context({ env }), "from.a.flag"), 0);
  assert.equal(await joinMesh(desk.context(), `@${file}`), 0);
  assert.equal(await joinMesh(desk.context({ env, isJson: true }), undefined), 0);
  const calls = ["join from.a.flag", "join from.a.file", "join from.the.env"];
  assert.deepEqual(desk.door.node.calls, calls);
  assert.equal(desk.printed[0], `Joined mesh ${MESH_ID} (2 peers)`);
  assert.deepEqual(JSON.parse(desk.printed[2] ?? ""), { "mesh_id": MESH_ID, peers: 2 });
});

Deno.test("join() without a token, or with several, is wrong usage", async () => {
  await using desk = await Desk.open();
  for (const env of [() => undefined, () => "one.a.b two.a.b"]) {
    await assert.rejects(joinMesh(desk.context({ env }), undefined), (error: Error) => {
      return error instanceof UserError && error.exitCode === 2 && !error.message.includes("one.a");
    });
  }
  assert.deepEqual(desk.door.node.calls, []);
});

Deno.test("commands pass on why the node says no, with exit status 1", async () => {
  await using desk = await Desk.open();
  desk.door.node.failure = new UserError("Cannot use the token: it has expired");
  const failure = { exitCode: 1, message: "Cannot use the token: it has expired" };
  await assert.rejects(joinMesh(desk.context(), "a.b.c"), failure);
  await assert.rejects(invite(desk.context(), {}), failure);
  await assert.rejects(revoke(desk.context(), { subject: PEER_ID, keep: false }), failure);
});
