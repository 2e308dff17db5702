import { UserError } from "~/base/errors.ts";
import { runCommand } from "~/base/io/command.ts";
import type { EngineProgram } from "../install.ts";

/** A first start reads some 40 MiB of libraries from the disk. */
const PROBE_TIMEOUT_MS = 20_000;

/** A program that was found or installed cannot be run on this machine. */
export class EngineUnusableError extends UserError {
  override readonly name = "EngineUnusableError";
}

/**
 * Runs `--version`: an archive can be whole and yet not run here, for want of a library or of a
 * newer system.
 *
 * @throws {EngineUnusableError} with the last line that the program printed
 */
export async function probeProgram(program: EngineProgram, signal: AbortSignal): Promise<void> {
  const { command, leadingArgs, env, workingDir } = program;
  const result = await runCommand({
    command,
    args: [...leadingArgs, "--version"],
    env,
    ...(workingDir === undefined ? {} : { cwd: workingDir }),
    timeoutMs: PROBE_TIMEOUT_MS,
    signal,
  });
  if (result.code === 0) return;
  const lines = `${result.stdout}\n${result.stderr}`.split("\n").map((line) => line.trim());
  const last = lines.findLast((line) => line !== "") ?? "it printed nothing";
  throw new EngineUnusableError(
    `"llama-server --version" ends with status ${result.code}: ${last.slice(0, 300)}`,
  );
}
