/**
 * What the OpenAI door needs from the rest of the program, and nothing more. `lib/node` supplies it;
 * tests supply twins in memory.
 */
import type { HeadersView } from "../base/field_list.ts";
import type { JsonObject } from "../base/json.ts";

/** A model that can be answered now. */
export interface ServedModel {
  /** Name that clients use; unique in the list. */
  readonly id: string;
  /** When it became available here, Unix time in seconds. */
  readonly createdUnixS: number;
  /** Facts for clients: context length, size, parameters, quantisation. */
  readonly meta: JsonObject;
}

/** A model that is on its way but cannot be answered yet. */
export interface LoadingModel {
  readonly id: string;
  /** "downloading engine", "downloading model", "loading", "restarting", … */
  readonly phase: string;
  /** 0 to 100; absent while unknown. */
  readonly percent?: number;
}

/** A request on its way to whoever computes it. Headers are already filtered. */
export interface UpstreamRequest {
  readonly method: "GET" | "POST";
  /** Path with query, as llama-server knows it: "/v1/chat/completions". */
  readonly path: string;
  readonly headers: HeadersView;
  /** The whole body as received; undefined for GET. */
  readonly body?: Uint8Array<ArrayBuffer>;
  /** Id of the served model that it is for; undefined where nobody chose one. */
  readonly model?: string;
  /** True when another target would be tried if this one failed. */
  readonly hasAlternative?: boolean;
  /**
   * Asked when the link becomes suspect in the middle of the answer: true when the rest can be had elsewhere, so the
   * answer is given up; without it, or when it says false, the link is waited for.
   */
  readonly givesUp?: () => boolean;
  /**
   * Called when nothing is heard of the link for a moment in the middle of the answer: who would go on elsewhere may
   * begin there already.
   */
  readonly onQuiet?: () => void;
  /** True for the rest of an answer that broke off: it is admitted before new requests. */
  readonly isContinuation?: boolean;
}

/** An answer that has begun. Cancelling `body` cancels the computation. */
export interface UpstreamResponse {
  readonly status: number;
  readonly headers: HeadersView;
  /** Bytes when the answer came whole, a stream when it is still being made. Errors if it breaks off. */
  readonly body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>> | null;
}

/** Carries one request to one place. */
export interface Upstream {
  /**
   * Resolves when the answer's head has arrived.
   *
   * @param signal aborted when the caller is gone or waited long enough: the computation is cancelled
   * @throws {UpstreamError} when no answer can be had from there
   */
  send(request: UpstreamRequest, signal: AbortSignal): Promise<UpstreamResponse>;
}

/**
 * No answer came from a target, or its answer broke off. `isConnectFailure`: it never saw the request.
 * `isCrash`: its engine ended while it worked on it, perhaps because of it.
 */
export class UpstreamError extends Error {
  override readonly name = "UpstreamError";
  readonly isConnectFailure: boolean;
  readonly isCrash: boolean;

  constructor(
    message: string,
    isConnectFailure: boolean,
    options: ErrorOptions & { readonly isCrash?: boolean } = {},
  ) {
    super(message, options);
    this.isConnectFailure = isConnectFailure;
    this.isCrash = options.isCrash ?? false;
  }
}

/** A place that serves a model. */
export interface Target {
  /** Id of the node that computes: sent to clients as `x-mesh-llm-node`. */
  readonly nodeId: string;
  readonly upstream: Upstream;
  /** How many requests it computes at once. */
  readonly slots: number;
  /** True for another node, which has a queue of its own. */
  readonly isRemote?: boolean;
  /** True while nothing is heard from it: tried last. */
  readonly isSuspect?: boolean;
  /** Round trip of the way to it in milliseconds; absent while unknown, and for this node. */
  readonly rttMs?: number;
  /** What the model is, whatever it is called: only equal ones continue each other's answers. */
  readonly fingerprint?: string;
  /** Context of one request in tokens. */
  readonly contextTokens?: number;
}

/** A model that is known in the mesh, though nobody serves it now. */
export interface KnownModel {
  readonly id: string;
  /** Somebody takes it on when it is asked for. */
  readonly isComing: boolean;
}

/** Where requests can go. A snapshot for one decision: ask again for the next. */
export interface RoutingTable {
  /** Models that can be answered now, in a stable order. */
  served(): readonly ServedModel[];
  /** Models that are on their way. */
  loading(): readonly LoadingModel[];
  /** Targets that serve exactly this id, best first; empty when none does (any more). */
  targets(modelId: string): readonly Target[];
  /** The model that a name means which nobody serves or loads; absent where only what is served counts. */
  known?(name: string): KnownModel | undefined;
}
