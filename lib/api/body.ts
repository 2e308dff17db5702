/** Reading what callers send: bounded in size, in time, and in what is believed. */
import type { Timers } from "~/base/clock.ts";
import type { IncomingBody } from "~/base/http_door.ts";
import { isJsonObject, type JsonObject } from "~/base/json.ts";
import { KIB } from "~/base/units.ts";
import { ApiError } from "./errors.ts";

/** Largest body: all bodies of this door are a name or a token of 2 KiB. */
export const BODY_BYTES_MAX = 64 * KIB;
/** How long a body may take to arrive; it fits into a few packets. */
export const BODY_TIMEOUT_MS = 10_000;
/** Longest model name: a Hugging Face URL or a path; Linux paths end at 4,096 bytes. */
export const MODEL_NAME_CHARS_MAX = 4096;

// deno-lint-ignore no-control-regex -- control characters are what is looked for
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
const JSON_TYPE = /^application\/json *(?:;.*)?$/i;

/**
 * Reads the JSON object that a request carries. An empty body counts as `{}` when `isOptional`.
 *
 * @throws {ApiError} 415 when it is not declared as JSON, 413 `body_too_large`, 408
 * `request_timeout`, 400 `invalid_json`
 */
export async function readJsonObject(body: IncomingBody, options: {
  readonly contentType: string | undefined;
  readonly timers: Timers;
  readonly isOptional?: boolean;
}): Promise<JsonObject> {
  // A page of another site can post forms and plain text without asking, but not this type.
  if (!JSON_TYPE.test(options.contentType ?? "")) {
    throw new ApiError(415, "unsupported_media_type", {
      message: "Cannot read this body: send JSON with content-type application/json",
    });
  }
  const text = await readText(body, options.timers);
  if (text === "" && options.isOptional === true) return {};
  return parseJsonObject(text);
}

/** @throws {ApiError} 400 `invalid_json` when the text is not one JSON object */
export function parseJsonObject(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's message quotes the text, which may hold a secret.
    throw invalidJson("it is not valid JSON");
  }
  if (!isJsonObject(value)) throw invalidJson("it is not a JSON object");
  return value;
}

/**
 * The model that a body names.
 *
 * @throws {ApiError} 400 `model_required` or `invalid_request_error`
 */
export function modelOf(body: JsonObject): string {
  const name = body["model"];
  if (name === undefined || name === null || name === "") {
    throw new ApiError(400, "model_required", {
      message: 'Cannot load a model without its name: send {"model": "NAME"}',
      param: "model",
    });
  }
  return checkModelName(name);
}

/**
 * The model that the rest of a path names; slashes may come plain or encoded.
 *
 * @throws {ApiError} 400 when it is empty or wrongly encoded
 */
export function modelOfPath(encoded: string): string {
  let name: string;
  try {
    name = decodeURIComponent(encoded);
  } catch {
    throw invalidModel("its percent encoding is broken");
  }
  return checkModelName(name);
}

/**
 * The model that a query names.
 *
 * @throws {ApiError} 400 when there is none, or it cannot be one
 */
export function modelOfQuery(name: string | undefined): string {
  if (name !== undefined && name !== "") return checkModelName(name);
  throw new ApiError(400, "model_required", {
    message: "Cannot explain a model without its name: ask for /api/plan?model=NAME",
    param: "model",
  });
}

function checkModelName(name: unknown): string {
  if (typeof name !== "string") throw invalidModel("it is not text");
  if (name.trim() === "") throw invalidModel("it is empty");
  if (name.length > MODEL_NAME_CHARS_MAX) {
    throw invalidModel(`it has more than ${MODEL_NAME_CHARS_MAX} characters`);
  }
  if (CONTROL_CHARACTER.test(name)) throw invalidModel("it holds control characters");
  return name;
}

async function readText(body: IncomingBody, timers: Timers): Promise<string> {
  if ((body.declaredBytes ?? 0) > BODY_BYTES_MAX) throw tooLarge();
  const { promise: complete, resolve, reject } = Promise.withResolvers<void>();
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  const stop = body.read({
    chunk(bytes) {
      sizeBytes += bytes.byteLength;
      if (sizeBytes > BODY_BYTES_MAX) reject(tooLarge());
      else chunks.push(bytes);
    },
    end: resolve,
    fail: () => reject(cutOff()),
  });
  const cancelTimer = timers.after(BODY_TIMEOUT_MS, () => reject(tooLate()));
  try {
    await complete;
  } finally {
    cancelTimer();
    stop();
  }
  return decode(chunks);
}

function decode(chunks: readonly Uint8Array[]): string {
  // Without `fatal`, broken UTF-8 would become a name that nobody sent.
  const decoder = new TextDecoder("utf-8", { fatal: true });
  try {
    return chunks.map((bytes) => decoder.decode(bytes, { stream: true })).join("") +
      decoder.decode();
  } catch {
    throw invalidJson("it is not valid UTF-8");
  }
}

function invalidJson(reason: string): ApiError {
  return new ApiError(400, "invalid_json", { message: `Cannot read the body: ${reason}` });
}

function invalidModel(reason: string): ApiError {
  return new ApiError(400, "invalid_request_error", {
    message: `Cannot use this model name: ${reason}`,
    param: "model",
  });
}

function cutOff(): ApiError {
  return new ApiError(400, "invalid_request_error", {
    message: "Cannot read the body: it ended before it was complete",
  });
}

function tooLarge(): ApiError {
  return new ApiError(413, "body_too_large", {
    message: `Cannot read the body: more than ${BODY_BYTES_MAX} bytes`,
  });
}

function tooLate(): ApiError {
  return new ApiError(408, "request_timeout", {
    message: `Cannot read the body: it did not arrive within ${BODY_TIMEOUT_MS / 1000} s`,
  });
}
