import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "~/base/errors.ts";
import { readJoinTokens } from "~/cli/join_tokens.ts";

async function inFolder(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-tokens-" });
  try {
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function envOf(text: string | undefined): (name: string) => string | undefined {
  return (name) => name === "MESH_LLM_JOIN" ? text : undefined;
}

function isWrongUsage(pattern: RegExp): (error: Error) => boolean {
  return (error) => {
    assert.ok(error instanceof UserError && error.exitCode === 2, String(error));
    assert.match(error.message, pattern);
    return true;
  };
}

Deno.test("readJoinTokens() takes tokens of flags, files and the environment, each once", async () => {
  await inFolder(async (dir) => {
    const file = join(dir, "token");
    await Deno.writeTextFile(file, "from.a.file\r\n\n second.in.file\n");
    const env = envOf(` env.one.x, env.two.x\nfrom.a.flag,@${file}`);
    assert.deepEqual(await readJoinTokens(["from.a.flag", `@${file}`], env), [
      "from.a.flag",
      "from.a.file",
      "second.in.file",
      "env.one.x",
      "env.two.x",
    ]);
  });
});

Deno.test("readJoinTokens() of nothing is nothing", async () => {
  for (const text of [undefined, "", " , \n"]) {
    assert.deepEqual(await readJoinTokens([], envOf(text)), []);
  }
});

Deno.test("readJoinTokens() refuses an empty flag: a variable of the caller's was not set", async () => {
  for (const text of ["", "  "]) {
    const tokens = readJoinTokens([text], envOf("env.one.x"));
    await assert.rejects(tokens, isWrongUsage(/--join was given an empty one/));
  }
});

Deno.test("readJoinTokens() refuses a file that is absent, empty or far too large", async () => {
  await inFolder(async (dir) => {
    const file = join(dir, "token");
    const read = () => readJoinTokens([`@${file}`], envOf(undefined));
    await assert.rejects(read(), isWrongUsage(/Cannot read an invite token from .*token/));
    await Deno.writeTextFile(file, "\n");
    await assert.rejects(read(), isWrongUsage(/the file is empty/));
    await Deno.writeTextFile(file, "t".repeat(70_000));
    await assert.rejects(read(), isWrongUsage(/Cannot read an invite token/));
  });
});

Deno.test("readJoinTokens() refuses more tokens than can help, and repeats none", async () => {
  const many = Array.from({ length: 17 }, (_, n) => `secret.${n}.x`);
  await assert.rejects(readJoinTokens(many, envOf(undefined)), (error: Error) => {
    assert.ok(!error.message.includes("secret"));
    return isWrongUsage(/17 invite tokens: 16 at most/)(error);
  });
});
