/**
 * Makes tiny llama models with random weights: what they say is noise, but their shapes, sizes and
 * graphs are real, and llama-server loads them. The same options give the same bytes.
 */
import { encodeHeader, type WriteTensor, type WriteValue } from "./gguf_writer.ts";

/** How weights are stored: F32, F16, Q8_0 or Q4_0. */
export type WeightType = "f32" | "f16" | "q8" | "q4";

/** Shape of a tiny model. */
export interface TinyModelOptions {
  readonly name?: string;
  readonly layers?: number;
  /** Width; a multiple of 32 and of `heads`. */
  readonly width?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly feedForward?: number;
  /** At least 400. */
  readonly vocabulary?: number;
  readonly context?: number;
  readonly weights?: WeightType;
  /** 0 makes a dense model, more a mixture of experts. */
  readonly experts?: number;
  readonly expertsUsed?: number;
  readonly seed?: number;
}

type Shape = Required<TinyModelOptions>;

const DEFAULTS: Shape = {
  name: "tiny",
  layers: 2,
  width: 64,
  heads: 4,
  kvHeads: 2,
  feedForward: 128,
  vocabulary: 512,
  context: 2048,
  weights: "f16",
  experts: 0,
  expertsUsed: 2,
  seed: 1,
};

interface Packing {
  readonly typeId: number;
  readonly fileType: number;
  readonly blockElements: number;
  readonly blockBytes: number;
}

const PACKINGS: Readonly<Record<WeightType, Packing>> = {
  f32: { typeId: 0, fileType: 0, blockElements: 1, blockBytes: 4 },
  f16: { typeId: 1, fileType: 1, blockElements: 1, blockBytes: 2 },
  q8: { typeId: 8, fileType: 7, blockElements: 32, blockBytes: 34 },
  q4: { typeId: 2, fileType: 2, blockElements: 32, blockBytes: 18 },
};

const ALIGNMENT = 32;

/** The whole file. */
export function tinyModel(options: TinyModelOptions = {}): Uint8Array<ArrayBuffer> {
  const shape: Shape = { ...DEFAULTS, ...options };
  const plan = tensorPlan(shape);
  const tensors: WriteTensor[] = [];
  let offset = 0;
  for (const { name, dims, weights } of plan) {
    tensors.push({ name, dims, typeId: PACKINGS[weights].typeId, offset });
    offset += aligned(sizeOf(dims, weights));
  }
  const header = encodeHeader({ metadata: metadataOf(shape), tensors });
  const dataOffset = aligned(header.length);
  const file = new Uint8Array(dataOffset + offset);
  file.set(header);
  for (const [index, { dims, weights, isNorm }] of plan.entries()) {
    const start = dataOffset + Number(tensors[index]!.offset);
    const target = file.subarray(start, start + sizeOf(dims, weights));
    if (isNorm) fillWithOnes(target);
    else fillWithNoise(target, weights, shape.seed * 7919 + index);
  }
  return file;
}

/** Writes the file and returns its path. */
export async function writeTinyModel(
  path: string,
  options: TinyModelOptions = {},
): Promise<string> {
  await Deno.writeFile(path, tinyModel(options));
  return path;
}

function metadataOf(shape: Shape): (readonly [string, WriteValue])[] {
  const { tokens, scores, types } = vocabulary(shape.vocabulary);
  const experts: (readonly [string, WriteValue])[] = shape.experts === 0 ? [] : [
    ["llama.expert_count", ["u32", shape.experts]],
    ["llama.expert_used_count", ["u32", shape.expertsUsed]],
  ];
  return [
    ["general.architecture", ["str", "llama"]],
    ["general.name", ["str", shape.name]],
    ["general.alignment", ["u32", ALIGNMENT]],
    ["general.file_type", ["u32", PACKINGS[shape.weights].fileType]],
    ["llama.vocab_size", ["u32", shape.vocabulary]],
    ["llama.context_length", ["u32", shape.context]],
    ["llama.embedding_length", ["u32", shape.width]],
    ["llama.block_count", ["u32", shape.layers]],
    ["llama.feed_forward_length", ["u32", shape.feedForward]],
    ["llama.attention.head_count", ["u32", shape.heads]],
    ["llama.attention.head_count_kv", ["u32", shape.kvHeads]],
    ["llama.attention.layer_norm_rms_epsilon", ["f32", 1e-5]],
    ["llama.rope.dimension_count", ["u32", shape.width / shape.heads]],
    ["llama.rope.freq_base", ["f32", 10_000]],
    ...experts,
    ["tokenizer.ggml.model", ["str", "llama"]],
    ["tokenizer.ggml.tokens", ["list", "str", tokens]],
    ["tokenizer.ggml.scores", ["list", "f32", scores]],
    ["tokenizer.ggml.token_type", ["list", "i32", types]],
    ["tokenizer.ggml.unknown_token_id", ["u32", 0]],
    ["tokenizer.ggml.bos_token_id", ["u32", 1]],
    ["tokenizer.ggml.eos_token_id", ["u32", 2]],
    ["tokenizer.chat_template", ["str", CHAT_TEMPLATE]],
  ];
}

const CHAT_TEMPLATE = "{% for message in messages %}[{{ message.role }}] {{ message.content }}\n" +
  "{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}";

