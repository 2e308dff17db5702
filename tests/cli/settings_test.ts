import assert from "node:assert/strict";
import fc from "fast-check";
import { UserError } from "~/base/errors.ts";
import { parseConfig, resolveHomeDir, resolveSettings } from "~/cli/settings.ts";
import { serveFlagsOf } from "#support/flags.ts";

const NO_ENV = (): undefined => undefined;

function envOf(variables: Readonly<Record<string, string>>): (name: string) => string | undefined {
  return (name) => variables[name];
}

function settingsOf(
  args: readonly string[],
  rest: {
    env?: Readonly<Record<string, string>>;
    config?: object;
    apiKeys?: string[];
    joinTokens?: string[];
  } = {},
): ReturnType<typeof resolveSettings> {
  return resolveSettings({
    flags: serveFlagsOf(args),
    env: envOf({ HOME: "/home/ada", ...rest.env }),
    config: parseConfig(JSON.stringify(rest.config ?? {}), "config.json"),
    apiKeys: rest.apiKeys ?? [],
    joinTokens: rest.joinTokens ?? [],
  });
}

Deno.test("resolveSettings() fills in the documented defaults", () => {
  assert.deepEqual(settingsOf([]), {
    homeDir: "/home/ada/.mesh-llm",
    modelsDir: "/home/ada/.mesh-llm/models",
    apiPort: 9337,
    consolePort: 3131,
    listenAll: false,
    apiKeys: [],
    isEphemeral: false,
    joinTokens: [],
    continuesAnswers: true,
    isClient: false,
    bindPort: 0,
    advertise: [],
    isClosed: false,
  });
});

Deno.test("resolveSettings() lets flags beat environment and environment beat the file", () => {
  const config = { port: 1000, binDir: "/from/file", model: "file-model", maxVramGb: 2 };
  const env = { MESH_LLM_BIN_DIR: "/from/env", MESH_LLM_MODELS_DIR: "/models" };
  const fromFile = settingsOf([], { config });
  assert.equal(fromFile.apiPort, 1000);
  assert.equal(fromFile.binDir, "/from/file");
  assert.equal(fromFile.model, "file-model");
  assert.equal(fromFile.maxMemoryBytes, 2 * 1024 ** 3);
  const fromEnv = settingsOf([], { config, env });
  assert.equal(fromEnv.binDir, "/from/env");
  assert.equal(fromEnv.modelsDir, "/models");
  const fromFlags = settingsOf(["--bin-dir", "/from/flag", "--port", "7"], { config, env });
  assert.equal(fromFlags.binDir, "/from/flag");
  assert.equal(fromFlags.apiPort, 7);
});

Deno.test("resolveSettings() refuses --listen-all without a key", () => {
  assert.throws(() => settingsOf(["--listen-all"]), { name: "UserError", exitCode: 2 });
  assert.ok(settingsOf(["--listen-all"], { apiKeys: ["long-enough"] }).listenAll);
});

Deno.test("resolveSettings() refuses a key that could be guessed, without printing it", () => {
  assert.throws(() => settingsOf([], { apiKeys: ["hunter2"] }), (error: Error) => {
    assert.ok(error instanceof UserError && error.exitCode === 2);
    assert.ok(!error.message.includes("hunter2"));
    return true;
  });
});

Deno.test("resolveSettings() takes keys of the file only when no others are given", () => {
  const config = { apiKeys: ["from-the-file"] };
  assert.deepEqual(settingsOf([], { config }).apiKeys, ["from-the-file"]);
  assert.deepEqual(settingsOf([], { config, apiKeys: ["from-a-flag"] }).apiKeys, ["from-a-flag"]);
});

Deno.test("resolveHomeDir() needs some home", () => {
  assert.throws(() => resolveHomeDir({ home: undefined }, NO_ENV), UserError);
  assert.equal(resolveHomeDir({ home: undefined }, envOf({ MESH_LLM_HOME: "/m" })), "/m");
  assert.equal(resolveHomeDir({ home: "/f" }, envOf({ MESH_LLM_HOME: "/m" })), "/f");
});

