/** Names of nodes and meshes: raw Ed25519 public keys in base64url without padding. */

/** Id of a node: its public key, 43 characters. */
export type NodeId = string;
/** Id of a mesh: the public key of its originator's mesh key, 43 characters. */
export type MeshId = string;

/** 32 bytes in base64url: the last character carries 4 bits, so only every fourth is possible. */
const KEY_TEXT = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
/** Characters of an issuer's id that its serials begin with: 96 bits, so nobody can claim another's. */
const SERIAL_ISSUER_CHARS = 16;
const SERIAL_TEXT = /^[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{11}$/;

/** Whether `value` is written like a node id or a mesh id. */
export function isKeyId(value: unknown): value is NodeId {
  return typeof value === "string" && KEY_TEXT.test(value);
}

/** The beginning of an id, for people: 8 characters. */
export function shortId(id: NodeId): string {
  return id.slice(0, 8);
}

/**
 * A serial of something that `issuer` signs: who signed it can be read from it, so that an issuer
 * can revoke its own serials and nobody else's.
 *
 * @param random 8 bytes in base64url, 11 characters
 */
export function serialOf(issuer: NodeId | MeshId, random: string): string {
  return `${issuer.slice(0, SERIAL_ISSUER_CHARS)}.${random}`;
}

/** Whether `value` is written like a serial. */
export function isSerial(value: unknown): value is string {
  return typeof value === "string" && SERIAL_TEXT.test(value);
}

/** Whether `serial` is one of `issuer`'s. */
export function isSerialOf(serial: string, issuer: NodeId | MeshId): boolean {
  return isSerial(serial) && serial.startsWith(`${issuer.slice(0, SERIAL_ISSUER_CHARS)}.`);
}
