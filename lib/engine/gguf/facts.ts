/** What a GGUF header tells about a model, in the words of those who plan with it. */
import { GgufFormatError } from "./errors.ts";
import type { GgufHeader, GgufTensor } from "./header.ts";
import { LAYERS_MAX } from "./limits.ts";
import { Metadata } from "./metadata.ts";
import { fileTypeName } from "./tensor_types.ts";

/** What a model is for. Only "text" can chat. */
export type ModelPurpose = "text" | "embedding" | "other";

/** Facts about a model. Counts are plain numbers, sizes in bytes; what is not stated is absent. */
export interface GgufFacts {
  readonly architecture: string;
  /** `general.name`. */
  readonly name?: string;
  readonly purpose: ModelPurpose;
  readonly layerCount: number;
  readonly embeddingLength: number;
  readonly feedForwardLength: number;
  /** Longest context that the model was made for, in tokens. */
  readonly contextLength?: number;
  readonly vocabularySize: number;
  /** Attention heads of each layer; 0 where a layer has no attention. */
  readonly headCounts: readonly number[];
  /** Heads that keep keys and values, of each layer. */
  readonly kvHeadCounts: readonly number[];
  /** Numbers per head in the key and in the value cache. */
  readonly keyLength: number;
  readonly valueLength: number;
  /** Tokens that a layer with a sliding window looks back. */
  readonly slidingWindow?: number;
  /** Which layers have that window, where the file says so. */
  readonly slidingLayers?: readonly boolean[];
  /** Numbers (f32) of recurrent state that all layers keep for one conversation; 0 without any. */
  readonly recurrentElements: number;
  /** Experts per layer; 0 for dense models. */
  readonly expertCount: number;
  readonly expertUsedCount: number;
  readonly expertSharedCount: number;
  readonly expertFeedForwardLength: number;
  /** As people call it: "Q4_K_M"; that of most tensors where the file does not say. */
  readonly quantisation: string;
  /** Type that holds most of the bytes, e.g. "Q4_K". */
  readonly dominantTensorType: string;
  readonly parameterCount: number;
  /** All tensors. */
  readonly weightsBytes: number;
  /** Weights of each layer. */
  readonly layerBytes: readonly number[];
  /** The table that turns tokens into vectors. */
  readonly embeddingBytes: number;
  /** The layer that turns vectors into tokens; 0 where the embedding table serves for both. */
  readonly outputBytes: number;
  /** Weights that belong to none of these. */
  readonly otherBytes: number;
  readonly hasChatTemplate: boolean;
}

/** Architectures whose answer is a vector, not text. */
const EMBEDDING_ARCHITECTURES: ReadonlySet<string> = new Set([
  "bert",
  "gemma-embedding",
  "jina-bert-v2",
  "jina-bert-v3",
  "modern-bert",
  "neo-bert",
  "nomic-bert",
  "nomic-bert-moe",
  "t5encoder",
]);

/**
 * Reads the facts of a model.
 *
 * @param headers that of the file, or of each part of a split one; the first has the metadata
 * @throws {GgufFormatError} when the header is sound but is not that of a language model
 */
export function ggufFacts(headers: readonly [GgufHeader, ...GgufHeader[]]): GgufFacts {
  const meta = new Metadata(headers[0]);
  const tensors = headers.flatMap((header) => header.tensors);
  const layerCount = layersOf(meta);
  const vocabularySize = vocabularyOf(meta, tensors);
  const weights = weigh(tensors, layerCount);
  const fileType = meta.count("general.file_type");
  const contextLength = meta.count("~.context_length");
  const name = meta.text("general.name");
  return {
    architecture: meta.architecture,
    ...(name === undefined ? {} : { name }),
    purpose: purposeOf(meta, tensors),
    layerCount,
    ...(contextLength === undefined || contextLength === 0 ? {} : { contextLength }),
    vocabularySize,
    ...shapeOf(meta, layerCount),
    ...attentionOf(meta, layerCount),
    ...windowOf(meta, layerCount),
    ...expertsOf(meta),
    ...weights,
    quantisation: fileTypeName(fileType ?? -1) ?? weights.dominantTensorType,
    hasChatTemplate: meta.has("tokenizer.chat_template"),
  };
}

