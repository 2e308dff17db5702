/**
 * Reads the header of a GGUF file (versions 2 and 3), which may be cut off, damaged or made to hurt.
 *
 * The parser is a generator that asks for the next bytes and knows nothing of files: a caller feeds it
 * from memory or, piece by piece, from a disk. Every count is checked against a limit before it is
 * believed, every length against what is left of the file, and nothing is allocated in proportion to
 * a claimed number. Vocabularies are walked over, not kept.
 *
 * Format: magic "GGUF", version u32, tensor count u64, pair count u64, pairs (key, type, value), tensor
 * index (name, dimensions, type, offset), padding to the alignment, tensor data.
 */
import { ARRAY_TYPE, Cursor, NUMBER_TYPES, type Step, STRING_TYPE } from "./cursor.ts";
import { GgufFormatError } from "./errors.ts";
import type { GgufHeader, GgufValue } from "./header.ts";
import {
  ALIGNMENT_DEFAULT,
  ALIGNMENT_MAX,
  ARRAY_ELEMENTS_MAX,
  DIMENSIONS_MAX,
  KEPT_ARRAY_ELEMENTS_MAX,
  KEPT_ELEMENTS_TOTAL_MAX,
  KEY_BYTES_MAX,
  PAIRS_MAX,
  PIECE_BYTES_MAX,
  STRING_BYTES_MAX,
  TENSOR_NAME_BYTES_MAX,
  TENSORS_MAX,
} from "./limits.ts";
import { placeTensors, type TensorClaim } from "./placement.ts";

/** "GGUF", read as a little-endian number. */
const MAGIC = 0x46554747;
const VERSION_MIN = 2;
const VERSION_MAX = 3;

/** Elements that may still be kept; shared by all arrays of a file. */
interface Allowance {
  elements: number;
}

/** The parser as a sequence of wants; ends with the header. */
export function* ggufSteps(fileBytes: number): Step<GgufHeader> {
  const cursor = new Cursor(fileBytes);
  yield* magic(cursor);
  const version = yield* formatVersion(cursor);
  const tensorCount = yield* cursor.count("tensors", TENSORS_MAX);
  const pairCount = yield* cursor.count("key/value pairs", PAIRS_MAX);
  const metadata = yield* pairs(cursor, pairCount);
  const alignment = alignmentOf(metadata, cursor);
  const claims = yield* tensorIndex(cursor, tensorCount);
  const headerBytes = cursor.offset;
  const dataOffset = Math.ceil(headerBytes / alignment) * alignment;
  const tensors = placeTensors(claims, { dataOffset, alignment, fileBytes });
  return { version, metadata, tensors, alignment, headerBytes, dataOffset };
}

/**
 * Reads the header of a whole file, or of the first part of one whose size is known, from memory.
 *
 * @param fileBytes size of the whole file; that of `bytes` where it is left out
 * @throws {GgufFormatError} when the bytes are not a whole, sound GGUF header
 */
export function parseGgufHeader(bytes: Uint8Array, fileBytes = bytes.length): GgufHeader {
  const steps = ggufSteps(fileBytes);
  let at = 0;
  let piece: Uint8Array = new Uint8Array();
  for (;;) {
    const next = steps.next(piece);
    if (next.done === true) return next.value;
    const end = at + next.value.bytes;
    if (end > bytes.length) throw new GgufFormatError("Header ends before it is complete", at);
    piece = next.value.kind === "read" ? bytes.subarray(at, end) : new Uint8Array();
    at = end;
  }
}

function* magic(cursor: Cursor): Step<void> {
  const found = yield* cursor.u32();
  if (found === MAGIC) return;
  throw new GgufFormatError(
    `Is not a GGUF file: it starts with 0x${found.toString(16).padStart(8, "0")}`,
    0,
  );
}

function* formatVersion(cursor: Cursor): Step<number> {
  const at = cursor.offset;
  const version = yield* cursor.u32();
  if (version >= VERSION_MIN && version <= VERSION_MAX) return version;
  const what = version !== 0 && (version & 0xffff) === 0
    ? "Is a big-endian GGUF file: little-endian is wanted"
    : `Is GGUF version ${version}: versions ${VERSION_MIN} and ${VERSION_MAX} are wanted`;
  throw new GgufFormatError(what, at);
}

