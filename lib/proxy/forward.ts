/** Sends a request to the first target that answers. */
import { joined } from "../base/bytes.ts";
import { messageOf } from "../base/errors.ts";
import type { JsonValue } from "../base/json.ts";
import type { Call } from "./call.ts";
import { type Pool, poolOf } from "./admission_pools.ts";
import { DoorError, isEngineLoading } from "./errors.ts";
import { type Forwarded, mayAnswerElsewhere, mostHopeful, reasonOf } from "./far_refusal.ts";
import { loadingError, namedModel } from "./models.ts";
import type { RoutingTable, Target, Upstream, UpstreamRequest, UpstreamResponse } from "./ports.ts";

/** Targets tried for one request: enough for two that just died, few enough to answer soon. */
const TRIES_MAX = 3;
/** Longest error answer of an engine that is read; real ones have a few hundred bytes. */
const ERROR_BYTES_MAX = 64 * 1024;

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
 * Tries the targets of a model, in the order of {@link inOrder}, until one begins to answer. Of targets
 * that only say that they cannot now, what the most hopeful one says is the answer.
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
    /** Where the request has a slot. @default {"here"} */
    readonly pool?: Pool;
    /** Waits for a slot of a target in the other pool, before it is tried. */
    readonly onMove?: (target: Target) => Promise<void>;
  },
): Promise<Forwarded> {
  const { call, modelId, table, busy, onMove } = options;
  let { pool = "here" } = options;
  const causes: string[] = [];
  const refusals: Forwarded[] = [];
  let fullHere: DoorError | undefined;
  const targets = inOrder(table.targets(modelId), { busy, pool });
  for (const [i, target] of targets.entries()) {
    call.signal.throwIfAborted();
    try {
      if (poolOf(target) !== pool) await onMove?.(target);
      pool = poolOf(target);
      call.onSent(target.nodeId, busy.add(target.upstream));
      const response = await target.upstream.send(
        i < targets.length - 1 ? { ...request, hasAlternative: true } : request,
        call.signal,
      );
      call.onHead();
      if (response.status < 400) return { target, response, error: undefined };
      call.onWait();
      const error = await readError(response);
      if (!isEngineLoading(response.status, error)) {
        const answer = { target, response, error };
        if (target.isRemote !== true || !mayAnswerElsewhere(response.status, error)) return answer;
        refusals.push(answer);
        causes.push(`${target.nodeId}: ${reasonOf(response.status, error)}`);
      } else causes.push(`${target.nodeId}: its engine is loading`);
    } catch (error) {
      call.signal.throwIfAborted();
      if (error instanceof DoorError) fullHere = error;
      causes.push(`${target.nodeId}: ${messageOf(error)}`);
    }
  }
  const hopeful = mostHopeful(refusals);
  if (hopeful !== undefined) return hopeful;
  if (fullHere !== undefined) throw fullHere;
  throw failureOf(modelId, table, causes);
}

/**
 * The targets to try: those that are heard before suspects, those with a free slot before full ones, the
 * pool in which the request has a slot before the other, the least busy before others, and among equals
 * the table's order.
 */
function inOrder(
  targets: readonly Target[],
  { busy, pool }: { readonly busy: BusyCounts; readonly pool: Pool },
): readonly Target[] {
  if (targets.length < 2) return targets;
  const ranked = targets.map((target) => {
    const load = busy.of(target.upstream) / target.slots;
    const tier = (target.isSuspect === true ? 4 : 0) + (load < 1 ? 0 : 2) +
      (poolOf(target) === pool ? 0 : 1);
    return { target, load, tier };
  });
  ranked.sort((a, b) => a.tier - b.tier || a.load - b.load);
  return ranked.slice(0, TRIES_MAX).map(({ target }) => target);
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
