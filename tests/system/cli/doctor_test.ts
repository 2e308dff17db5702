import assert from "node:assert/strict";
import { doctor } from "~/cli/commands/doctor.ts";
import { CommandDesk } from "#support/command_desk.ts";
import { MESH_ID } from "#support/managed_node.ts";
import { ManagementDoor } from "#support/management_door.ts";

/** What doctor says of the peer port of a home with this configuration. */
async function peerPortLine(bindPort: number | undefined): Promise<string> {
  await using desk = await CommandDesk.open();
  await doctor(desk.context({ config: bindPort === undefined ? {} : { bindPort } }));
  const lines = desk.printed.filter((line) => line.includes("peer port"));
  assert.equal(lines.length, 1);
  return lines[0] ?? "";
}

Deno.test("doctor() says that the peer port of the configuration is taken, and what to do", async () => {
  const taken = Deno.listenDatagram({ transport: "udp", hostname: "0.0.0.0", port: 0 });
  const { port } = taken.addr as Deno.NetAddr;
  try {
    const line = await peerPortLine(port);
    assert.match(line, new RegExp(`^PROBLEM peer port: UDP ${port} cannot be used .*--bind-port`));
  } finally {
    taken.close();
  }
  assert.equal(await peerPortLine(port), `ok      peer port: UDP ${port} is free`);
});

Deno.test("doctor() leaves the peer port to the system where none is named", async () => {
  assert.equal(
    await peerPortLine(undefined),
    "ok      peer port: UDP can be used, any free one is taken",
  );
});

Deno.test("regression: doctor() called it a problem that a new home has no engine, which a start fetches", async () => {
  await using desk = await CommandDesk.open();
  await doctor(desk.context());
  const [line = ""] = desk.printed.filter((line) => line.includes("engine"));
  assert.match(line, /^ok {6}engine: (?:none here yet: the next start fetches one|llama\.cpp )/);
});

Deno.test("doctor() calls it a problem that the folder of one's own llama.cpp is not there", async () => {
  await using desk = await CommandDesk.open();
  await doctor(desk.context({ config: { binDir: "/nowhere/llama" } }));
  const [line = ""] = desk.printed.filter((line) => line.includes("engine"));
  assert.match(line, /^PROBLEM engine: .*\/nowhere\/llama/);
});

/** What doctor says of ports and mesh when a console is named. */
async function doctorAt(
  desk: CommandDesk,
  consolePort: number,
): Promise<{ readonly lines: readonly string[] }> {
  desk.printed.length = 0;
  await doctor(desk.context({ consolePort, isConsoleGiven: true }));
  return { lines: desk.printed.filter((line) => /^\w+ +(?:ports?|mesh)\b/.test(line)) };
}

Deno.test("doctor() tells of the node whose console is named, whatever runs on the home", async () => {
  await using desk = await CommandDesk.open();
  await using door = await ManagementDoor.open({ mesh_id: MESH_ID, peer_port: 4433 });
  assert.deepEqual((await doctorAt(desk, door.port)).lines, [
    `ok      ports: a node answers on console port ${door.port}`,
    `ok      mesh: ${MESH_ID}, 0 peers, 0 clients, links on UDP port 4433`,
  ]);
});

Deno.test("doctor() looks whether the console that is named can be had when nothing runs", async () => {
  await using desk = await CommandDesk.open();
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  const dropAll = (async () => {
    for await (const connection of taken) connection.close();
  })();
  const busy = await doctorAt(desk, port);
  assert.match(
    busy.lines.find((line) => line.includes(`port ${port} (console)`)) ?? "",
    /^PROBLEM .*choose another with --console$/,
  );
  taken.close();
  await dropAll;
  const free = await doctorAt(desk, port);
  assert.ok(free.lines.includes(`ok      port ${port} (console): free`), free.lines.join());
});
