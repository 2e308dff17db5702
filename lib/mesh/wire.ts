/** What all bytes between two nodes have in common: the version of the protocol, and how JSON is read. */
import { isJsonObject, type JsonObject } from "../base/json.ts";

/** Newest version of the protocol that this program speaks, and the oldest. */
export const PROTOCOL_VERSION = 1;
export const PROTOCOL_OLDEST = 1;

/** What came is not of this protocol: the connection it came by ends, and nothing else. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

const UTF8 = new TextDecoder("utf-8", { fatal: true });
const ENCODER = new TextEncoder();

/** Printable characters without line ends: what may go into a log line or on a screen. */
const PRINTABLE = /^[^\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]+$/u;

/**
 * The JSON object in `bytes`; whoever cuts the frame has bounded them.
 *
 * @throws {ProtocolError} when it is none
 */
export function readJsonObject(bytes: Uint8Array): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(UTF8.decode(bytes));
  } catch {
    throw new ProtocolError(`Found ${bytes.length} bytes that are not JSON`);
  }
  if (!isJsonObject(value)) throw new ProtocolError("Found JSON that is not an object");
  return value;
}

/** `value` as a frame: its length as u32, big endian, then JSON in UTF-8. */
export function jsonFrame(value: unknown): Uint8Array<ArrayBuffer> {
  const body = ENCODER.encode(JSON.stringify(value));
  const frame = new Uint8Array(LENGTH_BYTES + body.length);
  new DataView(frame.buffer).setUint32(0, body.length);
  frame.set(body, LENGTH_BYTES);
  return frame;
}

/** Bytes of the length before each JSON frame. */
export const LENGTH_BYTES = 4;

/** Whether `value` is text of 1 to `charsMax` characters that may be shown. */
export function isPrintable(value: unknown, charsMax: number): value is string {
  return typeof value === "string" && value.length <= charsMax && PRINTABLE.test(value);
}

/** Whether `value` is an unsigned 32 bit number. */
export function isU32(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}
