import assert from "node:assert/strict";
import { parseFlags } from "~/engine/capabilities.ts";
import { engineEnv, serverCommand, type ServerCommandOptions } from "~/engine/command_line.ts";
import { UserError } from "~/base/errors.ts";
import { GIB, MIB } from "~/base/units.ts";
import { fakeHelp } from "#support/fake_llama_answers.ts";

const CUDA = { name: "CUDA0", description: "card", totalBytes: 8 * GIB, freeBytes: 7 * GIB };

const OPTIONS: ServerCommandOptions = {
  facts: { flags: parseFlags(fakeHelp(undefined)), devices: [] },
  program: {
    command: "/e/ld.so",
    leadingArgs: ["--library-path", "/e/lib", "/e/llama-server"],
    workingDir: "/e/backends",
    env: { ENGINE_OWN: "1" },
  },
  plan: { modelPath: "/m/a.gguf", modelAlias: "a", contextTokens: 8192, slots: 2 },
  port: 4321,
  apiKey: "secret-key",
  parentEnv: {},
};

function withFlags(...flags: string[]): ServerCommandOptions {
  return { ...OPTIONS, facts: { flags: new Set(flags), devices: [] } };
}

function valueOf(args: readonly string[], flag: string): string | undefined {
  const at = args.indexOf(flag);
  return at < 0 ? undefined : args[at + 1];
}

Deno.test("serverCommand() starts the program the way its build needs", () => {
  const { command, args, cwd } = serverCommand(OPTIONS);
  assert.equal(command, "/e/ld.so");
  assert.deepEqual(args.slice(0, 3), ["--library-path", "/e/lib", "/e/llama-server"]);
  assert.equal(cwd, "/e/backends");
});

Deno.test("serverCommand() listens on loopback only and serves what was planned", () => {
  const { args } = serverCommand(OPTIONS);
  assert.equal(valueOf(args, "--model"), "/m/a.gguf");
  assert.equal(valueOf(args, "--host"), "127.0.0.1");
  assert.equal(valueOf(args, "--port"), "4321");
  assert.equal(valueOf(args, "--ctx-size"), "8192");
  assert.equal(valueOf(args, "--parallel"), "2");
  assert.equal(valueOf(args, "--alias"), "a");
  assert.equal(valueOf(args, "--fit"), "off");
});

Deno.test("serverCommand() gives old prompts the memory that was planned, none by default", () => {
  assert.equal(valueOf(serverCommand(OPTIONS).args, "--cache-ram"), "0");
  const plan = { ...OPTIONS.plan, promptCacheBytes: 300 * MIB + 1 };
  assert.equal(valueOf(serverCommand({ ...OPTIONS, plan }).args, "--cache-ram"), "300");
});

Deno.test("serverCommand() passes every number of the plan", () => {
  const plan = {
    ...OPTIONS.plan,
    batchTokens: 1024,
    microBatchTokens: 256,
    threads: 3,
    contextCheckpoints: 4,
  };
  const facts = { flags: new Set([...OPTIONS.facts.flags, "--ctx-checkpoints"]), devices: [] };
  const { args } = serverCommand({ ...OPTIONS, plan, facts });
  const wanted = { "--batch-size": "1024", "--ubatch-size": "256", "--threads": "3" };
  for (const [flag, value] of Object.entries(wanted)) assert.equal(valueOf(args, flag), value);
  assert.equal(valueOf(args, "--ctx-checkpoints"), "4");
});

Deno.test("serverCommand() does not serve embeddings instead of text", () => {
  assert.ok(!serverCommand(OPTIONS).args.some((arg) => arg.startsWith("--embedding")));
});

Deno.test("serverCommand() turns the web interface off in either spelling", () => {
  const needed = ["--model", "--host", "--port"];
  assert.ok(serverCommand(withFlags(...needed, "--no-webui")).args.includes("--no-webui"));
  const both = serverCommand(withFlags(...needed, "--no-webui", "--no-ui")).args;
  assert.ok(both.includes("--no-ui") && !both.includes("--no-webui"));
});

