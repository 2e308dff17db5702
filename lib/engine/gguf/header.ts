/** What a GGUF header says, as read: no meaning given to it yet. */

/** A kept value. Whole numbers beyond 2^53 come as bigint. */
export type GgufScalar = number | bigint | boolean | string;

/** A value of the metadata. Long texts and large arrays are measured, not kept. */
export type GgufValue =
  | { readonly kind: "scalar"; readonly value: GgufScalar }
  | { readonly kind: "list"; readonly values: readonly (number | bigint | boolean)[] }
  | { readonly kind: "text"; readonly sizeBytes: number }
  | { readonly kind: "large"; readonly length: number };

/** One tensor of the index. */
export interface GgufTensor {
  readonly name: string;
  /** Sizes of the dimensions, fastest first; empty for a single number. */
  readonly dims: readonly number[];
  readonly typeId: number;
  /** Name of the type, e.g. "Q4_K"; "type 77" for one that this program does not know. */
  readonly typeName: string;
  /** From the start of the file. */
  readonly offsetBytes: number;
  /** For an unknown type: the room up to the next tensor. */
  readonly sizeBytes: number;
  readonly elements: number;
}

/** A whole header. */
export interface GgufHeader {
  readonly version: number;
  readonly metadata: ReadonlyMap<string, GgufValue>;
  readonly tensors: readonly GgufTensor[];
  readonly alignment: number;
  /** From the start of the file to the end of the tensor index. */
  readonly headerBytes: number;
  /** Where tensor data begin. */
  readonly dataOffset: number;
}