/** Kinds of tokens, as the format numbers them. */
const TOKEN = { normal: 1, unknown: 2, control: 3, byte: 6 } as const;

/** Three control tokens, all bytes, the printable characters, then pairs of letters. */
function vocabulary(size: number): { tokens: string[]; scores: number[]; types: number[] } {
  const tokens: string[] = [];
  const types: number[] = [];
  const add = (token: string, type: number) => {
    if (tokens.length >= size) return;
    tokens.push(token);
    types.push(type);
  };
  add("<unk>", TOKEN.unknown);
  add("<s>", TOKEN.control);
  add("</s>", TOKEN.control);
  for (let byte = 0; byte < 256; byte += 1) {
    add(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`, TOKEN.byte);
  }
  for (let code = 33; code < 127; code += 1) add(String.fromCharCode(code), TOKEN.normal);
  add("\u2581", TOKEN.normal);
  for (let index = 0; tokens.length < size; index += 1) add(letters(index), TOKEN.normal);
  if (size < 400) throw new RangeError(`A vocabulary of ${size} has no room for bytes and letters`);
  return { tokens, types, scores: tokens.map((_, index) => -index) };
}

/** "aa", "ab", … "zz", then with a number, so that none comes twice. */
function letters(index: number): string {
  const pair = String.fromCharCode(97 + Math.floor(index / 26) % 26, 97 + index % 26);
  return index < 676 ? pair : `${pair}${Math.floor(index / 676)}`;
}

interface PlannedTensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly weights: WeightType;
  readonly isNorm: boolean;
}

function tensorPlan(shape: Shape): PlannedTensor[] {
  const { width, vocabulary: words, weights } = shape;
  const matrix = (name: string, ...dims: number[]) => ({ name, dims, weights, isNorm: false });
  const norm = (name: string) =>
    ({ name, dims: [width], weights: "f32", isNorm: true }) satisfies PlannedTensor;
  const kvWidth = (width / shape.heads) * shape.kvHeads;
  const layers = Array.from({ length: shape.layers }, (_, layer) => {
    const at = `blk.${layer}.`;
    return [
      norm(`${at}attn_norm.weight`),
      matrix(`${at}attn_q.weight`, width, width),
      matrix(`${at}attn_k.weight`, width, kvWidth),
      matrix(`${at}attn_v.weight`, width, kvWidth),
      matrix(`${at}attn_output.weight`, width, width),
      norm(`${at}ffn_norm.weight`),
      ...feedForward(shape, at),
    ];
  });
  return [
    matrix("token_embd.weight", width, words),
    norm("output_norm.weight"),
    matrix("output.weight", width, words),
    ...layers.flat(),
  ];
}

function feedForward(shape: Shape, at: string): PlannedTensor[] {
  const { width, feedForward: inner, weights, experts } = shape;
  const many = experts === 0 ? [] : [experts];
  const suffix = experts === 0 ? "" : "_exps";
  const matrix = (name: string, dims: number[]): PlannedTensor => ({
    name: `${at}${name}.weight`,
    dims,
    weights,
    isNorm: false,
  });
  const router = experts === 0 ? [] : [{
    name: `${at}ffn_gate_inp.weight`,
    dims: [width, experts],
    weights: "f32" as const,
    isNorm: false,
  }];
  return [
    ...router,
    matrix(`ffn_gate${suffix}`, [width, inner, ...many]),
    matrix(`ffn_up${suffix}`, [width, inner, ...many]),
    matrix(`ffn_down${suffix}`, [inner, width, ...many]),
  ];
}

function sizeOf(dims: readonly number[], weights: WeightType): number {
  const { blockElements, blockBytes } = PACKINGS[weights];
  return (dims.reduce((product, size) => product * size, 1) / blockElements) * blockBytes;
}

function aligned(size: number): number {
  return Math.ceil(size / ALIGNMENT) * ALIGNMENT;
}

function fillWithOnes(target: Uint8Array): void {
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
  for (let at = 0; at < target.length; at += 4) view.setFloat32(at, 1, true);
}

/** Scale of a quantised block as a half float: 2^-9 keeps activations small. */
const SCALE_F16 = 0x1800;

/** Small numbers around zero, in each packing; different for each seed. */
function fillWithNoise(target: Uint8Array, weights: WeightType, seed: number): void {
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
  const { blockBytes } = PACKINGS[weights];
  let state = (Math.imul(seed, 0x9e3779b1) >>> 0) || 1;
  const next = () => {
    // Xorshift by Marsaglia, 32 bits.
    state = (state ^ (state << 13)) >>> 0;
    state = (state ^ (state >>> 17)) >>> 0;
    state = (state ^ (state << 5)) >>> 0;
    return state;
  };
  for (let at = 0; at < target.length; at += blockBytes) {
    if (weights === "f32") view.setFloat32(at, (next() / 2 ** 32 - 0.5) * 0.05, true);
    // Any sign and fraction, exponents from 2^-9 to 2^-6.
    else if (weights === "f16") view.setUint16(at, (next() & 0x8fff) | 0x1800, true);
    else {
      view.setUint16(at, SCALE_F16, true);
      for (let i = 2; i < blockBytes; i += 1) view.setUint8(at + i, next() & 0xff);
    }
  }
}
