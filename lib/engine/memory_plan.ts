/**
 * Plans context length and slots so that weights, caches and compute buffers fit into free memory.
 *
 * llama-server divides `--ctx-size` by `--parallel`: with `-c 4096 -np 2` each slot gets 2,048 tokens
 * (it says `n_ctx_slot = 2048, kv_unified = 'false'`). People mean the length of one conversation by
 * "context", so that is what is asked for and planned here; the sum for the flag is `ctxSizeTotal`.
 */
import { formatBytes, GIB } from "../base/units.ts";
import type { GgufFacts } from "./gguf/facts.ts";
import {
  CHECKPOINTS,
  CONTEXT_STEP,
  contextMaxOf,
  kvBudgetBytes,
  kvLayerBytes,
  needsCheckpoints,
  type Slots,
} from "./memory_cost.ts";
import {
  type Memory,
  partsOf,
  place,
  type Placement,
  type PlanPart,
  sumOf,
  usableRam,
  usableTotal,
} from "./memory_placement.ts";

export type { Memory, PlanPart } from "./memory_placement.ts";

/** Context of one slot by default, at most: long enough for agents, bearable to prefill. */
const CTX_DEFAULT_MAX = 32_768;
/** Context that each slot should have before more slots are given. */
const CTX_COMFORTABLE = 8_192;
/** Context below which layers rather leave the accelerators than the context shrinks further. */
const CTX_BEFORE_PARTIAL = 4_096;
/** Context below which a model is refused rather than served. */
const CTX_LEAST = 2_048;
/** Slots by default, best first. */
const SLOTS_DEFAULT: readonly number[] = [4, 2, 1];
/** Slots that somebody may ask for; llama-server's own bound is 256. */
const SLOTS_MAX = 256;
/** Prompt cache of llama-server: its default, as long as that much is left. */
const PROMPT_CACHE_MAX_BYTES = 8 * GIB;

/** What somebody asked for. */
export interface PlanRequest {
  /** Context of one conversation, in tokens (`--ctx-size` of mesh-llm). */
  readonly ctxSize?: number;
  /** Conversations at once (`--parallel`). */
  readonly parallel?: number;
  /** Bound on everything together (`--max-vram`). */
  readonly maxBytes?: number;
}

/** What {@link planMemory} plans with. */
export interface PlanMemoryOptions {
  readonly facts: GgufFacts;
  readonly memory: Memory;
  readonly requested?: PlanRequest;
}

/** A model that fits, and how. */
export interface MemoryPlan {
  readonly ok: true;
  /** Tokens of one conversation. */
  readonly ctxPerSlot: number;
  readonly slots: number;
  /** For llama-server's `--ctx-size`: all slots together. */
  readonly ctxSizeTotal: number;
  /** For `--n-gpu-layers`; absent on a machine without accelerators. */
  readonly gpuLayers?: number;
  readonly weightsBytes: number;
  /** Keys and values, recurrent state, checkpoints. */
  readonly kvBytes: number;
  readonly computeBytes: number;
  /** Sum of `parts`: the three above and the program itself. */
  readonly totalBytes: number;
  readonly parts: readonly PlanPart[];
  /** For `--cache-ram`: what the cache of old prompts may take beyond the plan. */
  readonly promptCacheBytes: number;
  /** For `--ctx-checkpoints`; absent for models that need none. */
  readonly ctxCheckpoints?: number;
  /** One sentence for people. */
  readonly explanation: string;
}

/** A model that does not fit as asked; `message` is for people. */
export interface MemoryRefusal {
  readonly ok: false;
  readonly message: string;
  readonly neededBytes: number;
  readonly availableBytes: number;
}

/** Plans a model; everything that is not asked for is chosen. */
export function planMemory(options: PlanMemoryOptions): MemoryPlan | MemoryRefusal {
  const { facts, memory, requested = {} } = options;
  const wrong = wrongRequest(facts, requested);
  if (wrong !== undefined) {
    return { ok: false, message: wrong, neededBytes: 0, availableBytes: available(options) };
  }
  const search: Search = {
    facts,
    memory,
    requested,
    maxBytes: requested.maxBytes ?? Number.MAX_SAFE_INTEGER,
  };
  const found = findSlots(search);
  return found === undefined ? refuse(search) : describePlan(search, found);
}

