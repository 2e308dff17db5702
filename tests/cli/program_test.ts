import assert from "node:assert/strict";
import { UserError } from "~/base/errors.ts";
import { refuseUnbuilt } from "~/cli/unbuilt.ts";
import { invocationOf, serveFlagsOf } from "#support/flags.ts";

/** Every flag of the interface with a value that it takes. */
const EVERY_SERVE_FLAG = [
  ["--model", "tiny.gguf"],
  ["--join", "token"],
  ["-j", "token"],
  ["--auto"],
  ["--client"],
  ["--port", "8090"],
  ["--console", "3132"],
  ["--bind-port", "4000"],
  ["--advertise", "example.org:4000"],
  ["--closed"],
  ["--listen-all"],
  ["--api-key", "key-key-key"],
  ["--split"],
  ["--tensor-split", "3,1.5"],
  ["--max-vram", "7.5"],
  ["--ctx-size", "4096"],
  ["--parallel", "2"],
  ["--draft", "draft.gguf"],
  ["--draft-max", "8"],
  ["--no-draft"],
  ["--device", "CUDA0"],
  ["--bin-dir", "/opt/llama"],
  ["--publish"],
  ["--mesh-name", "lab"],
  ["--region", "eu"],
  ["--max-clients", "5"],
  ["--nostr-relay", "wss://relay.example"],
  ["--home", "/tmp/home"],
  ["--log-level", "debug"],
  ["--log-format", "json"],
  ["--json"],
] as const;

Deno.test("the command line parses every flag of the interface, with and without `serve`", () => {
  for (const args of EVERY_SERVE_FLAG) {
    assert.equal(invocationOf(args).action, "serve", args.join(" "));
    assert.equal(invocationOf(["serve", ...args]).action, "serve");
  }
  assert.equal(
    invocationOf(EVERY_SERVE_FLAG.filter(([name]) => name !== "-j").flat()).action,
    "serve",
  );
});

Deno.test("the command line parses every command of the interface", () => {
  const commands = {
    "stop": ["stop"],
    "models": ["models", "--json"],
    "download": ["download", "SmolLM2-135M-Instruct"],
    "engine": ["engine", "--bin-dir", "/opt/llama"],
    "status": ["status", "--console", "4"],
    "members": ["members"],
    "join": ["join", "@token-file"],
    "invite": ["invite", "--role", "client", "--expires", "7d"],
    "revoke": ["revoke", "node-id"],
    "plan": ["plan", "some-model"],
    "drop": ["drop", "some-model"],
    "discover": ["discover", "--model", "m", "--min-vram", "8", "--region", "eu", "--auto"],
    "rotate-key": ["rotate-key"],
    "mesh-key-export": ["mesh-key", "export"],
    "doctor": ["doctor"],
  };
  for (const [action, args] of Object.entries(commands)) {
    assert.equal(invocationOf(args).action, action);
  }
});

Deno.test("the command line refuses what it does not know, and suggests what is near", () => {
  assert.throws(() => invocationOf(["--modle", "x"]), /--model/);
  assert.throws(() => invocationOf(["stat"]), /status/);
  for (const args of [["--port", "99999"], ["--port", "x"], ["--tensor-split", "a"], ["drop"]]) {
    assert.throws(() => invocationOf(args), SyntaxError, args.join(" "));
  }
});

Deno.test("refuseUnbuilt() names each flag whose feature does not exist, with exit status 2", () => {
  const built =
    /^(-j$|--(model|join|client|bind-port|advertise|closed|port|console|listen-all|api-key|max-vram|ctx-size|parallel|no-draft|device|bin-dir|home|log-level|log-format|json)$)/;
  const unbuilt = EVERY_SERVE_FLAG.filter(([flag]) => !built.test(flag));
  assert.equal(unbuilt.length, 10);
  for (const args of unbuilt) {
    const [flag] = args;
    assert.throws(() => refuseUnbuilt(invocationOf(args)), (error: Error) => {
      assert.ok(error instanceof UserError && error.exitCode === 2, flag);
      assert.ok(error.message.startsWith(`${flag} is not available`), error.message);
      return true;
    });
  }
});

Deno.test("refuseUnbuilt() refuses draft models and public meshes", () => {
  const refusals = [
    [["discover"], /mesh-llm discover is not available/],
    [["download", "m", "--draft"], /--draft/],
  ] as const;
  for (const [args, message] of refusals) {
    assert.throws(() => refuseUnbuilt(invocationOf(args)), message);
  }
});

Deno.test("refuseUnbuilt() lets everything through that exists", () => {
  const args = [
    "--model",
    "a",
    "--port",
    "1",
    "--listen-all",
    "--no-draft",
    "--parallel",
    "2",
    "-j",
    "token",
  ];
  refuseUnbuilt(invocationOf(args));
  for (
    const command of [
      ["stop"],
      ["models"],
      ["engine"],
      ["status"],
      ["doctor"],
      ["plan", "m"],
      ["members"],
      ["invite"],
      ["revoke", "x"],
      ["join", "t"],
      ["rotate-key"],
      ["mesh-key", "export"],
    ]
  ) {
    refuseUnbuilt(invocationOf(command));
  }
  assert.equal(serveFlagsOf(args).parallel, 2);
});
