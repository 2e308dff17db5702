/** The commands that README and playbook tell people to type, run as they stand there. */
import assert from "node:assert/strict";
import { MeshTestNode } from "#support/mesh_nodes.ts";
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

/** What documents call a door, and where it is in this test. */
type Places = Readonly<Record<string, string>>;

async function run(command: string, places: Places): Promise<string> {
  const here = Object.entries(places).reduce(
    (text, [written, base]) => text.replaceAll(written, base.replace("http://", "")),
    command,
  );
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
  const places = { "localhost:9337": await node.apiBase() };

  await t.step("README.md: curl gets the capital of France", async () => {
    const commands = await curlCommandsOf("README.md");
    assert.equal(commands.length, 1);
    assert.match(await run(commands[0] ?? "", places), /Paris/);
  });

  const written = await curlCommandsOf("docs/TESTING.md");
  const [solo, mesh] = [true, false].map((isSolo) =>
    written.filter((command) => command.includes("localhost:9337") === isSolo)
  );

  await t.step("docs/TESTING.md: models, Paris, a stream, a true 404", async () => {
    await assertAnswers(solo, places, [
      /"owned_by":"mesh-llm"/,
      /Paris/,
      /data: \[DONE\]/,
      /model_not_found/,
    ]);
  });

  await t.step("docs/TESTING.md: a client of the node answers as the node does", async () => {
    const token = await node.line("Invite token: ");
    await using client = await MeshTestNode.start({ token, isClient: true });
    await client.listed("SmolLM2-135M-Instruct");
    const { node_id: id } = await (await fetch(`${await node.consoleBase()}/api/status`)).json();
    await assertAnswers(mesh, {
      "localhost:8091": client.api,
      "localhost:3191": await client.node.consoleBase(),
    }, [
      /"owned_by":"mesh-llm"/,
      new RegExp(`x-mesh-llm-node: ${id}[^]*Paris`),
      /data: \[DONE\]/,
      new RegExp(`"id":"${id}"[^}]*"reached":"direct"`),
    ]);
  });
});

async function assertAnswers(
  commands: readonly string[] = [],
  places: Places,
  expected: readonly RegExp[],
): Promise<void> {
  assert.equal(commands.length, expected.length);
  for (const [index, command] of commands.entries()) {
    assert.match(await run(command, places), expected[index] ?? /never/, command);
  }
}
