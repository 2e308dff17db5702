/** What the door tells about requests: enough for metrics and a live view, never their contents. */
import type { ErrorCode } from "./errors.ts";

/** How a request for a model ended. */
export type RequestOutcome =
  /** The client has a whole answer, an error of the engine included. */
  | "answered"
  /** The door answered with an error of its own. */
  | "refused"
  /** The answer broke off after it had begun. */
  | "broken"
  /** The client left before the end. */
  | "client gone";

/** A request for a model that ended. */
export interface FinishedRequest {
  readonly kind: "finished";
  readonly requestId: string;
  /** The path asked for; one of a fixed list. */
  readonly endpoint: string;
  /** Id of the served model; absent when none was settled on. Never a client's own words. */
  readonly model?: string;
  /** The node that computed; absent when none did. */
  readonly nodeId?: string;
  readonly outcome: RequestOutcome;
  /** Status of the answer; 499 when the client left before there was one. */
  readonly status: number;
  /** The door's own error, if it ended with one. */
  readonly code?: ErrorCode;
  /** Time from the request's head to its end. */
  readonly durationMs: number;
  /** Time in the queue. */
  readonly queuedMs: number;
  /** Time from the request's head to the first byte of the answer's body; absent when none came. */
  readonly firstByteMs?: number;
  readonly requestBytes: number;
  readonly responseBytes: number;
}

/** Something happened to a request. Each `received` is followed by exactly one `finished`. */
export type RequestEvent =
  | { readonly kind: "received"; readonly requestId: string; readonly endpoint: string }
  /** It got a slot and goes to the engine. */
  | {
    readonly kind: "started";
    readonly requestId: string;
    readonly endpoint: string;
    readonly model: string;
    readonly queuedMs: number;
  }
  | FinishedRequest
  /** A target failed before its answer had begun, and the next one is asked. */
  | { readonly kind: "retried"; readonly requestId: string; readonly model: string }
  /** An answer broke off, and another target goes on with it. */
  | { readonly kind: "continued"; readonly requestId: string; readonly model: string }
  /** A conversation goes to another target than the one that has its beginning in the cache: that is busy. */
  | { readonly kind: "spilled"; readonly requestId: string; readonly model: string }
  /** It was turned away at the threshold: wrong Host, Origin, key, path or method. */
  | { readonly kind: "turned away"; readonly status: number; readonly code: ErrorCode };

/** Receives events; called on the way of every request, so it must be cheap and must not throw. */
export type ObserveRequest = (event: RequestEvent) => void;

/** Prometheus text, from whoever counts. */
export type MetricsText = () => Promise<{ readonly contentType: string; readonly text: string }>;
