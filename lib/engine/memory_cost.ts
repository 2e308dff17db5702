/**
 * What a model costs in memory, term by term.
 *
 * Weights and caches are counted from the GGUF header. The compute buffer is a formula, fitted to what
 * llama-server 0.7.0 reports (`-lv 4`, "compute buffer size", CPU, flash attention on, 512 tokens a
 * batch): for 12 shapes, dense and mixture of experts, widths 256 to 1024, it was
 * `4 bytes x batch x (3 x inner + 5 x width) + 2 bytes x batch x context of a slot`, to the 0.1 MiB,
 * and less for shapes with a small inner width. Without flash attention each head adds its scores.
 * Examples, measured and by the formula: SmolLM2-135M with 2,048 tokens a slot 16.6 and 16.6 MiB, with
 * 8,192 tokens 22.6 and 22.6 MiB, without flash attention 167.5 and 174.6 MiB.
 * Other architectures and accelerators were not measured, so a factor stands before it.
 */
import { GIB, MIB } from "../base/units.ts";
import type { GgufFacts } from "./gguf/facts.ts";

/** Tokens of one batch: llama-server's default for `--ubatch-size`. */
const BATCH_TOKENS = 512;
/** llama.cpp rounds the context of a slot up to a multiple of this. */
export const CONTEXT_STEP = 256;
/** Bytes of one number in the key/value cache (f16, the default). */
const CACHE_NUMBER_BYTES = 2;
/** Bytes of one number in recurrent state, scores and activations (f32). */
const NUMBER_BYTES = 4;
/** Bytes of one number in the attention mask (f16). */
const MASK_NUMBER_BYTES = 2;
/** Factor on the formula for architectures like those that were measured, and for all others. */
const KNOWN_FACTOR = 1.25;
const UNKNOWN_FACTOR = 2;
/** Program, threads, HTTP: 24 MiB measured beyond caches for SmolLM2, with its vocabulary. */
const PROCESS_BYTES = 48 * MIB;
/** Text, scores and look-up tables of one token of the vocabulary. */
const VOCABULARY_ENTRY_BYTES = 512;
/** States of a conversation kept to go back to, for models that cannot forget single tokens. */
export const CHECKPOINTS = 4;
/** Context that is believed of a file that does not state one. */
const CONTEXT_FALLBACK = 4_096;

/** Architectures of plain transformer layers, to which the formula was fitted or that share them. */
const KNOWN_ARCHITECTURES: ReadonlySet<string> = new Set([
  "llama",
  "command-r",
  "gemma",
  "gemma2",
  "gemma3",
  "glm4",
  "granite",
  "internlm2",
  "mistral3",
  "olmo2",
  "phi3",
  "qwen2",
  "qwen2moe",
  "qwen3",
  "qwen3moe",
  "smollm3",
  "starcoder2",
]);

/** Head sizes for which every accelerator of llama.cpp has flash attention. */
const FLASH_HEAD_SIZES: ReadonlySet<number> = new Set([64, 80, 96, 112, 128, 256]);

/** How many conversations are kept, and how long each may be. */
export interface Slots {
  readonly slots: number;
  readonly ctxPerSlot: number;
}

/** Longest context of the model, as a multiple of what llama.cpp rounds to. */
export function contextMaxOf(facts: GgufFacts): number {
  const stated = facts.contextLength ?? CONTEXT_FALLBACK;
  return Math.max(CONTEXT_STEP, Math.floor(stated / CONTEXT_STEP) * CONTEXT_STEP);
}

/** Key/value cache of one layer: heads x (key + value) numbers for each token of each slot. */
export function kvLayerBytes(
  facts: GgufFacts,
  layer: number,
  { slots, ctxPerSlot }: Slots,
): number {
  const heads = facts.kvHeadCounts[layer] ?? 0;
  const tokenBytes = heads * (facts.keyLength + facts.valueLength) * CACHE_NUMBER_BYTES;
  return tokenBytes * cells(facts, layer, ctxPerSlot) * slots;
}

