import assert from "node:assert/strict";
import { join } from "node:path";
import { reset } from "@logtape/logtape";
import { UserError } from "~/base/errors.ts";
import { openContext, readApiKeys } from "~/cli/context.ts";
import type { CommonFlags } from "~/cli/flags.ts";

const NO_ENV = () => undefined;

async function inFolder(work: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-context-" });
  try {
    await work(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
    await reset();
  }
}

function flagsOf(home: string, changes: Partial<CommonFlags> = {}): CommonFlags {
  const unset = { console: undefined, logLevel: undefined, logFormat: undefined, json: false };
  return { home, ...unset, ...changes };
}

Deno.test("openContext() of an empty home has the defaults, and writes nothing there", async () => {
  await inFolder(async (dir) => {
    const home = join(dir, "home");
    const context = await openContext(flagsOf(home));
    assert.deepEqual(context.config, {});
    assert.equal(context.homeDir, home);
    assert.equal(context.consolePort, 3131);
    assert.equal(context.isJson, false);
    await assert.rejects(Deno.stat(home), Deno.errors.NotFound);
  });
});

Deno.test("openContext() reads config.json, and flags beat it", async () => {
  await inFolder(async (home) => {
    await Deno.writeTextFile(join(home, "config.json"), '{"console": 4000, "model": "m"}');
    const context = await openContext(flagsOf(home));
    assert.deepEqual([context.consolePort, context.config.model], [4000, "m"]);
    const beaten = await openContext(flagsOf(home, { console: 5000, json: true }));
    assert.deepEqual([beaten.consolePort, beaten.isJson], [5000, true]);
  });
});

Deno.test("openContext() refuses a config.json that it cannot use, by its path", async () => {
  await inFolder(async (home) => {
    const path = join(home, "config.json");
    await Deno.writeTextFile(path, '{"prot": 1}');
    await assert.rejects(openContext(flagsOf(home)), (error: Error) => {
      assert.ok(error instanceof UserError && error.message.includes(path));
      return true;
    });
    await Deno.writeTextFile(path, `{"model": "${"m".repeat(70_000)}"}`);
    await assert.rejects(openContext(flagsOf(home)), UserError);
    await Deno.remove(path);
    await Deno.mkdir(path);
    await assert.rejects(openContext(flagsOf(home)), UserError);
  });
});

Deno.test("readApiKeys() takes keys of flags, of the environment and of files", async () => {
  await inFolder(async (dir) => {
    const file = join(dir, "keys.txt");
    await Deno.writeTextFile(file, "  first-key \r\n\nsecond-key\n");
    const env = (name: string) => name === "MESH_LLM_API_KEY" ? "env-key" : undefined;
    assert.deepEqual(await readApiKeys([`@${file}`, "flag-key"], env), [
      "first-key",
      "second-key",
      "flag-key",
      "env-key",
    ]);
    assert.deepEqual(await readApiKeys([], NO_ENV), []);
    assert.deepEqual(await readApiKeys([], () => ""), []);
  });
});

Deno.test("readApiKeys() refuses a file that is absent, empty or no list of keys", async () => {
  await inFolder(async (dir) => {
    const wrongUsage = (pattern: RegExp) => (error: Error) => {
      assert.ok(error instanceof UserError && error.exitCode === 2, String(error));
      assert.match(error.message, pattern);
      return true;
    };
    const absent = readApiKeys([`@${join(dir, "none")}`], NO_ENV);
    await assert.rejects(absent, wrongUsage(/Cannot read API keys from .*none/));
    const file = join(dir, "keys.txt");
    await Deno.writeTextFile(file, "\n \n");
    await assert.rejects(readApiKeys([`@${file}`], NO_ENV), wrongUsage(/the file is empty/));
    await Deno.writeTextFile(file, "k\n".repeat(60_000));
    await assert.rejects(readApiKeys([`@${file}`], NO_ENV), wrongUsage(/Cannot read API keys/));
  });
});

Deno.test("openContext() does not wait for a pipe in place of config.json", async () => {
  await inFolder(async (home) => {
    const made = await new Deno.Command("mkfifo", { args: [join(home, "config.json")] }).output();
    assert.ok(made.success);
    await assert.rejects(openContext(flagsOf(home)), /config\.json: it is no file/);
  });
});
