import assert from "node:assert/strict";
import { models, plan } from "~/cli/commands/models.ts";
import { CommandDesk } from "#support/command_desk.ts";
import { ManagementDoor } from "#support/management_door.ts";

Deno.test("models() tells what the node serves whose console is named", async () => {
  await using desk = await CommandDesk.open();
  await using door = await ManagementDoor.open();
  const named = { consolePort: door.port, isConsoleGiven: true, isJson: true };
  assert.equal(await models(desk.context(named)), 0);
  assert.equal(JSON.parse(desk.printed[0] ?? "").served, door.node.snapshot.model_name);
  assert.equal(await models(desk.context({ ...named, isConsoleGiven: false })), 0);
  assert.equal(JSON.parse(desk.printed[1] ?? "").served, null, "none runs on this home");
});

Deno.test("models() says that no node answers on the console that is named", async () => {
  await using desk = await CommandDesk.open();
  const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = free.addr;
  free.close();
  await assert.rejects(models(desk.context({ consolePort: port, isConsoleGiven: true })), {
    name: "NoNodeError",
    message: new RegExp(`^No node is running on console port ${port}`),
  });
  assert.deepEqual(desk.printed, []);
});

Deno.test("plan() of a model that is not here judges by the size that the catalogue tells, and fetches nothing", async () => {
  await using desk = await CommandDesk.open();
  const code = await plan(desk.context(), "Qwen3-8B");
  assert.equal(desk.printed.length, 1);
  const [line = ""] = desk.printed;
  assert.match(
    line,
    /^"Qwen3-8B" is not here yet; by the size of its file, 4\.7 GiB, it needs about /,
  );
  assert.match(line, / For the exact plan: mesh-llm download Qwen3-8B$/);
  assert.equal(code, /it should fit/.test(line) ? 0 : 1);
});