/** A layer with a known window keeps the window and one batch; any other the whole context. */
function cells(facts: GgufFacts, layer: number, ctxPerSlot: number): number {
  const { slidingWindow, slidingLayers } = facts;
  const whole = roundUp(ctxPerSlot);
  if (slidingWindow === undefined || slidingLayers?.[layer] !== true) return whole;
  return Math.min(whole, roundUp(slidingWindow + BATCH_TOKENS));
}

function roundUp(tokens: number): number {
  return Math.ceil(tokens / CONTEXT_STEP) * CONTEXT_STEP;
}

/** Recurrent state of one layer on average, for all slots. */
export function stateLayerBytes(facts: GgufFacts, { slots }: Slots): number {
  return Math.ceil((facts.recurrentElements * NUMBER_BYTES) / facts.layerCount) * slots;
}

/** True for models of which llama-server keeps whole states to go back to (`--ctx-checkpoints`). */
export function needsCheckpoints(facts: GgufFacts): boolean {
  return facts.recurrentElements > 0 || facts.slidingWindow !== undefined;
}

/** Those states, in main memory: recurrent state, and the windows of sliding layers. */
export function checkpointBytes(facts: GgufFacts, slots: Slots): number {
  if (!needsCheckpoints(facts)) return 0;
  let oneState = facts.recurrentElements * NUMBER_BYTES * slots.slots;
  for (const [layer, isSliding] of (facts.slidingLayers ?? []).entries()) {
    if (isSliding) oneState += kvLayerBytes(facts, layer, slots);
  }
  return oneState * CHECKPOINTS;
}

/** Compute buffer of one device, or of main memory. Formula: head of this file. */
export function computeBytes(
  facts: GgufFacts,
  slots: Slots,
  { isAccelerator, devices }: { readonly isAccelerator: boolean; readonly devices: number },
): number {
  const heads = Math.max(0, ...facts.headCounts);
  const width = Math.max(facts.embeddingLength, heads * facts.keyLength);
  const activations = BATCH_TOKENS * (3 * innerWidth(facts) + 5 * width) * NUMBER_BYTES;
  // Several devices work on several batches at once: llama.cpp keeps four copies of the inputs.
  const copies = devices > 1 ? 4 : 1;
  const context = roundUp(slots.ctxPerSlot);
  const mask = BATCH_TOKENS * context * MASK_NUMBER_BYTES * copies;
  const hasFlash = !isAccelerator ||
    (facts.keyLength === facts.valueLength && FLASH_HEAD_SIZES.has(facts.keyLength));
  const scores = hasFlash ? 0 : BATCH_TOKENS * context * (heads * NUMBER_BYTES + MASK_NUMBER_BYTES);
  const isKnown = KNOWN_ARCHITECTURES.has(facts.architecture) && facts.recurrentElements === 0;
  const logits = slots.slots * facts.vocabularySize * NUMBER_BYTES;
  const factor = isKnown ? KNOWN_FACTOR : UNKNOWN_FACTOR;
  return Math.ceil(activations * factor) + mask + scores + 2 * logits;
}

/** Width between the two halves of a feed-forward layer; of all experts that work on a token. */
function innerWidth(facts: GgufFacts): number {
  if (facts.expertCount === 0) return facts.feedForwardLength;
  const perExpert = facts.expertFeedForwardLength || facts.feedForwardLength;
  const active = facts.expertUsedCount + facts.expertSharedCount;
  return Math.max(facts.feedForwardLength, perExpert * active, facts.embeddingLength * active / 2);
}

/** The program itself and its vocabulary, in main memory. */
export function processBytes(facts: GgufFacts): number {
  return PROCESS_BYTES + facts.vocabularySize * VOCABULARY_ENTRY_BYTES;
}

/** Key/value cache that is given by default, at most: as much as the weights, or this. */
const KV_DEFAULT_MIN_BYTES = 1 * GIB;

/**
 * Bound on the cache where nobody asked for a size. llama.cpp clears all of it at the start (about 1 s
 * per GiB), and other programs want memory too.
 */
export function kvBudgetBytes(facts: GgufFacts): number {
  return Math.max(KV_DEFAULT_MIN_BYTES, facts.weightsBytes);
}
