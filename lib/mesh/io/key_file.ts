/** Ed25519 keys in files: PKCS #8 PEM, mode 0600. */
import { dirname } from "node:path";
import { UserError } from "../../base/errors.ts";
import { ensureDir, readTextIfAny, writeFileAtomic } from "../../base/io/files.ts";
import { pemBytes, pemText } from "../pem.ts";

/** A PKCS #8 Ed25519 key in PEM is 119 bytes; whatever is far larger is not one. */
const KEY_FILE_BYTES_MAX = 4096;
/** Group and others may neither read nor write a secret. */
const FOREIGN_ACCESS_BITS = 0o077;

/** A key pair. */
export interface KeyPair {
  /** The raw public key in base64url without padding: 43 characters. */
  readonly id: string;
  readonly privateKey: CryptoKey;
}

/**
 * Reads a key; undefined when there is no file.
 *
 * @param whose for the error, as in "the key of this node"
 * @param remedy for the error: what a person can do when the file is no key
 * @throws {UserError} when the file is no such key or others can read it
 */
export async function readKeyFile(
  path: string,
  { whose, remedy }: { readonly whose: string; readonly remedy: string },
): Promise<KeyPair | undefined> {
  const pem = await readTextIfAny(path, KEY_FILE_BYTES_MAX);
  if (pem === undefined) return undefined;
  await refuseForeignAccess(path);
  try {
    const der = pemBytes("PRIVATE KEY", pem) ?? new Uint8Array(0);
    const privateKey = await crypto.subtle.importKey("pkcs8", der, "Ed25519", true, ["sign"]);
    return { privateKey, id: await idOf(privateKey) };
  } catch (error) {
    throw new UserError(
      `Cannot use ${path} as ${whose}: it is no Ed25519 key in PKCS #8 PEM. ${remedy}`,
      { cause: error },
    );
  }
}

/** Writes a key, over the one that was there. */
export async function writeKeyFile(path: string, { privateKey }: KeyPair): Promise<void> {
  await ensureDir(dirname(path), 0o700);
  await writeFileAtomic(path, await keyPem(privateKey), { mode: 0o600 });
}

/** Makes a new key; nothing is written. */
export async function generateKey(): Promise<KeyPair> {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  const { privateKey } = pair as CryptoKeyPair;
  return { privateKey, id: await idOf(privateKey) };
}

/** PKCS #8 PEM of an extractable private key. */
export async function keyPem(privateKey: CryptoKey): Promise<string> {
  return pemText("PRIVATE KEY", await crypto.subtle.exportKey("pkcs8", privateKey));
}

/**
 * Refuses a secret that others can read.
 *
 * @throws {UserError} with the command that mends it
 */
export async function refuseForeignAccess(path: string): Promise<void> {
  const { mode } = await Deno.stat(path);
  if (Deno.build.os === "windows" || mode === null) return;
  if ((mode & FOREIGN_ACCESS_BITS) === 0) return;
  throw new UserError(
    `Refusing ${path}: others can read this secret (mode ${(mode & 0o777).toString(8)}, ` +
      `wanted 600). Run: chmod 600 ${path}`,
  );
}

async function idOf(privateKey: CryptoKey): Promise<string> {
  const { x } = await crypto.subtle.exportKey("jwk", privateKey);
  if (x === undefined) throw new TypeError("Cannot read a public key: the pair has none");
  return x;
}
