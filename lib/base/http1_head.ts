/**
 * What the heads of HTTP/1.1 requests and answers have in common (RFC 9112, 2 to 5). Pure and strict: what
 * can be read in two ways is not understood, because somebody before or behind us may read it the other way.
 *
 * @module
 */

/** The bytes are no message that could be understood. The text quotes nothing of them. */
export class HttpFormatError extends SyntaxError {
  override readonly name = "HttpFormatError";
}

/** One header: its name in lower case, its value without the space around it. */
export type HeaderField = readonly [name: string, value: string];

/** Most headers of a message; browsers send about 20. */
const HEADERS_MAX = 128;
/** First room for a head that comes in pieces; real ones fit. */
const HELD_BYTES_FIRST = 1024;

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
// deno-lint-ignore no-control-regex -- a tab is the one control character that may be there
const VALUE = /^[\x09\x20-\x7e\x80-\xff]*$/;
const LENGTH = /^\d{1,15}$/;
const CR = 13;
const LF = 10;
const TAB = 9;
const SPACE = 32;
const NOTHING = new Uint8Array(0);
/** For ASCII, which nearly all heads are: a decoder is many times as fast as a loop. */
const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });
// deno-lint-ignore no-control-regex -- all of ASCII, control characters too
const ASCII = /^[\x00-\x7f]*$/;

/** A complete head, and what came after it. */
export interface CutHead {
  /** Without the empty line at its end; one character for each byte. */
  readonly text: string;
  readonly rest: Uint8Array;
}

/** Collects bytes up to the empty line that ends a head. Each byte is looked at once. */
export class HeadCollector {
  readonly #bytesMax: number;
  #held = NOTHING;
  #heldBytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** True while a part of a head is held. */
  get hasBegun(): boolean {
    return this.#heldBytes > 0;
  }

  /**
   * Takes in what arrived; undefined while the head is not complete.
   *
   * @throws {HttpFormatError} when it is too large
   */
  push(bytes: Uint8Array): CutHead | undefined {
    if (this.#heldBytes === 0) {
      const end = findHeadEnd(bytes, 0);
      this.#check(end < 0 ? bytes.length : end);
      if (end >= 0) return cutAt(bytes, end, bytes.subarray(end));
      this.#hold(bytes);
      return undefined;
    }
    const before = this.#heldBytes;
    // No more than may be held: what is beyond belongs to the body, or is too much.
    this.#hold(bytes.subarray(0, this.#bytesMax + 1 - before));
    const all = this.#held.subarray(0, this.#heldBytes);
    const end = findHeadEnd(all, Math.max(0, before - 3));
    this.#check(end < 0 ? all.length : end);
    if (end < 0) return undefined;
    this.#heldBytes = 0;
    return cutAt(all, end, bytes.subarray(end - before));
  }

  #check(sizeBytes: number): void {
    if (sizeBytes <= this.#bytesMax) return;
    throw new HttpFormatError(`its head is larger than ${this.#bytesMax} bytes`);
  }

  #hold(bytes: Uint8Array): void {
    const sizeBytes = this.#heldBytes + bytes.length;
    if (sizeBytes > this.#held.length) {
      const larger = new Uint8Array(Math.max(HELD_BYTES_FIRST, 2 * sizeBytes));
      larger.set(this.#held.subarray(0, this.#heldBytes));
      this.#held = larger;
    }
    this.#held.set(bytes, this.#heldBytes);
    this.#heldBytes = sizeBytes;
  }
}

function cutAt(bytes: Uint8Array, end: number, rest: Uint8Array): CutHead {
  return { text: textOf(bytes.subarray(0, end - 4)), rest };
}

/** One character for each byte. By hand beyond ASCII: what `TextDecoder` calls latin1 is another encoding. */
export function textOf(bytes: Uint8Array): string {
  const text = UTF8.decode(bytes);
  if (ASCII.test(text)) return text;
  let plain = "";
  for (const byte of bytes) plain += String.fromCharCode(byte);
  return plain;
}

/** Where the head ends: after its empty line; -1 when that did not come yet. Ends before `from` do not count. */
function findHeadEnd(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(LF, from); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at - 1] === CR && bytes[at - 2] === LF && bytes[at - 3] === CR) return at + 1;
  }
  return -1;
}

/**
 * Reads the lines after the first one of a head.
 *
 * @throws {HttpFormatError} when one is no header, or there are too many
 */
export function readHeaders(lines: readonly string[]): HeaderField[] {
  if (lines.length > HEADERS_MAX + 1) {
    throw new HttpFormatError(`it has more than ${HEADERS_MAX} headers`);
  }
  const fields: HeaderField[] = [];
  for (let index = 1; index < lines.length; index += 1) fields.push(readHeader(lines[index] ?? ""));
  return fields;
}

/**
 * Reads one header line. By hand, since a pattern that also trims takes time that grows with the square of
 * the spaces in it.
 *
 * @throws {HttpFormatError} when it is none; a folded line is none either
 */
export function readHeader(line: string): HeaderField {
  const colon = line.indexOf(":");
  const name = line.slice(0, Math.max(0, colon));
  if (!TOKEN.test(name)) throw new HttpFormatError("one of its headers has no proper name");
  let start = colon + 1;
  let end = line.length;
  while (start < end && isBlank(line.charCodeAt(start))) start += 1;
  while (end > start && isBlank(line.charCodeAt(end - 1))) end -= 1;
  const value = line.slice(start, end);
  if (!VALUE.test(value)) throw new HttpFormatError("one of its headers holds control characters");
  return [name.toLowerCase(), value];
}

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB;
}

/** All values of a header, in their order. */
export function valuesOf(headers: readonly HeaderField[], wanted: string): string[] {
  const values: string[] = [];
  for (const [name, value] of headers) if (name === wanted) values.push(value);
  return values;
}

/** How a message tells where its body ends. */
export interface BodyFraming {
  /** Length in bytes, where one is told. */
  readonly lengthBytes: number | undefined;
  /** True when the body comes in chunks that tell their own sizes. */
  readonly isChunked: boolean;
}

/**
 * Reads how long the body is (RFC 9112, 6.3).
 *
 * @throws {HttpFormatError} when that is told twice, or in a way that is not understood
 */
export function readFraming(headers: readonly HeaderField[]): BodyFraming {
  const lengths = valuesOf(headers, "content-length");
  const codings = valuesOf(headers, "transfer-encoding");
  const [length] = lengths;
  if (lengths.length > 1 || (length !== undefined && !LENGTH.test(length))) {
    throw new HttpFormatError("its Content-Length is not one number");
  }
  if (codings.length === 0) {
    return { lengthBytes: length === undefined ? undefined : Number(length), isChunked: false };
  }
  if (codings.length > 1 || codings[0]?.toLowerCase() !== "chunked") {
    throw new HttpFormatError("its Transfer-Encoding is not understood: only chunked is");
  }
  if (length !== undefined) {
    throw new HttpFormatError("it has a Content-Length and a Transfer-Encoding");
  }
  return { lengthBytes: undefined, isChunked: true };
}

/** True when `Connection` names this option. */
export function hasConnectionOption(headers: readonly HeaderField[], option: string): boolean {
  for (const [name, value] of headers) {
    if (name !== "connection") continue;
    if (value.toLowerCase().split(",").some((word) => word.trim() === option)) return true;
  }
  return false;
}
