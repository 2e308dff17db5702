import assert from "node:assert/strict";
import { UserError } from "~/base/errors.ts";
import { models, plan } from "~/cli/commands/models.ts";
import type { CommandContext } from "~/cli/context.ts";

/** A context on a home that does not exist. */
function contextOf(isJson: boolean): { context: CommandContext; lines: string[] } {
  const lines: string[] = [];
  const context: CommandContext = {
    env: () => undefined,
    config: {},
    homeDir: "/nonexistent/home",
    modelsDir: "/nonexistent/home/models",
    consolePort: 3131,
    isConsoleGiven: false,
    isJson,
    print: (line) => lines.push(line),
    tell: () => assert.fail("nothing to tell"),
    report: () => {},
    onSourceFailure: () => {},
  };
  return { context, lines };
}

Deno.test("models() of an empty machine lists the catalogue, and says that nothing is on disk", async () => {
  const { context, lines } = contextOf(false);
  assert.equal(await models(context), 0);
  assert.deepEqual(lines.slice(0, 3), [
    "On disk:",
    "  none",
    "In the catalogue (mesh-llm download NAME):",
  ]);
  assert.ok(lines.some((line) => line.startsWith("  SmolLM2-135M-Instruct  ")));
});

Deno.test("models() with --json is one object, with null for no served model", async () => {
  const { context, lines } = contextOf(true);
  await models(context);
  assert.equal(lines.length, 1);
  const told = JSON.parse(lines[0] ?? "");
  assert.deepEqual([told["on_disk"], told.served], [[], null]);
  assert.ok(told.catalogue.every(({ name }: { name: string }) => name !== ""));
});

Deno.test("plan() of a file of which nothing is known says how to get it", async () => {
  const { context, lines } = contextOf(false);
  await assert.rejects(plan(context, "org/repo/some.gguf"), (error: Error) => {
    assert.ok(error instanceof UserError);
    assert.match(error.message, /nothing is known of its size. Run: mesh-llm download org\/repo/);
    return true;
  });
  assert.deepEqual(lines, []);
});
