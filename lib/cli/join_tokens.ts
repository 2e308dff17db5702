/**
 * The invite tokens of flags, environment and files. A token is a secret: what a message names is where it
 * came from, never what it says.
 */
import { messageOf, UserError } from "~/base/errors.ts";
import { readTextBounded } from "~/base/io/files.ts";
import type { Env } from "./settings.ts";

/** Some tokens of 2 KiB, and room for what people write beside them. */
const TOKEN_FILE_BYTES_MAX = 64 * 1024;
/** More ways into one mesh are of no use. */
const TOKENS_MAX = 16;

/**
 * The tokens of `--join` and of `MESH_LLM_JOIN`, which may hold several with spaces or commas between them;
 * `@file` stands for the words of a file. Each is named once, in the order given.
 *
 * @throws {UserError} with exit status 2 for a flag without a token and a file that cannot be read
 */
export async function readJoinTokens(flagTokens: readonly string[], env: Env): Promise<string[]> {
  if (flagTokens.some((text) => text.trim() === "")) {
    throw usage("Cannot join without an invite token: --join was given an empty one");
  }
  const given = [...flagTokens, ...(env("MESH_LLM_JOIN") ?? "").split(/[\s,]+/)];
  const tokens = new Set<string>();
  for (const text of given.map((each) => each.trim()).filter((each) => each !== "")) {
    const read = text.startsWith("@") ? await readTokenFile(text.slice(1)) : [text];
    for (const token of read) tokens.add(token);
  }
  if (tokens.size > TOKENS_MAX) {
    throw usage(`Cannot try ${tokens.size} invite tokens: ${TOKENS_MAX} at most`);
  }
  return [...tokens];
}

async function readTokenFile(path: string): Promise<string[]> {
  const text = await readTextBounded(path, TOKEN_FILE_BYTES_MAX).catch((cause) => {
    const reason = messageOf(cause);
    throw usage(`Cannot read an invite token from ${path}: ${reason}`, cause);
  });
  const words = text.split(/\s+/).filter((word) => word !== "");
  if (words.length > 0) return words;
  throw usage(`Cannot read an invite token from ${path}: the file is empty`);
}

function usage(message: string, cause?: unknown): UserError {
  return new UserError(message, { exitCode: 2, cause });
}
