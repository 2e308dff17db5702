import assert from "node:assert/strict";
import { killGroup } from "~/engine/io/process_group.ts";

Deno.test("killGroup() ends the head of a group", async () => {
  const child = new Deno.Command("/bin/sleep", { args: ["600"], detached: true }).spawn();
  killGroup(child.pid, "SIGTERM");
  assert.equal((await child.status).signal, "SIGTERM");
});

Deno.test("killGroup() does nothing to a group that has ended", async () => {
  const child = new Deno.Command("/bin/true", { detached: true }).spawn();
  await child.status;
  killGroup(child.pid, "SIGKILL");
});

Deno.test("killGroup() leaves a process alone that is in another group", async () => {
  const child = new Deno.Command("/bin/sleep", { args: ["600"] }).spawn();
  // Not the head of a group: its id names none.
  killGroup(child.pid, "SIGKILL");
  child.kill("SIGTERM");
  assert.equal((await child.status).signal, "SIGTERM");
});