function layersOf(meta: Metadata): number {
  const layerCount = meta.count("~.block_count");
  if (layerCount === undefined || layerCount === 0) {
    throw new GgufFormatError(`Is no language model: "${meta.architecture}" without layers`, 0);
  }
  if (layerCount <= LAYERS_MAX) return layerCount;
  throw new GgufFormatError(`Claims ${layerCount} layers, more than ${LAYERS_MAX}`, 0);
}

function vocabularyOf(meta: Metadata, tensors: readonly GgufTensor[]): number {
  const table = tensors.find(({ name }) => name === "token_embd.weight");
  return meta.count("~.vocab_size") ?? meta.lengthOf("tokenizer.ggml.tokens") ??
    table?.dims[1] ?? 0;
}

function purposeOf(meta: Metadata, tensors: readonly GgufTensor[]): ModelPurpose {
  const kind = meta.text("general.type") ?? "model";
  if (kind !== "model" || meta.architecture === "clip" || tensors.length === 0) return "other";
  // Zero is "none", and below zero is "not stated".
  const pooling = meta.value("~.pooling_type");
  const isPooled = pooling?.kind === "scalar" && Number(pooling.value) > 0;
  const isCausal = meta.flag("~.attention.causal") ?? true;
  const isEmbedding = EMBEDDING_ARCHITECTURES.has(meta.architecture) || isPooled || !isCausal;
  return isEmbedding ? "embedding" : "text";
}

type Shape = Pick<GgufFacts, "embeddingLength" | "feedForwardLength" | "recurrentElements">;

function shapeOf(meta: Metadata, layerCount: number): Shape {
  const embeddingLength = meta.count("~.embedding_length") ?? 0;
  if (embeddingLength === 0) {
    throw new GgufFormatError(`Is no language model: "${meta.architecture}" without a width`, 0);
  }
  return {
    embeddingLength,
    feedForwardLength: meta.count("~.feed_forward_length") ?? 4 * embeddingLength,
    recurrentElements: recurrentElements(meta, { embeddingLength, layerCount }),
  };
}

/** Keys that only models with recurrent layers have. */
const RECURRENT_KEYS: readonly string[] = [
  "~.ssm.conv_kernel",
  "~.ssm.state_size",
  "~.ssm.inner_size",
  "~.wkv.head_size",
  "~.token_shift_count",
  "~.shortconv.l_cache",
  "~.kda.head_dim",
];
/**
 * State per layer where the file does not tell its size, in units of the model's width: that of the
 * largest states known (Qwen3-Next: 128 x 4096 numbers at a width of 2048).
 */
const UNKNOWN_STATE_WIDTHS = 256;

/**
 * State of the recurrent layers. State-space layers keep `state x inner` numbers and the last inputs of
 * their convolution, `(kernel - 1) x (inner + 2 x groups x state)`, as llama.cpp allocates them.
 */
function recurrentElements(
  meta: Metadata,
  { embeddingLength, layerCount }: {
    readonly embeddingLength: number;
    readonly layerCount: number;
  },
): number {
  if (!RECURRENT_KEYS.some((key) => meta.has(key))) return 0;
  const kvHeads = perLayer(meta.counts("~.attention.head_count_kv"), layerCount);
  const withoutAttention = kvHeads.filter((count) => count === 0).length;
  const layers = withoutAttention === 0 ? layerCount : withoutAttention;
  const inner = meta.count("~.ssm.inner_size") ?? 0;
  const state = meta.count("~.ssm.state_size") ?? 0;
  if (inner === 0 || state === 0) return layers * embeddingLength * UNKNOWN_STATE_WIDTHS;
  const kernel = meta.count("~.ssm.conv_kernel") ?? 4;
  const groups = meta.count("~.ssm.group_count") ?? 0;
  return layers * (state * inner + Math.max(0, kernel - 1) * (inner + 2 * groups * state));
}

