/** The commands that README and playbook tell people to type, run as they stand there. */
import assert from "node:assert/strict";
import { startRealNode } from "#support/real_node.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;

/** Every `curl …` of a document, lines joined. */
async function curlCommandsOf(document: string): Promise<string[]> {
  const text = await Deno.readTextFile(ROOT + document);
  const blocks = [...text.matchAll(/^ *```(?:sh|console)\n([\s\S]*?)^ *```/gm)].map((m) =>
    m[1] ?? ""
  );
  return blocks.flatMap((block) =>
    [...block.matchAll(/^ *(?:\$ )?(curl (?:[^\n']|'[^']*')*)$/gm)].map((match) => match[1] ?? "")
  );
}

async function run(command: string, apiBase: string): Promise<string> {
  const here = command.replaceAll("localhost:9337", apiBase.replace("http://", ""));
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: ["-c", here],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  assert.equal(code, 0, `${command}\n${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

Deno.test("the commands in README.md and docs/TESTING.md do what is said there", async (t) => {
  await using stack = new AsyncDisposableStack();
  const node = await startRealNode(stack);
  await node.line("Ready: ");
  const apiBase = await node.apiBase();

  await t.step("README.md: curl gets the capital of France", async () => {
    const commands = await curlCommandsOf("README.md");
    assert.equal(commands.length, 1);
    assert.match(await run(commands[0] ?? "", apiBase), /Paris/);
  });

  await t.step("docs/TESTING.md: models, Paris, a stream, a true 404", async () => {
    const expected = [/"owned_by":"mesh-llm"/, /Paris/, /data: \[DONE\]/, /model_not_found/];
    const commands = await curlCommandsOf("docs/TESTING.md");
    assert.equal(commands.length, expected.length);
    for (const [index, command] of commands.entries()) {
      assert.match(await run(command, apiBase), expected[index] ?? /never/, command);
    }
  });
});
