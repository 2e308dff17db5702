/** Sends a request to the first target that answers. */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "../base/errors.ts";
import { type Pool, poolOf } from "./admission_pools.ts";
import { begun } from "./begun.ts";
import type { Call } from "./call.ts";
import type { Beginning } from "./conversation.ts";
import { DoorError, isEngineLoading } from "./errors.ts";
import {
  type Forwarded,
  isCrashTold,
  mayAnswerElsewhere,
  mostHopeful,
  reasonOf,
} from "./far_refusal.ts";
import { loadingError, namedModel } from "./models.ts";
import {
  type RoutingTable,
  type Target,
  type Upstream,
  UpstreamError,
  type UpstreamRequest,
} from "./ports.ts";
import { readError } from "./read_error.ts";
import type { Ranked, Router } from "./route.ts";
import { timingsIn } from "./speeds.ts";

const log = getLogger(["mesh-llm", "proxy"]);

/** Targets tried for one request: enough for two that just died, few enough to answer soon. */
const TRIES_MAX = 3;

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

/** Engines that may end over one request: it is asked once more, never a third time, since it may be the cause. */
export const CRASHES_MAX = 2;

/** What {@link forward} works with. */
export interface ForwardOptions {
  readonly call: Call;
  readonly modelId: string;
  readonly table: RoutingTable;
  readonly busy: BusyCounts;
  readonly router: Router;
  /** How the request begins; asked for only where there is a choice. */
  readonly beginning?: (() => Beginning) | undefined;
  /** Where the request has a slot. @default {"here"} */
  readonly pool?: Pool;
  /** Waits for a slot of a target in the other pool, before it is tried. */
  readonly onMove?: (target: Target) => Promise<void>;
}

/**
 * Tries the targets of a model, in the order of {@link Router.rank}, until one begins to answer. Of targets
 * that only say that they cannot now, what the most hopeful one says is the answer.
 *
 * @throws {DoorError} `upstream_failed` with each cause, `model_loading`, `no_host`, `model_not_found`
 * @throws the reason of the call's signal when it is aborted
 */
export async function forward(
  request: UpstreamRequest,
  options: ForwardOptions,
): Promise<Forwarded> {
  const { call, modelId, table, router } = options;
  let { pool = "here" } = options;
  const causes: string[] = [];
  const refusals: Forwarded[] = [];
  let fullHere: DoorError | undefined;
  const targets = rankTargets(request, options).slice(0, TRIES_MAX);
  const hasChoice = targets.length > 1;
  for (const [i, target] of targets.entries()) {
    call.signal.throwIfAborted();
    if (i > 0) {
      if (call.crashCount >= CRASHES_MAX) break;
      if (!router.mayRetry(call.nowMs)) {
        causes.push("no other node is asked: too much fails at once");
        break;
      }
      call.tell("retried", modelId);
    }
    try {
      if (poolOf(target) !== pool) await options.onMove?.(target);
      pool = poolOf(target);
      const asked = i < targets.length - 1 ? { ...request, hasAlternative: true } : request;
      const answer = await attempt(asked, { target, hasChoice, isRetry: i > 0 }, options);
      if (answer.error === undefined && answer.response.status < 400) return answer;
      const { response: { status }, error } = answer;
      if (isEngineLoading(status, error)) {
        causes.push(`${target.nodeId}: its engine is loading`);
        continue;
      }
      if (target.isRemote !== true || !mayAnswerElsewhere(status, error)) return answer;
      if (isCrashTold(error)) call.crashCount += 1;
      if (status === 502) router.handle({ kind: "failed", nodeId: target.nodeId }, call.nowMs);
      refusals.push(answer);
      causes.push(`${target.nodeId}: ${reasonOf(status, error)}`);
    } catch (error) {
      call.signal.throwIfAborted();
      if (error instanceof DoorError) fullHere = error;
      else noteFailure(error, { call, router, nodeId: target.nodeId });
      causes.push(`${target.nodeId}: ${messageOf(error)}`);
    }
  }
  const hopeful = mostHopeful(refusals);
  if (hopeful !== undefined) return hopeful;
  if (fullHere !== undefined) throw fullHere;
  throw failureOf(causes, { modelId, table, isCrash: call.crashCount > 0 });
}

