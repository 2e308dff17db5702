/** Names of nodes and meshes: raw Ed25519 public keys in base64url without padding. */
import { Buffer } from "node:buffer";

/** Id of a node: its public key, 43 characters. */
export type NodeId = string;
/** Id of a mesh: the public key of its originator's mesh key, 43 characters. */
export type MeshId = string;

/** 32 bytes in base64url: the last character carries 4 bits, so only every fourth is possible. */
const KEY_TEXT = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
/** Characters of an issuer's id that its serials begin with: 96 bits, so nobody can claim another's. */
const SERIAL_ISSUER_CHARS = 16;
const ISSUER_PART_TEXT = /^[A-Za-z0-9_-]{16}$/;
const SERIAL_TEXT = /^[A-Za-z0-9_-]{16}\.[A-Za-z0-9_-]{11}$/;

/**
 * Points of small order, little-endian without the sign bit: as a public key, signatures that fit any message can be
 * made without a private half.
 */
const WEAK_POINTS = [
  "00".repeat(32),
  `01${"00".repeat(31)}`,
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  `ec${"ff".repeat(30)}7f`,
  `ed${"ff".repeat(30)}7f`,
  `ee${"ff".repeat(30)}7f`,
];
const WEAK_KEYS: ReadonlySet<string> = new Set(
  WEAK_POINTS.flatMap((hex) => {
    const point = Buffer.from(hex, "hex");
    const mirrored = Buffer.from(point);
    mirrored[31] = (mirrored[31] ?? 0) | 0x80;
    return [point.toString("base64url"), mirrored.toString("base64url")];
  }),
);

/** Whether `value` is written like a node id or a mesh id, and is no key that anybody could sign for. */
export function isKeyId(value: unknown): value is NodeId {
  return typeof value === "string" && KEY_TEXT.test(value) && !WEAK_KEYS.has(value);
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
  return `${issuerPart(issuer)}.${random}`;
}

/** How a serial begins, from the serial or from the id of who signed it. */
export function issuerPart(serialOrIssuer: string): string {
  return serialOrIssuer.slice(0, SERIAL_ISSUER_CHARS);
}

/** Whether `value` is written like what {@link issuerPart} gives. */
export function isIssuerPart(value: unknown): value is string {
  return typeof value === "string" && ISSUER_PART_TEXT.test(value);
}

/** Whether `value` is written like a serial. */
export function isSerial(value: unknown): value is string {
  return typeof value === "string" && SERIAL_TEXT.test(value);
}

/** Whether `serial` is one of `issuer`'s. */
export function isSerialOf(serial: string, issuer: NodeId | MeshId): boolean {
  return isSerial(serial) && issuerPart(serial) === issuerPart(issuer);
}
