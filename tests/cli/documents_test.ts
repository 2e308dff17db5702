/** Every command line of ours that a document shows is one that the program understands. */
import assert from "node:assert/strict";
import { invocationOf } from "#support/flags.ts";

const ROOT = new URL("../../", import.meta.url);
/** Where a command of ours begins: by its name, or by the task of a checkout. */
const COMMAND = /(?:^|\s)(?:mesh-llm|deno(?:@[\d.]+)? task start)((?:\s+[^\s|&;>#]+)*)/g;

/** Arguments of the commands in the code of a document, shell variables and all. */
async function commandsOf(document: string): Promise<string[][]> {
  const text = await Deno.readTextFile(new URL(document, ROOT));
  const blocks = [...text.matchAll(/^ *```(?:sh|console)\n([\s\S]*?)^ *```/gm)].map((m) =>
    m[1] ?? ""
  );
  const lines = blocks.flatMap((block) => block.split("\n"))
    // Of a transcript only what was typed.
    .filter((line) => !line.includes("$ ") || line.trimStart().startsWith("$ "));
  const prose = text.replace(/^ *```[\s\S]*?^ *```/gm, "");
  const inline = [...prose.matchAll(/`([^`]+)`/g)].map((m) => m[1] ?? "")
    .filter((code) => !/[\[…]|NODE\|/.test(code));
  return [...lines, ...inline].flatMap((code) =>
    [...code.matchAll(COMMAND)].map((match) => (match[1] ?? "").trim().split(/\s+/).filter(Boolean))
  );
}

for (const document of ["README.md", "docs/TESTING.md", "docs/OPERATING.md", "docs/HACKING.md"]) {
  Deno.test(`the commands in ${document} are understood`, async () => {
    const commands = await commandsOf(document);
    assert.ok(commands.length > 0, "no command was found");
    // Help is answered before the parser of the tests sees it.
    for (const args of commands.filter(([first]) => first !== "--help")) {
      assert.doesNotThrow(() => invocationOf(args), `${document}: ${args.join(" ")}`);
    }
  });
}
