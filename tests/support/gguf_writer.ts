/** Writes GGUF headers, sound ones and, where a test asks for them, unsound ones. */

/** Value types of the format, by their number in the file. */
const VALUE_TYPES = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  str: 8,
  list: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const;

/** Types of single values. */
export type ItemType = Exclude<keyof typeof VALUE_TYPES, "list">;
/** A single value; 64-bit types take bigints. */
export type Item = number | bigint | boolean | string;
/** A value of the metadata. */
export type WriteValue =
  | readonly [type: ItemType, value: Item]
  | readonly [type: "list", itemType: ItemType, items: readonly Item[]];

/** One tensor of the index. */
export interface WriteTensor {
  readonly name: string;
  readonly dims: readonly (number | bigint)[];
  readonly typeId: number;
  /** From the start of the tensor data. */
  readonly offset: number | bigint;
}

/** A header to write; the counts can be made to lie. */
export interface WriteHeader {
  readonly magic?: string;
  readonly version?: number;
  readonly metadata: readonly (readonly [key: string, value: WriteValue])[];
  readonly tensors: readonly WriteTensor[];
  readonly claimedTensors?: bigint;
  readonly claimedPairs?: bigint;
}

const UTF8 = new TextEncoder();

interface ItemWriter {
  readonly sizeBytes: number;
  readonly write: (view: DataView, at: number, value: Item) => void;
}

const WRITERS: Readonly<Record<Exclude<ItemType, "str">, ItemWriter>> = {
  u8: { sizeBytes: 1, write: (view, at, value) => view.setUint8(at, Number(value)) },
  i8: { sizeBytes: 1, write: (view, at, value) => view.setInt8(at, Number(value)) },
  bool: { sizeBytes: 1, write: (view, at, value) => view.setUint8(at, Number(value)) },
  u16: { sizeBytes: 2, write: (view, at, value) => view.setUint16(at, Number(value), true) },
  i16: { sizeBytes: 2, write: (view, at, value) => view.setInt16(at, Number(value), true) },
  u32: { sizeBytes: 4, write: (view, at, value) => view.setUint32(at, Number(value), true) },
  i32: { sizeBytes: 4, write: (view, at, value) => view.setInt32(at, Number(value), true) },
  f32: { sizeBytes: 4, write: (view, at, value) => view.setFloat32(at, Number(value), true) },
  u64: { sizeBytes: 8, write: (view, at, value) => view.setBigUint64(at, BigInt(value), true) },
  i64: { sizeBytes: 8, write: (view, at, value) => view.setBigInt64(at, BigInt(value), true) },
  f64: { sizeBytes: 8, write: (view, at, value) => view.setFloat64(at, Number(value), true) },
};

/** A growing run of bytes, little endian. */
class ByteWriter {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  length = 0;

  raw(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
  }

  text(text: string): void {
    const bytes = UTF8.encode(text);
    this.item("u64", BigInt(bytes.length));
    this.raw(bytes);
  }

  item(type: ItemType, value: Item): void {
    if (type === "str") return this.text(String(value));
    const { sizeBytes, write } = WRITERS[type];
    // Reserved first: growing replaces the view.
    const at = this.#reserve(sizeBytes);
    write(this.#view, at, value);
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.length);
  }

  #reserve(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.#bytes.length) {
      const grown = new Uint8Array(this.length * 2);
      grown.set(this.#bytes);
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    return at;
  }
}

/** The bytes of a header, up to the end of the tensor index. */
export function encodeHeader(header: WriteHeader): Uint8Array<ArrayBuffer> {
  const { magic = "GGUF", version = 3, metadata, tensors } = header;
  const out = new ByteWriter();
  out.raw(UTF8.encode(magic));
  out.item("u32", version);
  out.item("u64", header.claimedTensors ?? BigInt(tensors.length));
  out.item("u64", header.claimedPairs ?? BigInt(metadata.length));
  for (const [key, value] of metadata) {
    out.text(key);
    encodeValue(out, value);
  }
  for (const { name, dims, typeId, offset } of tensors) {
    out.text(name);
    out.item("u32", dims.length);
    for (const size of dims) out.item("u64", BigInt(size));
    out.item("u32", typeId);
    out.item("u64", BigInt(offset));
  }
  return out.finish();
}

function encodeValue(out: ByteWriter, value: WriteValue): void {
  out.item("u32", VALUE_TYPES[value[0]]);
  if (value[0] !== "list") {
    out.item(value[0], value[1]);
    return;
  }
  const [, itemType, items] = value;
  out.item("u32", VALUE_TYPES[itemType]);
  out.item("u64", BigInt(items.length));
  for (const item of items) out.item(itemType, item);
}