interface Search {
  readonly facts: GgufFacts;
  readonly memory: Memory;
  readonly requested: PlanRequest;
  readonly maxBytes: number;
}

interface Found {
  readonly slots: Slots;
  readonly placement: Placement;
}

/** What cannot be done with any memory. */
function wrongRequest(facts: GgufFacts, { ctxSize, parallel }: PlanRequest): string | undefined {
  const isCount = (value: number) => Number.isInteger(value) && value >= 1;
  if (ctxSize !== undefined && !isCount(ctxSize)) return "The context length must be 1 or more";
  if (parallel !== undefined && (!isCount(parallel) || parallel > SLOTS_MAX)) {
    return `The number of slots must be between 1 and ${SLOTS_MAX}`;
  }
  const { contextLength } = facts;
  if (ctxSize === undefined || contextLength === undefined || ctxSize <= contextLength) {
    return undefined;
  }
  return `A context of ${ctxSize} tokens is more than the ${contextLength} that this model can have`;
}

/** The range of contexts that will do for a number of slots. */
interface CtxRange {
  readonly least: number;
  readonly most: number;
}

function ctxRange({ facts, requested }: Search): CtxRange {
  if (requested.ctxSize !== undefined) {
    const wanted = Math.ceil(requested.ctxSize / CONTEXT_STEP) * CONTEXT_STEP;
    return { least: wanted, most: wanted };
  }
  const most = Math.min(contextMaxOf(facts), CTX_DEFAULT_MAX);
  return { least: Math.min(CTX_LEAST, most), most };
}

/** Whole on the accelerators where that leaves a usable context, else shared with main memory. */
function findSlots(search: Search): Found | undefined {
  const { least, most } = ctxRange(search);
  if (search.memory.devices.length === 0) {
    return bestOf(search, { range: { least, most }, isWholeOnDevices: false });
  }
  const border = Math.max(least, Math.min(most, CTX_BEFORE_PARTIAL));
  return bestOf(search, { range: { least: border, most }, isWholeOnDevices: true }) ??
    bestOf(search, { range: { least, most: border }, isWholeOnDevices: false });
}

interface Wish {
  readonly range: CtxRange;
  readonly isWholeOnDevices: boolean;
}

/** The most slots that each have a comfortable context, then the longest context for them. */
function bestOf(search: Search, { range, isWholeOnDevices }: Wish): Found | undefined {
  const { parallel } = search.requested;
  // Where layers have to leave the accelerators, more conversations would push out still more.
  const usual = search.memory.devices.length > 0 && !isWholeOnDevices ? [1] : SLOTS_DEFAULT;
  const counts = parallel === undefined ? usual : [parallel];
  for (const slots of counts) {
    const isLast = slots === counts.at(-1);
    const least = isLast
      ? range.least
      : Math.max(range.least, Math.min(range.most, CTX_COMFORTABLE));
    const found = longest(search, { slots, range: { ...range, least }, isWholeOnDevices });
    if (found !== undefined) return found;
    // A single slot of the least context may exceed the budget, as long as it fits at all.
    if (isLast) return tryOut(search, { slots: { slots, ctxPerSlot: least }, isWholeOnDevices });
  }
  return undefined;
}

/** The longest context of the range that fits, found by halving: longer ones never need less. */
function longest(
  search: Search,
  { slots, range, isWholeOnDevices }: Wish & { readonly slots: number },
): Found | undefined {
  const budgetBytes = kvBudgetBytes(search.facts);
  const fit = (ctxPerSlot: number) => {
    const wanted = { slots, ctxPerSlot };
    if (kvTotal(search.facts, wanted) > budgetBytes) return undefined;
    return tryOut(search, { slots: wanted, isWholeOnDevices });
  };
  let best = fit(range.least);
  if (best === undefined) return undefined;
  let [low, high] = [range.least / CONTEXT_STEP, Math.floor(range.most / CONTEXT_STEP)];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const found = fit(middle * CONTEXT_STEP);
    if (found === undefined) high = middle - 1;
    else [low, best] = [middle, found];
  }
  return best;
}