Deno.test("serverCommand() uses no flag that the help does not name", () => {
  const { args } = serverCommand(withFlags("-m", "--host", "--port"));
  assert.deepEqual(args.slice(3), ["-m", "/m/a.gguf", "--host", "127.0.0.1", "--port", "4321"]);
});

for (const missing of ["--model", "--host", "--port"]) {
  Deno.test(`serverCommand() refuses a build without ${missing}, and says so`, () => {
    const flags = ["--model", "--host", "--port"].filter((flag) => flag !== missing);
    assert.throws(
      () => serverCommand(withFlags(...flags)),
      (error) => error instanceof UserError && error.message.includes(missing),
    );
  });
}

Deno.test("serverCommand() says nothing of layers on a machine without accelerators", () => {
  const { args } = serverCommand(OPTIONS);
  assert.ok(!args.includes("--gpu-layers") && !args.includes("--device"));
});

Deno.test("serverCommand() puts the planned layers on the planned devices", () => {
  const facts = { ...OPTIONS.facts, devices: [CUDA] };
  const plan = { ...OPTIONS.plan, devices: ["CUDA0"], gpuLayers: 12 };
  const { args } = serverCommand({ ...OPTIONS, facts, plan });
  assert.equal(valueOf(args, "--device"), "CUDA0");
  assert.equal(valueOf(args, "--gpu-layers"), "12");
});

Deno.test("serverCommand() puts all layers on all devices without a plan for them", () => {
  const facts = { ...OPTIONS.facts, devices: [CUDA] };
  const { args } = serverCommand({ ...OPTIONS, facts });
  assert.equal(valueOf(args, "--gpu-layers"), "999");
  assert.ok(!args.includes("--device"));
});

Deno.test("serverCommand() computes on the processor when no device is chosen", () => {
  const facts = { ...OPTIONS.facts, devices: [CUDA] };
  const plan = { ...OPTIONS.plan, devices: [] };
  const { args } = serverCommand({ ...OPTIONS, facts, plan });
  assert.equal(valueOf(args, "--device"), "none");
  assert.ok(!args.includes("--gpu-layers"));
});

Deno.test("serverCommand() keeps the key out of the arguments", () => {
  const { args, env } = serverCommand(OPTIONS);
  assert.ok(!args.some((arg) => arg.includes("secret-key")));
  assert.equal(env["LLAMA_API_KEY"], "secret-key");
});

Deno.test("serverCommand() hands on nothing of our environment but what drivers need", () => {
  const parentEnv = {
    PATH: "/bin",
    CUDA_VISIBLE_DEVICES: "1",
    HOME: "/home/me",
    HF_TOKEN: "hf_1",
    MESH_LLM_API_KEY: "k",
    LLAMA_ARG_HOST: "0.0.0.0",
    GGML_NO_BACKTRACE: "0",
  };
  const { env } = serverCommand({ ...OPTIONS, parentEnv, cacheDir: "/h/cache" });
  assert.deepEqual(env, {
    PATH: "/bin",
    CUDA_VISIBLE_DEVICES: "1",
    GGML_NO_BACKTRACE: "1",
    ENGINE_OWN: "1",
    LLAMA_API_KEY: "secret-key",
    LLAMA_SERVER_ROUTER_PORT: "0",
    LLAMA_CACHE: "/h/cache",
    XDG_CACHE_HOME: "/h/cache",
    CUDA_CACHE_PATH: "/h/cache",
  });
});

Deno.test("engineEnv() lets the program's own variables win", () => {
  const program = { ...OPTIONS.program, env: { LD_LIBRARY_PATH: "/e/lib" } };
  const env = engineEnv(program, { LD_LIBRARY_PATH: "/usr/local/cuda/lib64" });
  assert.equal(env["LD_LIBRARY_PATH"], "/e/lib");
});