function* pairs(cursor: Cursor, count: number): Step<Map<string, GgufValue>> {
  const metadata = new Map<string, GgufValue>();
  const allowance: Allowance = { elements: KEPT_ELEMENTS_TOTAL_MAX };
  for (let i = 0; i < count; i += 1) {
    const at = cursor.offset;
    const key = yield* cursor.string("a key", KEY_BYTES_MAX);
    if (key === "") throw new GgufFormatError("Has a key without a name", at);
    if (metadata.has(key)) throw new GgufFormatError(`Has the key "${key}" twice`, at);
    metadata.set(key, yield* value(cursor, { key, allowance }));
  }
  return metadata;
}

interface ValueContext {
  readonly key: string;
  readonly allowance: Allowance;
}

function* value(cursor: Cursor, context: ValueContext): Step<GgufValue> {
  const { key } = context;
  const typeId = yield* cursor.u32();
  if (typeId === ARRAY_TYPE) return yield* array(cursor, context);
  if (typeId === STRING_TYPE) {
    const text = yield* cursor.text(`"${key}"`);
    return typeof text === "number"
      ? { kind: "text", sizeBytes: text }
      : { kind: "scalar", value: text };
  }
  const type = NUMBER_TYPES.get(typeId);
  if (type === undefined) cursor.fail(`Has "${key}" of unknown type ${typeId}`);
  return { kind: "scalar", value: type.decode(yield* cursor.read(type.sizeBytes), 0) };
}

function* array(cursor: Cursor, { key, allowance }: ValueContext): Step<GgufValue> {
  const typeId = yield* cursor.u32();
  const length = yield* cursor.count(`elements of "${key}"`, ARRAY_ELEMENTS_MAX);
  if (typeId === STRING_TYPE) {
    for (let i = 0; i < length; i += 1) {
      yield* cursor.skip(yield* cursor.count(`bytes in "${key}"`, STRING_BYTES_MAX));
    }
    return { kind: "large", length };
  }
  const type = NUMBER_TYPES.get(typeId);
  if (type === undefined) cursor.fail(`Has "${key}", a list of unknown or nested type ${typeId}`);
  if (length > Math.min(KEPT_ARRAY_ELEMENTS_MAX, allowance.elements)) {
    yield* cursor.skip(length * type.sizeBytes);
    return { kind: "large", length };
  }
  allowance.elements -= length;
  const values: (number | bigint | boolean)[] = [];
  const perPiece = Math.floor(PIECE_BYTES_MAX / type.sizeBytes);
  while (values.length < length) {
    const take = Math.min(perPiece, length - values.length);
    const view = yield* cursor.read(take * type.sizeBytes);
    for (let i = 0; i < take; i += 1) values.push(type.decode(view, i * type.sizeBytes));
  }
  return { kind: "list", values };
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>, cursor: Cursor): number {
  const entry = metadata.get("general.alignment");
  if (entry === undefined) return ALIGNMENT_DEFAULT;
  const found = entry.kind === "scalar" ? entry.value : undefined;
  const isPowerOfTwo = typeof found === "number" && Number.isInteger(Math.log2(found));
  if (isPowerOfTwo && found >= 1 && found <= ALIGNMENT_MAX) return found;
  return cursor.fail(
    `Has the alignment ${found}: a power of two up to ${ALIGNMENT_MAX} is wanted`,
  );
}

function* tensorIndex(cursor: Cursor, count: number): Step<TensorClaim[]> {
  const claims: TensorClaim[] = [];
  const names = new Set<string>();
  for (let i = 0; i < count; i += 1) {
    const at = cursor.offset;
    const name = yield* cursor.string("a tensor's name", TENSOR_NAME_BYTES_MAX);
    if (names.has(name)) throw new GgufFormatError(`Has the tensor "${name}" twice`, at);
    names.add(name);
    const dims = yield* dimensions(cursor, name);
    const typeId = yield* cursor.u32();
    const offset = yield* cursor.count(`bytes before tensor "${name}"`, Number.MAX_SAFE_INTEGER);
    claims.push({ name, dims, typeId, relativeOffset: offset, indexOffset: at });
  }
  return claims;
}

function* dimensions(cursor: Cursor, name: string): Step<number[]> {
  const count = yield* cursor.u32();
  if (count > DIMENSIONS_MAX) {
    cursor.fail(`Has tensor "${name}" of ${count} dimensions, more than ${DIMENSIONS_MAX}`);
  }
  const dims: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const size = yield* cursor.count(`elements of tensor "${name}"`, Number.MAX_SAFE_INTEGER);
    if (size === 0) cursor.fail(`Has tensor "${name}" with an empty dimension`);
    dims.push(size);
  }
  return dims;
}