function tryOut(
  { facts, memory, maxBytes }: Search,
  wish: { readonly slots: Slots; readonly isWholeOnDevices: boolean },
): Found | undefined {
  const placement = place({ facts, memory, maxBytes, ...wish });
  return placement === undefined ? undefined : { slots: wish.slots, placement };
}

function kvTotal(facts: GgufFacts, slots: Slots): number {
  return facts.layerBytes.reduce((sum, _, layer) => sum + kvLayerBytes(facts, layer, slots), 0);
}

function describePlan(
  { facts, memory, maxBytes }: Search,
  { slots, placement }: Found,
): MemoryPlan {
  const { parts, gpuLayers } = placement;
  const totalBytes = sumOf(parts);
  const isShared = memory.devices.some((device) => device.sharesRam === true);
  const ramLeft = usableRam(memory) - (isShared ? totalBytes : sumOf(parts, { where: "ram" }));
  const left = Math.min(Math.floor(ramLeft / 2), maxBytes - totalBytes, PROMPT_CACHE_MAX_BYTES);
  return {
    ok: true,
    ...slots,
    ctxSizeTotal: slots.slots * slots.ctxPerSlot,
    ...(memory.devices.length === 0 ? {} : { gpuLayers }),
    weightsBytes: sumOf(parts, { what: "weights" }),
    kvBytes: sumOf(parts, { what: "cache" }),
    computeBytes: sumOf(parts, { what: "compute" }),
    totalBytes,
    parts,
    promptCacheBytes: Math.max(0, left),
    ...(needsCheckpoints(facts) ? { ctxCheckpoints: CHECKPOINTS } : {}),
    explanation: explain({ facts, slots, placement }),
  };
}

function explain(
  { facts, slots, placement }: Found & { readonly facts: GgufFacts },
): string {
  const { parts, gpuLayers } = placement;
  const size = (what: PlanPart["what"]) => formatBytes(sumOf(parts, { what }));
  const places = gpuLayers === 0
    ? "in main memory"
    : gpuLayers > facts.layerCount
    ? "all layers on accelerators"
    : `${gpuLayers} of ${facts.layerCount + 1} layers on accelerators`;
  return `${slots.slots} x ${slots.ctxPerSlot} tokens of context, ${places}: weights ` +
    `${size("weights")} + cache ${size("cache")} + compute ${size("compute")} + program ` +
    `${size("program")} = ${formatBytes(sumOf(parts))}`;
}

function available({ memory, requested = {} }: PlanMemoryOptions): number {
  return Math.min(usableTotal(memory), requested.maxBytes ?? Number.MAX_SAFE_INTEGER);
}

/** Says what is missing, and what would do instead. */
function refuse(search: Search): MemoryRefusal {
  const { facts, memory, requested } = search;
  const least: Slots = { slots: requested.parallel ?? 1, ctxPerSlot: ctxRange(search).least };
  const neededBytes = sumOf(partsOf({ facts, memory, slots: least }, 0));
  const availableBytes = available(search);
  const limit = requested.maxBytes !== undefined && requested.maxBytes <= availableBytes
    ? "allowed"
    : "free for it";
  const missing = `It needs ${formatBytes(neededBytes)} for ${least.slots} x ${least.ctxPerSlot} ` +
    `tokens of context, ${formatBytes(availableBytes)} are ${limit}`;
  const pieces = neededBytes <= availableBytes ? ", in pieces that are too small" : "";
  const message = `The model does not fit. ${missing}${pieces}. ${advice(search)}`;
  return { ok: false, message, neededBytes, availableBytes };
}

function advice(search: Search): string {
  const { requested, ...rest } = search;
  const hasAsked = requested.ctxSize !== undefined || requested.parallel !== undefined;
  const { ctxSize: _, parallel: __, ...unasked } = requested;
  const instead = hasAsked ? findSlots({ ...rest, requested: unasked }) : undefined;
  if (instead === undefined) return "Close other programs or choose a smaller model";
  const { slots, ctxPerSlot } = instead.slots;
  return `It would fit with --ctx-size ${ctxPerSlot} --parallel ${slots}`;
}
