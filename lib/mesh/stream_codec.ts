/**
 * Frames of a stream: u8 kind (1 head, 2 data, 3 END), u32 length, big endian, then that many bytes. Before the
 * first frame, whoever opened the stream says its kind (u8) and its number (u32). Pure.
 */
import { KIB } from "../base/units.ts";
import type { JsonObject } from "../base/json.ts";
import type { StreamFrame } from "./link_ports.ts";
import { ProtocolError, readJsonObject } from "./wire.ts";

/** Longest head and data frame. */
export const HEAD_BYTES_MAX = 64 * KIB;
export const DATA_BYTES_MAX = 256 * KIB;

/** Bytes before a frame's content, and before a stream's first frame. */
const FRAME_HEADER_BYTES = 5;
export const STREAM_PREFIX_BYTES = 5;

const ENCODER = new TextEncoder();
const NOTHING = new Uint8Array(0);

const HEAD = 1;
const DATA = 2;
const END = 3;

/** Kind of a stream that carries one request and its answer. */
export const REQUEST_STREAM = 1;

/** The first bytes of a stream. */
export interface StreamPrefix {
  readonly kind: number;
  /** Number of the stream among those that its opener opened. */
  readonly id: number;
}

/** Writes the first bytes of a stream. */
export function streamPrefix({ kind, id }: StreamPrefix): Uint8Array<ArrayBuffer> {
  return frameHeader(kind, id);
}

/** Reads the first {@link STREAM_PREFIX_BYTES} of a stream. */
export function readStreamPrefix(bytes: Uint8Array): StreamPrefix {
  return { kind: bytes[0] ?? 0, id: lengthAt(bytes, 1) };
}

/**
 * A head as a frame.
 *
 * @throws {RangeError} when it is longer than {@link HEAD_BYTES_MAX}
 */
export function headFrame(head: JsonObject): Uint8Array<ArrayBuffer> {
  const body = ENCODER.encode(JSON.stringify(head));
  if (body.length > HEAD_BYTES_MAX) {
    throw new RangeError(`Found a head of ${body.length} bytes; wanted at most ${HEAD_BYTES_MAX}`);
  }
  return frameOf(HEAD, body);
}

/** A copy of 1 to {@link DATA_BYTES_MAX} bytes as a frame. */
export function dataFrame(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return frameOf(DATA, bytes);
}

/** What goes before `length` bytes of data: 1 to {@link DATA_BYTES_MAX}. */
export function dataHeader(length: number): Uint8Array<ArrayBuffer> {
  return frameHeader(DATA, length);
}

/** The END frame. */
export function endFrame(): Uint8Array<ArrayBuffer> {
  return frameHeader(END, 0);
}

function frameOf(kind: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + body.length);
  putHeader(frame, kind, body.length);
  frame.set(body, FRAME_HEADER_BYTES);
  return frame;
}

function frameHeader(kind: number, length: number): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(FRAME_HEADER_BYTES);
  putHeader(header, kind, length);
  return header;
}

/** By hand: a `DataView` for four bytes costs more than all the rest. */
function putHeader(frame: Uint8Array, kind: number, length: number): void {
  frame[0] = kind;
  frame[1] = length >>> 24;
  frame[2] = length >>> 16;
  frame[3] = length >>> 8;
  frame[4] = length;
}

function lengthAt(bytes: Uint8Array, at: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
  return ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

/** What a parser finds. Data comes as it arrived: a frame may come in several pieces, which are views, not copies. */
export type StreamPiece = StreamFrame | { readonly kind: "end" };

/** Takes chunks as they come and gives pieces. */
export class StreamParser {
  #chunk: Uint8Array<ArrayBuffer> = NOTHING;
  #at = 0;
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  #headerFilled = 0;
  /** Bytes of the data frame that are still to come. */
  #dataLeft = 0;
  /** The head that is being put together. */
  #head: Uint8Array | undefined;
  #headFilled = 0;
  #isEnded = false;

  /** Adds what came. Call it when {@link next} has nothing more. */
  push(chunk: Uint8Array<ArrayBuffer>): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /**
   * The next piece; undefined when more bytes are needed.
   *
   * @throws {ProtocolError} on anything that is no frame, too long, or after END
   */
  next(): StreamPiece | undefined {
    while (this.#at < this.#chunk.length) {
      if (this.#dataLeft > 0) return this.#data();
      const piece = this.#head === undefined ? this.#begin() : this.#fillHead(this.#head);
      if (piece !== undefined) return piece;
    }
    return undefined;
  }

  #data(): StreamPiece {
    const bytes = this.#take(this.#dataLeft);
    this.#dataLeft -= bytes.length;
    return { kind: "data", bytes };
  }

  #begin(): StreamPiece | undefined {
    if (this.#isEnded) throw new ProtocolError("Found bytes after the end of a stream");
    if (this.#headerFilled === 0 && this.#leftBytes >= FRAME_HEADER_BYTES) {
      const at = this.#at;
      this.#at += FRAME_HEADER_BYTES;
      return this.#open(this.#chunk[at] ?? 0, lengthAt(this.#chunk, at + 1));
    }
    const part = this.#take(FRAME_HEADER_BYTES - this.#headerFilled);
    this.#header.set(part, this.#headerFilled);
    this.#headerFilled += part.length;
    if (this.#headerFilled < FRAME_HEADER_BYTES) return undefined;
    this.#headerFilled = 0;
    return this.#open(this.#header[0] ?? 0, lengthAt(this.#header, 1));
  }

  #open(kind: number, length: number): StreamPiece | undefined {
    if (kind === END && length === 0) {
      this.#isEnded = true;
      return { kind: "end" };
    }
    if (kind === DATA && length > 0 && length <= DATA_BYTES_MAX) {
      this.#dataLeft = length;
      return undefined;
    }
    if (kind === HEAD && length > 0 && length <= HEAD_BYTES_MAX) {
      if (this.#leftBytes >= length) {
        return { kind: "head", head: readJsonObject(this.#take(length)) };
      }
      this.#head = new Uint8Array(length);
      this.#headFilled = 0;
      return undefined;
    }
    throw new ProtocolError(`Found a frame of kind ${kind} with ${length} bytes in a stream`);
  }

  #fillHead(head: Uint8Array): StreamPiece | undefined {
    const part = this.#take(head.length - this.#headFilled);
    head.set(part, this.#headFilled);
    this.#headFilled += part.length;
    if (this.#headFilled < head.length) return undefined;
    this.#head = undefined;
    return { kind: "head", head: readJsonObject(head) };
  }

  get #leftBytes(): number {
    return this.#chunk.length - this.#at;
  }

  #take(count: number): Uint8Array<ArrayBuffer> {
    const part = this.#chunk.subarray(this.#at, this.#at + count);
    this.#at += part.length;
    return part;
  }
}
