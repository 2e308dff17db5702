/**
 * What to make of another node's error: its door says by status and code whether the request itself is
 * at fault, or only that node cannot answer it now.
 *
 * @module
 */
import { isJsonObject, type JsonValue } from "../base/json.ts";
import type { Target, UpstreamResponse } from "./ports.ts";
import type { EventCutter } from "./sse.ts";

/** An answer that has begun, and who gives it. */
export interface Forwarded {
  readonly target: Target;
  readonly response: UpstreamResponse;
  /** The whole body of an answer with an error status, as JSON; undefined if it is none. */
  readonly error: JsonValue | undefined;
  /** To be called with the last bytes of the answer when it is complete. */
  readonly onComplete?: (tail: Uint8Array) => void;
  /** Ends a stream of events with another one. Set where the body comes in whole events. */
  readonly fail?: EventCutter["fail"];
}

/** Longest part of a node's own words in the list of causes. */
const REASON_CHARS_MAX = 200;

/** True when another node may well answer what this one did not. */
export function mayAnswerElsewhere(status: number, error: JsonValue | undefined): boolean {
  switch (status) {
    case 404:
      // It does not serve the model any more; an engine's own 404 means something else.
      return memberOf(error, "code") === "model_not_found";
    case 429:
    case 502:
    case 503:
      return true;
    default:
      return false;
  }
}

/**
 * Of several refusals the one to pass on: a queue that is full has the best prospects, and the shortest
 * first, then a model that loads. Undefined when none holds out hope: then all causes are to be said.
 */
export function mostHopeful(refusals: readonly Forwarded[]): Forwarded | undefined {
  const hopeful = refusals.filter(({ response, error }) =>
    response.status === 429 || (response.status === 503 && memberOf(error, "code") !== "no_host")
  );
  return hopeful.toSorted((a, b) =>
    a.response.status - b.response.status || retryOf(a.response) - retryOf(b.response)
  )[0];
}

/** True when another node says that its engine ended while it worked on the request. */
export function isCrashTold(error: JsonValue | undefined): boolean {
  return memberOf(error, "crashed") === true;
}

/** Why a node did not answer, in its own words. */
export function reasonOf(status: number, error: JsonValue | undefined): string {
  const message = memberOf(error, "message");
  if (typeof message !== "string" || message === "") return `it answered with status ${status}`;
  return message.slice(0, REASON_CHARS_MAX);
}

function retryOf({ headers }: UpstreamResponse): number {
  const text = headers.get("retry-after");
  return text === null ? Infinity : Number(text);
}

function memberOf(body: JsonValue | undefined, name: string): JsonValue | undefined {
  const error = isJsonObject(body) ? body["error"] : undefined;
  return isJsonObject(error) ? error[name] : undefined;
}
