/** Sends a request to the first target that answers. */
import { joined } from "../base/bytes.ts";
import { messageOf } from "../base/errors.ts";
import type { JsonValue } from "../base/json.ts";
import type { Call } from "./call.ts";
import { DoorError, isEngineLoading } from "./errors.ts";
import { loadingError, namedModel } from "./models.ts";
import type { RoutingTable, Target, Upstream, UpstreamRequest, UpstreamResponse } from "./ports.ts";

/** Targets tried for one request: enough for two that just died, few enough to answer soon. */
const TRIES_MAX = 3;
/** Longest error answer of an engine that is read; real ones have a few hundred bytes. */
const ERROR_BYTES_MAX = 64 * 1024;

/** An answer that has begun, and who gives it. */
export interface Forwarded {
  readonly target: Target;
  readonly response: UpstreamResponse;
  /** The whole body of an answer with an error status, as JSON; undefined if it is none. */
  readonly error: JsonValue | undefined;
}

/** How many requests each upstream is busy with. */
export class BusyCounts {
  readonly #counts = new WeakMap<Upstream, number>();

  of(upstream: Upstream): number {
    return this.#counts.get(upstream) ?? 0;
  }

  /** Counts one more; the returned function counts it out, once. */
  add(upstream: Upstream): () => void {
    this.#counts.set(upstream, this.of(upstream) + 1);
    let isCounted = true;
    return () => {
      if (isCounted) this.#counts.set(upstream, this.of(upstream) - 1);
      isCounted = false;
    };
  }
}

/**
 * Tries the targets of a model, those with a free slot first, until one begins to answer.
 *
 * @throws {DoorError} `upstream_failed` with each cause, `model_loading`, `no_host`, `model_not_found`
 * @throws the reason of the call's signal when it is aborted
 */
export async function forward(
  request: UpstreamRequest,
  options: {
    readonly call: Call;
    readonly modelId: string;
    readonly table: RoutingTable;
    readonly busy: BusyCounts;
  },
): Promise<Forwarded> {
  const { call, modelId, table, busy } = options;
  const causes: string[] = [];
  for (const target of inOrder(table.targets(modelId), busy)) {
    call.signal.throwIfAborted();
    call.onSent(target.nodeId, busy.add(target.upstream));
    try {
      const response = await target.upstream.send(request, call.signal);
      call.onHead();
      if (response.status < 400) return { target, response, error: undefined };
      call.onWait();
      const error = await readError(response);
      if (!isEngineLoading(response.status, error)) return { target, response, error };
      causes.push(`${target.nodeId}: its engine is loading`);
    } catch (error) {
      call.signal.throwIfAborted();
      causes.push(`${target.nodeId}: ${messageOf(error)}`);
    }
  }
  throw failureOf(modelId, table, causes);
}

function inOrder(targets: readonly Target[], busy: BusyCounts): Target[] {
  const isFree = (target: Target) => busy.of(target.upstream) < target.slots;
  const free = targets.filter(isFree);
  const full = targets.filter((target) => !isFree(target));
  return [...free, ...full].slice(0, TRIES_MAX);
}

function failureOf(modelId: string, table: RoutingTable, causes: readonly string[]): DoorError {
  const loading = table.loading().find((model) => model.id === modelId);
  if (causes.length === 0) {
    // The model went away between the choice and now: say what a new request would be told.
    try {
      namedModel(modelId, table);
    } catch (error) {
      if (error instanceof DoorError) return error;
      throw error;
    }
    return new DoorError("upstream_failed", `Model "${modelId}" has no target now`);
  }
  if (causes.every((cause) => cause.endsWith(": its engine is loading"))) {
    return loadingError(loading ?? { id: modelId, phase: "loading" });
  }
  return new DoorError(
    "upstream_failed",
    `Cannot get an answer from model "${modelId}": ${causes.join("; ")}`,
  );
}

async function readError(response: UpstreamResponse): Promise<JsonValue | undefined> {
  const { body } = response;
  if (body === null) return undefined;
  const bytes = body instanceof Uint8Array ? body : await readSome(body);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

async function readSome(stream: ReadableStream<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const reader = stream.getReader();
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  for (let step = await reader.read(); !step.done; step = await reader.read()) {
    sizeBytes += step.value.length;
    if (sizeBytes > ERROR_BYTES_MAX) {
      await reader.cancel();
      return new Uint8Array(0);
    }
    pieces.push(step.value);
  }
  return joined(pieces);
}
