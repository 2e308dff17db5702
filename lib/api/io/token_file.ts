/**
 * The management token: who can read `<home>/management-token` may change what the node does. It
 * outlives the node, so that scripts can keep it.
 */
import { dirname, join } from "node:path";
import { getLogger } from "@logtape/logtape";
import {
  ensureDir,
  FileTooLargeError,
  readTextIfAny,
  removeIfAny,
  writeFileAtomic,
} from "~/base/io/files.ts";
import type { SecretSource } from "~/base/rng.ts";

const log = getLogger(["mesh-llm", "api"]);

/** Name of the file in the home. */
export const MANAGEMENT_TOKEN_FILE = "management-token";
/** 256 bits: nobody guesses it. */
const TOKEN_BYTES = 32;
/** What is taken for a token: ours have 43 characters; somebody may have put a longer one there. */
const TOKEN_REGEXP = /^[A-Za-z0-9_-]{32,256}$/;
const FILE_BYTES_MAX = 1024;
const SECRET_MODE = 0o600;

/**
 * The token in the file; undefined when there is no file or no token in it.
 *
 * @throws {Deno.errors.PermissionDenied} when the file belongs to somebody else
 */
export async function readManagementToken(path: string): Promise<string | undefined> {
  try {
    const text = (await readTextIfAny(path, FILE_BYTES_MAX))?.trim();
    return text !== undefined && TOKEN_REGEXP.test(text) ? text : undefined;
  } catch (thrown) {
    if (thrown instanceof FileTooLargeError) return undefined;
    throw thrown;
  }
}

/**
 * The token of this home, made when there is none. One that others could read is replaced: it may be
 * known. Two nodes that start at once on one home end with the same token.
 */
export async function ensureManagementToken(path: string, secrets: SecretSource): Promise<string> {
  const known = await readManagementToken(path);
  if (known !== undefined && await isPrivate(path)) return known;
  const token = makeToken(secrets);
  await ensureDir(dirname(path), 0o700);
  if (known === undefined && await createOnce(path, token)) return token;
  // Somebody else was first, or what is there is no good.
  const other = await readManagementToken(path);
  if (other !== undefined && await isPrivate(path)) return other;
  if (other !== undefined) {
    log.warn("Made a new management token: other users could read the old one in {path}", { path });
  }
  await writeFileAtomic(path, `${token}\n`, { mode: SECRET_MODE });
  return token;
}

/** Creates the file, whole, if there is none; says whether it did. */
async function createOnce(path: string, token: string): Promise<boolean> {
  const own = join(dirname(path), `.${crypto.randomUUID()}.tmp`);
  try {
    await writeFileAtomic(own, `${token}\n`, { mode: SECRET_MODE });
    // A link, unlike a rename, fails when the name is taken.
    await Deno.link(own, path);
    return true;
  } catch (thrown) {
    if (thrown instanceof Deno.errors.AlreadyExists) return false;
    // A file system without links: the caller replaces, and only a race could tell the difference.
    log.debug("Cannot link in {path}: {reason}", { path, reason: String(thrown) });
    return false;
  } finally {
    await removeIfAny(own);
  }
}

async function isPrivate(path: string): Promise<boolean> {
  // Windows has no mode bits; a home there is private to its user by inheritance.
  if (Deno.build.os === "windows") return true;
  const { mode } = await Deno.stat(path);
  return mode === null || (mode & 0o077) === 0;
}

function makeToken(secrets: SecretSource): string {
  const text = btoa(String.fromCharCode(...secrets.bytes(TOKEN_BYTES)));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
