/**
 * Takes the chunked coding off HTTP/1.1 bodies (RFC 9112, 7.1). Pure and strict.
 *
 * @module
 */
import { joined } from "./bytes.ts";
import { HttpFormatError, readHeader, textOf } from "./http1_head.ts";

/** Largest line that tells a chunk's size, extensions included; and all trailers together. */
const LINE_BYTES_MAX = 4 * 1024;
// deno-lint-ignore no-control-regex -- control characters are what is kept out
const SIZE_LINE = /^([0-9A-Fa-f]{1,12})[ \t]*(?:;[\x09\x20-\x7e\x80-\xff]*)?$/;
/** Digits of a size that is read without a pattern: 256 MiB. */
const PLAIN_DIGITS_MAX = 7;
const CR = 13;
const LF = 10;
const NOTHING = new Uint8Array(0);

/** What comes next. */
type State = "size" | "data" | "data end" | "trailers" | "complete";

/** Takes the coding off one body. */
export class ChunkDecoder {
  #state: State = "size";
  /** Bytes left of the chunk, or of what trailers may have. */
  #leftBytes = 0;
  /** The beginning of a line that is not complete yet. */
  #pending: Uint8Array = NOTHING;

  /** True when the whole body has arrived. */
  get isComplete(): boolean {
    return this.#state === "complete";
  }

  /**
   * Takes in what arrived and hands on the bytes of the body in it, as parts of `bytes`. Returns what follows
   * the end of the body.
   *
   * @throws {HttpFormatError} when the coding is broken
   */
  push(bytes: Uint8Array, take: (piece: Uint8Array) => void): Uint8Array {
    let rest = bytes;
    while (rest.length > 0 && this.#state !== "complete") {
      if (this.#state !== "data") {
        rest = this.#pushPlain(rest) ?? this.#pushLine(rest);
        continue;
      }
      const piece = rest.subarray(0, this.#leftBytes);
      this.#leftBytes -= piece.length;
      rest = rest.subarray(piece.length);
      if (this.#leftBytes === 0) this.#state = "data end";
      take(piece);
    }
    return rest;
  }

  /**
   * Takes a line as nearly all are, an empty one or a size without extensions, straight from the bytes: each
   * token of a stream has two. Undefined, and nothing taken, when it is another one or not complete.
   */
  #pushPlain(bytes: Uint8Array): Uint8Array | undefined {
    if (this.#pending.length > 0 || this.#state === "trailers") return undefined;
    let sizeBytes = 0;
    let at = 0;
    for (; at < PLAIN_DIGITS_MAX; at += 1) {
      const digit = hexDigit(bytes[at] ?? CR);
      if (digit < 0) break;
      sizeBytes = sizeBytes * 16 + digit;
    }
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return undefined;
    const isEmpty = at === 0;
    if (isEmpty !== (this.#state === "data end")) return undefined;
    if (isEmpty) this.#state = "size";
    else this.#beginChunk(sizeBytes);
    return bytes.subarray(at + 2);
  }

  #beginChunk(sizeBytes: number): void {
    this.#state = sizeBytes === 0 ? "trailers" : "data";
    this.#leftBytes = sizeBytes === 0 ? LINE_BYTES_MAX : sizeBytes;
  }

  /** Takes one line; returns what follows it. */
  #pushLine(bytes: Uint8Array): Uint8Array {
    const end = bytes.indexOf(LF);
    const line = end < 0 ? bytes : bytes.subarray(0, end + 1);
    if (this.#pending.length + line.length > LINE_BYTES_MAX) {
      throw new HttpFormatError("a line between its chunks is too long");
    }
    const whole = this.#pending.length === 0 ? line : joined([this.#pending, line]);
    if (end < 0) {
      this.#pending = whole.slice();
      return NOTHING;
    }
    this.#pending = NOTHING;
    if (whole.at(-2) !== CR) {
      throw new HttpFormatError("a line between its chunks has no proper end");
    }
    this.#takeLine(textOf(whole.subarray(0, -2)));
    return bytes.subarray(end + 1);
  }

  #takeLine(line: string): void {
    if (this.#state === "data end") {
      if (line !== "") throw new HttpFormatError("one of its chunks is longer than it said");
      this.#state = "size";
    } else if (this.#state === "trailers") {
      // What trailers say concerns nobody here.
      this.#leftBytes -= line.length + 2;
      if (this.#leftBytes < 0) throw new HttpFormatError("it has too many trailers");
      if (line === "") this.#state = "complete";
      else readHeader(line);
    } else {
      const size = SIZE_LINE.exec(line)?.[1];
      if (size === undefined) throw new HttpFormatError("one of its chunks does not tell its size");
      this.#beginChunk(Number.parseInt(size, 16));
    }
  }
}

/** The value of a hexadecimal digit; -1 for anything else. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const lower = code | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
