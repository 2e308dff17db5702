/**
 * The door's own errors: one class, one table, one place that turns them into answers.
 *
 * Two dialects, because two official SDKs read them: OpenAI's `{"error":{message,type,param,code}}`
 * everywhere, and Anthropic's `{"type":"error","error":{type,message}}` under `/v1/messages`, there
 * with `param` and `code` added inside `error`.
 *
 * @module
 */
import { wholeResponse } from "../base/whole_response.ts";
import type { JsonObject, JsonValue } from "../base/json.ts";

/** Whose shapes a client understands. */
export type Dialect = "openai" | "anthropic";

/** Every `code` of the door, with its status. */
const ERROR_STATUS = {
  invalid_json: 400,
  model_required: 400,
  invalid_request_error: 400,
  invalid_api_key: 401,
  forbidden: 403,
  model_not_found: 404,
  not_found: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  body_too_large: 413,
  queue_full: 429,
  internal_error: 500,
  upstream_failed: 502,
  model_loading: 503,
  no_host: 503,
  upstream_timeout: 504,
} as const;

/** The code in an error's body. */
export type ErrorCode = keyof typeof ERROR_STATUS;

/** What may be said beside the message. */
export interface DoorErrorFacts {
  /** The member of the request that is at fault. */
  readonly param?: string;
  /** When it is worth asking again, in seconds. */
  readonly retryAfterS?: number;
  /** More members of the body's `error`: `phase`, `percent`. */
  readonly details?: JsonObject;
  /** More headers of the answer: `allow`. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** A request that the door answers itself, and why. The message is for the client. */
export class DoorError extends Error {
  override readonly name = "DoorError";
  readonly code: ErrorCode;
  readonly facts: DoorErrorFacts;

  constructor(code: ErrorCode, message: string, facts: DoorErrorFacts = {}) {
    super(message, facts.cause === undefined ? {} : { cause: facts.cause });
    this.code = code;
    this.facts = facts;
  }

  get status(): number {
    return ERROR_STATUS[this.code];
  }
}

/** The body that says `error` in `dialect`. */
export function errorBody(error: DoorError, dialect: Dialect): JsonObject {
  const { param = null, details = {} } = error.facts;
  const { message, code } = error;
  if (dialect === "anthropic") {
    const type = anthropicType(error.status);
    return { type: "error", error: { type, message, param, code, ...details } };
  }
  return { error: { message, type: openAiType(error.status), param, code, ...details } };
}

/** The answer to a request that ended with `error`. */
export function errorResponse(error: DoorError, dialect: Dialect): Response {
  const { retryAfterS, headers } = error.facts;
  return jsonResponse(errorBody(error, dialect), {
    status: error.status,
    headers: {
      ...headers,
      ...(retryAfterS === undefined ? {} : { "retry-after": String(retryAfterS) }),
    },
  });
}

/** JSON with its length, so that it leaves in one piece. */
export function jsonResponse(
  body: JsonObject,
  options: { readonly status?: number; readonly headers?: Readonly<Record<string, string>> } = {},
): Response {
  return wholeResponse(new TextEncoder().encode(JSON.stringify(body)), {
    status: options.status ?? 200,
    headers: { ...options.headers, "content-type": "application/json" },
  });
}

/**
 * Rewrites an error answer of the engine into the client's dialect; its message and type stay, and
 * its numeric code becomes the type's name. Anything that is not such an answer is described.
 */
export function engineErrorBody(
  status: number,
  body: JsonValue | undefined,
  dialect: Dialect,
): JsonObject {
  const inner = engineErrorOf(body);
  const message = typeof inner["message"] === "string" && inner["message"] !== ""
    ? inner["message"]
    : `The engine refused the request with status ${status}`;
  const type = typeof inner["type"] === "string" ? inner["type"] : undefined;
  const code = typeof inner["code"] === "string" ? inner["code"] : type ?? "engine_error";
  const param = inner["param"] ?? null;
  if (dialect === "anthropic") {
    return {
      type: "error",
      error: { ...inner, type: anthropicType(status), message, param, code },
    };
  }
  return { error: { ...inner, message, type: type ?? openAiType(status), param, code } };
}

/** True when the engine says that its model is not loaded yet. */
export function isEngineLoading(status: number, body: JsonValue | undefined): boolean {
  return status === 503 && engineErrorOf(body)["type"] === "unavailable_error";
}

function engineErrorOf(body: JsonValue | undefined): JsonObject {
  if (!isObject(body)) return {};
  const inner = body["error"];
  if (isObject(inner)) return inner;
  return typeof inner === "string" ? { message: inner } : {};
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function openAiType(status: number): string {
  if (status === 401) return "authentication_error";
  if (status === 403) return "permission_error";
  if (status === 429) return "rate_limit_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

/** The types that Anthropic's SDK knows. */
function anthropicType(status: number): string {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    case 504:
      return "timeout_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}
