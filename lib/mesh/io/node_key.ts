/** The key that a node is: an Ed25519 pair in `<home>/key`, mode 0600, or one that nobody keeps. */
import { join } from "node:path";
import { generateKey, type KeyPair, readKeyFile, writeKeyFile } from "./key_file.ts";

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
  const known = await readKeyFile(path, {
    whose: "the key of this node",
    remedy: "Put the right file back, or remove it to become a new node",
  });
  return nodeKeyOf(known ?? await makeKeyFile(path));
}

/** Makes this home another node: a new key over the old one, which is gone. */
export async function rotateNodeKey(homeDir: string): Promise<NodeKey> {
  return nodeKeyOf(await makeKeyFile(join(homeDir, "key")));
}

/** Makes a key that lives as long as this process. */
export async function makeEphemeralNodeKey(): Promise<NodeKey> {
  return nodeKeyOf(await generateKey());
}

async function makeKeyFile(path: string): Promise<KeyPair> {
  const made = await generateKey();
  await writeKeyFile(path, made);
  return made;
}

function nodeKeyOf({ id, privateKey }: KeyPair): NodeKey {
  return { nodeId: id, privateKey };
}
