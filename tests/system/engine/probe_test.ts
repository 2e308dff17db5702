import assert from "node:assert/strict";
import { CommandError } from "~/base/io/command.ts";
import type { EngineProgram } from "~/engine/install.ts";
import { EngineUnusableError, probeProgram } from "~/engine/io/probe.ts";

/** A shell script in the place of llama-server; `$0` is what it is asked. */
function program(script: string, more: Partial<EngineProgram> = {}): EngineProgram {
  return { command: "sh", leadingArgs: ["-c", script], env: {}, ...more };
}

const signal = new AbortController().signal;

Deno.test("probeProgram() asks for the version, in the program's folder and environment", async () => {
  const script = '[ "$0" = --version ] && [ "$NAME" = value ] && [ "$PWD" = / ]';
  await probeProgram(program(script, { env: { NAME: "value" }, workingDir: "/" }), signal);
  await assert.rejects(probeProgram(program(script), signal), EngineUnusableError);
});

Deno.test("probeProgram() gives the last line that the program printed", async () => {
  const script = "echo first; echo 'libcuda.so.1: no such file' >&2; echo >&2; exit 127";
  await assert.rejects(probeProgram(program(script), signal), (error) => {
    assert.ok(error instanceof EngineUnusableError);
    assert.match(error.message, /status 127: libcuda\.so\.1: no such file$/);
    return true;
  });
  await assert.rejects(probeProgram(program("exit 1"), signal), /it printed nothing/);
});

Deno.test("probeProgram() says that there is nothing to run", async () => {
  const absent = { command: "/no/such/llama-server", leadingArgs: [], env: {} };
  await assert.rejects(probeProgram(absent, signal), CommandError);
});