Deno.test("parseConfig() names the member that it cannot use", () => {
  const cases = [
    ["{", /not JSON/],
    ["[]", /JSON object/],
    ['{"prot": 1}', /unknown member "prot", known are model, port/],
    ['{"constructor": ["not ours"]}', /unknown member "constructor"/],
    ['{"port": "9337"}', /"port" must be a number/],
    ['{"apiKeys": [1]}', /"apiKeys" must be a list of strings/],
  ] as const;
  for (const [text, message] of cases) assert.throws(() => parseConfig(text, "c.json"), message);
});

Deno.test("parseConfig() answers any text with a config or a UserError", () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
    try {
      assert.equal(typeof parseConfig(text, "c.json"), "object");
    } catch (error) {
      assert.ok(error instanceof UserError);
    }
  }));
});

Deno.test("resolveSettings() names a port that no machine has", () => {
  assert.throws(() => settingsOf([], { config: { port: 70_000 } }), /70000.*0 to 65535/);
});

Deno.test("resolveSettings() carries what the mesh is told, names unresolved", () => {
  const flags = ["--client", "--closed", "--bind-port", "4433", "--advertise", "home.example.org"];
  const settings = settingsOf([...flags, "--advertise", "[2001:db8::7]:4433"], {
    joinTokens: ["a.b.c"],
  });
  assert.deepEqual(settings.joinTokens, ["a.b.c"]);
  assert.deepEqual([settings.isClient, settings.isClosed, settings.bindPort], [true, true, 4433]);
  assert.deepEqual(settings.advertise, ["home.example.org", "[2001:db8::7]:4433"]);
});

Deno.test("resolveSettings() takes port and addresses of the file where no flag names others", () => {
  const config = { bindPort: 4433, advertise: ["192.0.2.7"] };
  const fromFile = settingsOf([], { config });
  assert.deepEqual([fromFile.bindPort, fromFile.advertise], [4433, ["192.0.2.7"]]);
  const fromFlags = settingsOf(["--bind-port", "1", "--advertise", "192.0.2.8:2"], { config });
  assert.deepEqual([fromFlags.bindPort, fromFlags.advertise], [1, ["192.0.2.8:2"]]);
});

Deno.test("resolveSettings() refuses to advertise what nobody can dial", () => {
  for (const address of ["0.0.0.0", "http://host", "host:0", "", "[::]:1", "a b"]) {
    assert.throws(() => settingsOf(["--advertise", address]), (error: Error) => {
      assert.ok(error instanceof UserError && error.exitCode === 2);
      return error.message.startsWith(`Cannot advertise ${JSON.stringify(address)}`);
    });
  }
  assert.throws(() => settingsOf([], { config: { advertise: ["host:0"] } }), UserError);
  const many = Array.from({ length: 9 }, (_, n) => ["--advertise", `192.0.2.${n}`]).flat();
  assert.throws(() => settingsOf(many), { exitCode: 2, message: /9 addresses: 8 at most/ });
});

Deno.test("resolveSettings() of a client serves nothing: not the file's model, and none of a flag", () => {
  assert.equal(settingsOf(["--client"], { config: { model: "m" } }).model, undefined);
  assert.throws(() => settingsOf(["--client", "--model", "m"]), {
    name: "UserError",
    exitCode: 2,
    message: /--client together with --model/,
  });
});

Deno.test("resolveSettings() refuses a peer port that no machine has", () => {
  assert.throws(() => settingsOf([], { config: { bindPort: -1 } }), /-1 as port of peer links/);
});

Deno.test("config.json may switch the continuing of answers off, and nothing but true or false does", () => {
  assert.equal(settingsOf([], { config: { continueAnswers: false } }).continuesAnswers, false);
  assert.throws(
    () => parseConfig('{"continueAnswers":"no"}', "config.json"),
    /"continueAnswers" must be true or false/,
  );
});