type Attention = Pick<GgufFacts, "headCounts" | "kvHeadCounts" | "keyLength" | "valueLength">;

function attentionOf(meta: Metadata, layerCount: number): Attention {
  const headCounts = perLayer(meta.counts("~.attention.head_count"), layerCount);
  const stated = meta.counts("~.attention.head_count_kv");
  const kvHeadCounts = stated === undefined ? headCounts : perLayer(stated, layerCount);
  const heads = Math.max(0, ...headCounts);
  // Models that say nothing else share their width out among the heads.
  const fallback = heads === 0 ? 0 : Math.ceil((meta.count("~.embedding_length") ?? 0) / heads);
  return {
    headCounts,
    kvHeadCounts,
    keyLength: meta.count("~.attention.key_length") ?? fallback,
    valueLength: meta.count("~.attention.value_length") ?? fallback,
  };
}

/** One number per layer: a single one counts for all, missing ones repeat the largest. */
function perLayer(stated: readonly number[] | undefined, layerCount: number): number[] {
  if (stated === undefined || stated.length === 0) return new Array<number>(layerCount).fill(0);
  const rest = Math.max(...stated);
  return Array.from({ length: layerCount }, (_, layer) => stated[layer] ?? rest);
}

type Window = Pick<GgufFacts, "slidingWindow" | "slidingLayers">;

function windowOf(meta: Metadata, layerCount: number): Window {
  const slidingWindow = meta.count("~.attention.sliding_window");
  if (slidingWindow === undefined || slidingWindow === 0) return {};
  const pattern = meta.value("~.attention.sliding_window_pattern");
  const isPerLayer = pattern?.kind === "list" && pattern.values.length === layerCount;
  // A single number means something else in each architecture, so it is not believed.
  if (!isPerLayer || !pattern.values.every((value) => typeof value === "boolean")) {
    return { slidingWindow };
  }
  return { slidingWindow, slidingLayers: pattern.values.map((value) => value === true) };
}

type Experts = Pick<
  GgufFacts,
  "expertCount" | "expertUsedCount" | "expertSharedCount" | "expertFeedForwardLength"
>;

function expertsOf(meta: Metadata): Experts {
  return {
    expertCount: meta.count("~.expert_count") ?? 0,
    expertUsedCount: meta.count("~.expert_used_count") ?? 0,
    expertSharedCount: meta.count("~.expert_shared_count") ?? 0,
    expertFeedForwardLength: meta.count("~.expert_feed_forward_length") ?? 0,
  };
}

type Weights = Pick<
  GgufFacts,
  | "parameterCount"
  | "weightsBytes"
  | "layerBytes"
  | "embeddingBytes"
  | "outputBytes"
  | "otherBytes"
  | "dominantTensorType"
>;

function weigh(tensors: readonly GgufTensor[], layerCount: number): Weights {
  const layerBytes = new Array<number>(layerCount).fill(0);
  const byType = new Map<string, number>();
  const sums = { parameterCount: 0, weightsBytes: 0 };
  const shares = { embeddingBytes: 0, outputBytes: 0, otherBytes: 0 };
  for (const { name, sizeBytes, elements, typeName } of tensors) {
    sums.parameterCount += elements;
    sums.weightsBytes += sizeBytes;
    byType.set(typeName, (byType.get(typeName) ?? 0) + sizeBytes);
    const layer = Number(/^blk\.(\d{1,6})\./.exec(name)?.[1] ?? -1);
    if (layer >= 0 && layer < layerCount) layerBytes[layer]! += sizeBytes;
    else if (name.startsWith("token_embd.")) shares.embeddingBytes += sizeBytes;
    else if (name === "output.weight") shares.outputBytes += sizeBytes;
    else shares.otherBytes += sizeBytes;
  }
  const [dominant] = [...byType].sort((a, b) => b[1] - a[1]);
  return { ...sums, layerBytes, ...shares, dominantTensorType: dominant?.[0] ?? "none" };
}
