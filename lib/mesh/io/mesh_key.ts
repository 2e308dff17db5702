/**
 * The key that a mesh is: an Ed25519 pair in `<home>/mesh-key` of its originator, mode 0600. Who has it can let
 * anybody in and end anybody's membership, so it is never made a second time over an old one.
 */
import { join } from "node:path";
import { UserError } from "../../base/errors.ts";
import { jwsSigner } from "./jws.ts";
import { generateKey, type KeyPair, keyPem, readKeyFile, writeKeyFile } from "./key_file.ts";
import type { Signer } from "../signing.ts";

const FILE_NAME = "mesh-key";

/**
 * The mesh key of this home, if it has one; its `id` is the mesh id.
 *
 * @throws {UserError} when the file is no such key or others can read it
 */
export async function loadMeshKey(homeDir: string): Promise<Signer | undefined> {
  const key = await readMeshKey(homeDir);
  return key === undefined ? undefined : jwsSigner(key.id, key.privateKey);
}

/**
 * The mesh key of this home, made when there is none: the first step of a new mesh.
 *
 * @throws {UserError} when the file is no such key or others can read it
 */
export async function ensureMeshKey(homeDir: string): Promise<Signer> {
  const known = await loadMeshKey(homeDir);
  if (known !== undefined) return known;
  const made = await generateKey();
  await writeKeyFile(join(homeDir, FILE_NAME), made);
  return jwsSigner(made.id, made.privateKey);
}

/** A mesh key that lives as long as this process. */
export async function makeEphemeralMeshKey(): Promise<Signer> {
  const { id, privateKey } = await generateKey();
  return jwsSigner(id, privateKey);
}

/**
 * The mesh key as text, for a safe place: PKCS #8 PEM. Written into `<home>/mesh-key` elsewhere it is the same mesh.
 *
 * @throws {UserError} when this home has none
 */
export async function exportMeshKey(homeDir: string): Promise<{ meshId: string; pem: string }> {
  const key = await readMeshKey(homeDir);
  if (key !== undefined) return { meshId: key.id, pem: await keyPem(key.privateKey) };
  throw new UserError(
    `Cannot export a mesh key: ${
      join(homeDir, FILE_NAME)
    } is not there; only the home that began ` +
      "the mesh has it",
  );
}

async function readMeshKey(homeDir: string): Promise<KeyPair | undefined> {
  return await readKeyFile(join(homeDir, FILE_NAME), {
    whose: "the key of the mesh",
    remedy: "Put the right file back, or move it away to begin a new mesh",
  });
}
