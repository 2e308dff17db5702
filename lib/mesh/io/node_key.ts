/** The key that a node is: an Ed25519 pair in `<home>/key`, mode 0600, or one that nobody keeps. */
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { UserError } from "../../base/errors.ts";
import { ensureDir, readTextIfAny, writeFileAtomic } from "../../base/io/files.ts";

/** A PKCS #8 Ed25519 key in PEM is 119 bytes; whatever is far larger is not one. */
const KEY_FILE_BYTES_MAX = 4096;
/** Group and others may neither read nor write the key file. */
const FOREIGN_ACCESS_BITS = 0o077;

/** Who this node is. */
export interface NodeKey {
  /** The raw public key in base64url without padding: 43 characters. */
  readonly nodeId: string;
  readonly privateKey: CryptoKey;
}

/**
 * Reads the node's key, or makes one on the first start.
 *
 * @throws {UserError} when the file is no such key or others can read it
 */
export async function loadNodeKey(homeDir: string): Promise<NodeKey> {
  const path = join(homeDir, "key");
  const pem = await readTextIfAny(path, KEY_FILE_BYTES_MAX);
  if (pem !== undefined) {
    await refuseForeignAccess(path);
    return await importKey(pem, path);
  }
  const made = await generateKey();
  await ensureDir(homeDir, 0o700);
  await writeFileAtomic(path, await exportPem(made.privateKey), { mode: 0o600 });
  return made;
}

/** Makes a key that lives as long as this process. */
export async function makeEphemeralNodeKey(): Promise<NodeKey> {
  return await generateKey();
}

async function generateKey(): Promise<NodeKey> {
  const pair = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]);
  const { privateKey } = pair as CryptoKeyPair;
  return { privateKey, nodeId: await nodeIdOf(privateKey) };
}

async function importKey(pem: string, path: string): Promise<NodeKey> {
  const body = /^-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END PRIVATE KEY-----\s*$/.exec(
    pem,
  );
  try {
    const der = new Uint8Array(Buffer.from(body?.[1] ?? "", "base64"));
    const privateKey = await crypto.subtle.importKey("pkcs8", der, "Ed25519", true, ["sign"]);
    return { privateKey, nodeId: await nodeIdOf(privateKey) };
  } catch (error) {
    throw new UserError(
      `Cannot use ${path} as the key of this node: it is no Ed25519 key in PKCS #8 PEM. ` +
        "Put the right file back, or remove it to become a new node",
      { cause: error },
    );
  }
}

async function refuseForeignAccess(path: string): Promise<void> {
  const { mode } = await Deno.stat(path);
  if (Deno.build.os === "windows" || mode === null) return;
  if ((mode & FOREIGN_ACCESS_BITS) === 0) return;
  throw new UserError(
    `Refusing ${path}: others can read this secret (mode ${(mode & 0o777).toString(8)}, ` +
      `wanted 600). Run: chmod 600 ${path}`,
  );
}

async function exportPem(privateKey: CryptoKey): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey("pkcs8", privateKey)).toString("base64");
  return `-----BEGIN PRIVATE KEY-----\n${der}\n-----END PRIVATE KEY-----\n`;
}

async function nodeIdOf(privateKey: CryptoKey): Promise<string> {
  const { x } = await crypto.subtle.exportKey("jwk", privateKey);
  if (x === undefined) throw new TypeError("Cannot read a public key: the pair has none");
  return x;
}
