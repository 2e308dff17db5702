/**
 * How fast targets are, from what the engine says at the end of the answers that pass by: `timings` of llama-server
 * (prompt_n, prompt_ms, predicted_n, predicted_ms), and from how long requests took.
 */
import { Buffer } from "node:buffer";
import { isJsonObject, type JsonValue } from "../base/json.ts";
import { LruMap } from "../base/lru.ts";

/** Weight of the newest figure: about the last ten count. */
const NEWEST_WEIGHT = 0.2;
/** Assumed while nothing is known of any target. */
const PREFILL_MS_UNKNOWN = 1;
const DECODE_MS_UNKNOWN = 20;
const SERVICE_MS_UNKNOWN = 5_000;
/** Pairs of node and model that are remembered. */
const PAIRS_MAX = 1024;
/** Fewer tokens than this say more about the overhead than about the speed. */
const PREFILL_TOKENS_MIN = 32;
const DECODE_TOKENS_MIN = 4;
/** The engine's timings stand at the end of an answer, this near. */
const TIMINGS_BYTES = 4096;

/** What an engine measured on one request. */
export interface Timings {
  readonly promptTokens: number;
  readonly promptMs: number;
  readonly cachedTokens: number;
  readonly decodedTokens: number;
  readonly decodeMs: number;
}

/** What can be expected of a target. */
export interface Speed {
  /** For one token of a prompt, in milliseconds. */
  readonly prefillMs: number;
  /** For one token of an answer, in milliseconds. */
  readonly decodeMs: number;
  /** For a whole request, in milliseconds. */
  readonly serviceMs: number;
}

interface Means {
  prefillMs?: number;
  decodeMs?: number;
  serviceMs?: number;
}

/** Running means per node and model. */
export class Speeds {
  readonly #means = new LruMap<string, Means>(PAIRS_MAX);

  /** What a target did; a figure that is not there changes nothing. */
  measured(
    nodeId: string,
    model: string,
    found: { readonly timings?: Timings | undefined; readonly serviceMs?: number },
  ): void {
    const key = keyOf(nodeId, model);
    const means = this.#means.get(key) ?? {};
    const { timings, serviceMs } = found;
    if (timings !== undefined && timings.promptTokens >= PREFILL_TOKENS_MIN) {
      means.prefillMs = mean(means.prefillMs, timings.promptMs / timings.promptTokens);
    }
    if (timings !== undefined && timings.decodedTokens >= DECODE_TOKENS_MIN) {
      means.decodeMs = mean(means.decodeMs, timings.decodeMs / timings.decodedTokens);
    }
    if (serviceMs !== undefined) means.serviceMs = mean(means.serviceMs, serviceMs);
    this.#means.set(key, means);
  }

  /** What to expect of each of `nodes`: one of which nothing is known is taken for as fast as the best, so it is tried. */
  of(nodes: readonly string[], model: string): readonly Speed[] {
    const found = nodes.map((nodeId) => this.#means.get(keyOf(nodeId, model)));
    const best = (read: (means: Means) => number | undefined, unknown: number): number =>
      found.reduce<number | undefined>((least, means) => {
        const value = means === undefined ? undefined : read(means);
        return value === undefined ? least : Math.min(least ?? Infinity, value);
      }, undefined) ?? unknown;
    const prefillMs = best((means) => means.prefillMs, PREFILL_MS_UNKNOWN);
    const decodeMs = best((means) => means.decodeMs, DECODE_MS_UNKNOWN);
    const serviceMs = best((means) => means.serviceMs, SERVICE_MS_UNKNOWN);
    return found.map((means) => ({ prefillMs, decodeMs, serviceMs, ...means }));
  }
}

/** The engine's timings in the last bytes of an answer; undefined when there are none. */
export function timingsIn(bytes: Uint8Array): Timings | undefined {
  const tail = bytes.subarray(Math.max(0, bytes.length - TIMINGS_BYTES));
  const text = Buffer.from(tail.buffer, tail.byteOffset, tail.byteLength).toString("latin1");
  const at = text.lastIndexOf('"timings":{');
  const end = text.indexOf("}", at);
  if (at < 0 || end < 0) return undefined;
  try {
    return readTimings(JSON.parse(text.slice(at + '"timings":'.length, end + 1)));
  } catch {
    return undefined;
  }
}

function readTimings(value: JsonValue): Timings | undefined {
  if (!isJsonObject(value)) return undefined;
  const read = (name: string): number => {
    const figure = value[name];
    return typeof figure === "number" && Number.isFinite(figure) && figure >= 0 ? figure : 0;
  };
  return {
    promptTokens: read("prompt_n"),
    promptMs: read("prompt_ms"),
    cachedTokens: read("cache_n"),
    decodedTokens: read("predicted_n"),
    decodeMs: read("predicted_ms"),
  };
}

function keyOf(nodeId: string, model: string): string {
  return `${nodeId} ${model}`;
}

function mean(before: number | undefined, newest: number): number {
  return before === undefined ? newest : before + NEWEST_WEIGHT * (newest - before);
}