/** Sends the request to one target; resolves when its answer has begun, or it has said no. */
async function attempt(
  request: UpstreamRequest,
  { target, hasChoice, isRetry }: {
    readonly target: Target;
    readonly hasChoice: boolean;
    readonly isRetry: boolean;
  },
  options: ForwardOptions,
): Promise<Forwarded> {
  const { call, modelId, busy, router } = options;
  const { nodeId, upstream } = target;
  call.onSent(nodeId, busy.add(upstream));
  router.handle({ kind: "sent", nodeId }, call.nowMs);
  let isBegun = false;
  // Until it has begun for the client, the next target is better than a link of which nothing is heard.
  const givesUp = (): boolean =>
    isBegun ? request.givesUp?.() ?? false : request.hasAlternative ?? false;
  const head = await upstream.send({ ...request, givesUp }, call.signal);
  if (head.status >= 400) {
    call.onHead();
    call.onWait();
    return { target, response: head, error: await readError(head) };
  }
  const response = await begun(head, call);
  isBegun = true;
  call.onHead();
  // Where one node alone serves a model, what is learned of it decides nothing and costs every request.
  const beginning = hasChoice ? options.beginning?.() : undefined;
  router.handle({ kind: "answered", nodeId, model: modelId, beginning, isRetry }, call.nowMs);
  if (!hasChoice) return { target, response, error: undefined };
  const onComplete = (tail: Uint8Array): void => {
    // Whoever went on with it is measured.
    const work = call.work ?? { nodeId, sinceMs: call.nowMs };
    const serviceMs = call.nowMs - work.sinceMs;
    const ended = { nodeId: work.nodeId, model: modelId, serviceMs, timings: timingsIn(tail) };
    router.handle({ kind: "ended", ...ended }, call.nowMs);
  };
  return { target, response, error: undefined, onComplete };
}

/** Takes in that a target failed, and whether its engine ended over the request. */
export function noteFailure(
  error: unknown,
  of: { readonly call: Call; readonly router: Router; readonly nodeId: string },
): void {
  const { call, router, nodeId } = of;
  log.debug("Node {nodeId} failed: {reason}; request {requestId}", {
    nodeId,
    reason: messageOf(error),
    requestId: call.requestId,
  });
  router.handle({ kind: "failed", nodeId }, call.nowMs);
  if (error instanceof UpstreamError && error.isCrash) call.crashCount += 1;
}

/** The targets in the order in which to try them, explained in the log. */
export function rankTargets(
  request: { readonly body?: Uint8Array },
  options: Omit<ForwardOptions, "onMove">,
): readonly Target[] {
  const { call, modelId, table, busy, router, beginning, pool } = options;
  const targets = table.targets(modelId);
  if (targets.length < 2) return targets;
  const { order, isSpilled } = router.rank(
    {
      model: modelId,
      bodyBytes: request.body?.length ?? 0,
      beginning: beginning?.(),
      pool,
    },
    targets.map((target) => ({ target, busyCount: busy.of(target.upstream) })),
    call.nowMs,
  );
  if (pool === undefined) return order.map(({ target }) => target);
  if (isSpilled) call.tell("spilled", modelId);
  log.debug("Targets of {model} in order: {order}; request {requestId}", () => ({
    model: modelId,
    order: order.map(explained).join(", "),
    requestId: call.requestId,
  }));
  return order.map(({ target }) => target);
}

function explained({ target, tier, expectedMs, isHome }: Ranked): string {
  const why = [
    `${Math.round(expectedMs)} ms`,
    ...(isHome ? ["has the conversation"] : []),
    ...(tier >= 8 ? ["not heard"] : []),
    ...((tier & 4) !== 0 ? ["failed lately"] : []),
    ...((tier & 2) !== 0 ? ["no free slot"] : []),
  ];
  return `${target.nodeId} (${why.join(", ")})`;
}

function failureOf(
  causes: readonly string[],
  of: { readonly modelId: string; readonly table: RoutingTable; readonly isCrash: boolean },
): DoorError {
  const { modelId, table, isCrash } = of;
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
    // A node that asked us must not have the request end too many engines.
    isCrash ? { details: { crashed: true } } : {},
  );
}
