import { GgufFormatError } from "./errors.ts";
import type { GgufScalar } from "./header.ts";
import { HEADER_BYTES_MAX, KEPT_STRING_BYTES_MAX, PIECE_BYTES_MAX } from "./limits.ts";
import { STRING_BYTES_MAX } from "./limits.ts";

/**
 * What the parser wants next: the next `bytes` of the file, handed to it, or passed over. Never more
 * than `PIECE_BYTES_MAX` are handed over at once, so nothing is allocated for a claimed number.
 */
export type Want =
  | { readonly kind: "read"; readonly bytes: number }
  | { readonly kind: "skip"; readonly bytes: number };

/** A step of the parser: yields wants, receives the bytes of each "read". */
export type Step<T> = Generator<Want, T, Uint8Array>;

const UTF8 = new TextDecoder("utf-8", { fatal: true });

/** A place in the file that moves on as values are read. Little endian. */
export class Cursor {
  /** Bytes from the start of the file. */
  offset = 0;
  readonly #fileBytes: number;

  constructor(fileBytes: number) {
    this.#fileBytes = fileBytes;
  }

  /**
   * Ends the parse.
   *
   * @throws {GgufFormatError} always
   */
  fail(message: string): never {
    throw new GgufFormatError(message, this.offset);
  }

  *read(bytes: number): Step<DataView> {
    this.#demand(bytes);
    if (bytes > PIECE_BYTES_MAX) this.fail(`Cannot read ${bytes} bytes at once`);
    const piece = yield { kind: "read", bytes };
    this.offset += bytes;
    return new DataView(piece.buffer, piece.byteOffset, bytes);
  }

  *skip(bytes: number): Step<void> {
    this.#demand(bytes);
    if (bytes === 0) return;
    yield { kind: "skip", bytes };
    this.offset += bytes;
  }

  *u32(): Step<number> {
    return (yield* this.read(4)).getUint32(0, true);
  }

  *u64(): Step<bigint> {
    return (yield* this.read(8)).getBigUint64(0, true);
  }

  /** A 64-bit count, refused above `max`. */
  *count(what: string, max: number): Step<number> {
    const at = this.offset;
    const value = yield* this.u64();
    if (value <= BigInt(max)) return Number(value);
    throw new GgufFormatError(`Claims ${value} ${what}, more than the ${max} allowed`, at);
  }

  /** A string of at most `maxBytes`, kept. */
  *string(what: string, maxBytes: number): Step<string> {
    const at = this.offset;
    const length = yield* this.count(`bytes of ${what}`, maxBytes);
    const view = yield* this.read(length);
    return this.#decode(view, { what, at });
  }

  /** A string that is kept when short, else only measured. */
  *text(what: string): Step<string | number> {
    const at = this.offset;
    const length = yield* this.count(`bytes of ${what}`, STRING_BYTES_MAX);
    if (length > KEPT_STRING_BYTES_MAX) {
      yield* this.skip(length);
      return length;
    }
    return this.#decode(yield* this.read(length), { what, at });
  }

  #decode(view: DataView, { what, at }: { what: string; at: number }): string {
    try {
      return UTF8.decode(view);
    } catch {
      throw new GgufFormatError(`Has ${what} that is not UTF-8 text`, at);
    }
  }

  #demand(bytes: number): void {
    const end = this.offset + bytes;
    if (end > this.#fileBytes) {
      this.fail(`Is truncated: the header needs at least ${end} bytes, has ${this.#fileBytes}`);
    }
    if (end > HEADER_BYTES_MAX) {
      this.fail(`Has a header of more than ${HEADER_BYTES_MAX} bytes`);
    }
  }
}

/** A fixed-size value type of the metadata. */
export interface NumberType {
  readonly sizeBytes: number;
  decode(view: DataView, at: number): Exclude<GgufScalar, string>;
}

/** 64-bit numbers stay exact: a bigint where a double would round. */
function exact(value: bigint): number | bigint {
  const rounded = Number(value);
  return Number.isSafeInteger(rounded) ? rounded : value;
}

/** Fixed-size value types by their number in the file. */
export const NUMBER_TYPES: ReadonlyMap<number, NumberType> = new Map<number, NumberType>([
  [0, { sizeBytes: 1, decode: (view, at) => view.getUint8(at) }],
  [1, { sizeBytes: 1, decode: (view, at) => view.getInt8(at) }],
  [2, { sizeBytes: 2, decode: (view, at) => view.getUint16(at, true) }],
  [3, { sizeBytes: 2, decode: (view, at) => view.getInt16(at, true) }],
  [4, { sizeBytes: 4, decode: (view, at) => view.getUint32(at, true) }],
  [5, { sizeBytes: 4, decode: (view, at) => view.getInt32(at, true) }],
  [6, { sizeBytes: 4, decode: (view, at) => view.getFloat32(at, true) }],
  [7, { sizeBytes: 1, decode: (view, at) => view.getUint8(at) !== 0 }],
  [10, { sizeBytes: 8, decode: (view, at) => exact(view.getBigUint64(at, true)) }],
  [11, { sizeBytes: 8, decode: (view, at) => exact(view.getBigInt64(at, true)) }],
  [12, { sizeBytes: 8, decode: (view, at) => view.getFloat64(at, true) }],
]);
/** Number of the string type. */
export const STRING_TYPE = 8;
/** Number of the array type. */
export const ARRAY_TYPE = 9;
