/**
 * Heads of requests and answers between two nodes: what of HTTP crosses a link, as JSON. Both sides
 * filter: the near one says only what the engine needs, the far one believes nothing beyond it.
 *
 * A request is `{t:"request"}`, bytes, END. An answer is `{t:"answer"}`, bytes, END; one that cannot
 * be ended ends with `{t:"broken"}` instead, so that what came before is delivered.
 *
 * @module
 */
import { FieldList, type HeadersView } from "../base/field_list.ts";
import type { HeaderField } from "../base/http1_head.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../base/json.ts";
import { ENGINE_PATHS, FORWARDED_HEADERS, FORWARDED_VALUE } from "./endpoints.ts";

/** What is asked. The method is always POST. */
export interface PeerRequestHead {
  /** One of {@link ENGINE_PATHS}. */
  readonly path: string;
  readonly headers: HeadersView;
  /** Id of the served model that the near side settled on. */
  readonly model: string | undefined;
  /** Length of the body that follows. */
  readonly sizeBytes: number;
  /** The node that is to compute, when that is not the one at the other end of the link. */
  readonly to: string | undefined;
  /** How many more nodes may pass it on. */
  readonly hops: 0 | 1;
  /** The rest of an answer that broke off on another node. */
  readonly isContinuation: boolean;
}

/** What is answered. */
export interface PeerAnswerHead {
  /** 200 to 599, without those that have no body. */
  readonly status: number;
  readonly headers: HeadersView;
  /** Set when the far node turned the request away before anything was computed for it. */
  readonly refusal: string | undefined;
}

/** A head that is not one. */
export class PeerHeadError extends Error {
  override readonly name = "PeerHeadError";
}

const PATHS = new Set(ENGINE_PATHS);
const REQUEST_HEADERS = new Set([...FORWARDED_HEADERS, "content-type", "x-request-id"]);
/** The rest belongs to a connection, or is the near door's own to say. */
const ANSWER_HEADERS = new Set(["content-type", "content-length", "cache-control", "retry-after"]);
/** Fewer than a head can hold: a longer list is no head of ours. */
const HEADERS_MAX = 64;
/** As much as a whole head of HTTP may have at the door. */
const VALUE_CHARS_MAX = 16 * 1024;
const MODEL_CHARS_MAX = 1024;
const NODE = /^[A-Za-z0-9_-]{1,64}$/;
const REFUSAL = /^[a-z_]{1,32}$/;
const MESSAGE_CHARS_MAX = 500;
/** Types that a browser shows or reads as what they are: a peer must not put a page on our origin. */
const ANSWER_TYPE =
  /^(?:application\/json|application\/x-ndjson|text\/event-stream|text\/plain)(?:\s*;|$)/i;
const LENGTH = /^[0-9]{1,15}$/;
/** How the values of answer headers must look; others are left out. */
const SOUND: Readonly<Record<string, RegExp>> = {
  "content-type": ANSWER_TYPE,
  "retry-after": /^[0-9]{1,5}$/,
  "content-length": LENGTH,
};
/** Statuses whose answers have no body (Fetch standard, "null body status"); the engine has no use for them. */
const BODILESS = new Set([204, 205, 304]);

/** Writes a request's head. */
export function encodeRequestHead(head: PeerRequestHead): JsonObject {
  const { path, headers, model, sizeBytes, to, hops, isContinuation } = head;
  return {
    t: "request",
    method: "POST",
    path,
    headers: pairsOf(headers, REQUEST_HEADERS),
    bytes: sizeBytes,
    hops,
    ...(model === undefined ? {} : { model }),
    ...(to === undefined ? {} : { to }),
    ...(isContinuation ? { continues: true } : {}),
  };
}

/**
 * Reads a request's head.
 *
 * @throws {PeerHeadError} when it asks for something that nobody may ask a peer, or is not one
 */
export function decodeRequestHead(json: JsonObject): PeerRequestHead {
  const { t, method, path, bytes, hops, model, to } = json;
  if (t !== "request") throw wrong("t", "request", t);
  if (method !== "POST") throw wrong("method", "POST", method);
  if (typeof path !== "string" || !PATHS.has(path)) throw wrong("path", "one of a list", path);
  if (!isSize(bytes)) throw wrong("bytes", "a length", bytes);
  if (hops !== 0 && hops !== 1) throw wrong("hops", "0 or 1", hops);
  if (model !== undefined && !isModel(model)) throw wrong("model", "a name", model);
  if (to !== undefined && !isNode(to)) throw wrong("to", "a node", to);
  const headers = new FieldList(fieldsOf(json["headers"], REQUEST_HEADERS));
  const isContinuation = json["continues"] === true;
  return { path, headers, model, sizeBytes: bytes, to, hops, isContinuation };
}

/** Writes an answer's head; headers that are not for the near side are left out. */
export function encodeAnswerHead(head: PeerAnswerHead): JsonObject {
  const { status, headers, refusal } = head;
  return {
    t: "answer",
    status,
    headers: pairsOf(headers, ANSWER_HEADERS),
    ...(refusal === undefined ? {} : { refusal }),
  };
}

/**
 * Reads an answer's head.
 *
 * @throws {PeerHeadError} when it is not one
 */
export function decodeAnswerHead(json: JsonObject): PeerAnswerHead {
  const { t, status, refusal } = json;
  if (t !== "answer") throw wrong("t", "answer", t);
  if (!isStatus(status)) throw wrong("status", "one from 200 to 599 with a body", status);
  if (refusal !== undefined && (typeof refusal !== "string" || !REFUSAL.test(refusal))) {
    throw wrong("refusal", "a word", refusal);
  }
  const fields = fieldsOf(json["headers"], ANSWER_HEADERS);
  const sound = fields.filter(([name, value]) => SOUND[name]?.test(value) !== false);
  return { status, headers: new FieldList(sound), refusal };
}

/** Why an answer cannot be ended. */
export interface BrokenAnswer {
  readonly message: string;
  /** The engine ended while it worked on it. */
  readonly isCrash: boolean;
}

/** What follows an answer that cannot be ended. */
export function encodeBroken({ message, isCrash }: BrokenAnswer): JsonObject {
  return {
    t: "broken",
    message: message.slice(0, MESSAGE_CHARS_MAX),
    ...(isCrash ? { crashed: true } : {}),
  };
}

/** Why an answer cannot be ended; undefined when `json` says something else. */
export function decodeBroken(json: JsonObject): BrokenAnswer | undefined {
  const { t, message, crashed } = json;
  if (t !== "broken" || typeof message !== "string") return undefined;
  return { message: sayable(message), isCrash: crashed === true };
}

/** A peer's words as they can stand in an error: bounded, without control characters. */
export function sayable(message: string): string {
  return message.slice(0, MESSAGE_CHARS_MAX).replace(/\p{Cc}/gu, " ");
}

/** The body's length that the headers announce, in bytes; undefined when they do not. */
export function lengthOf(headers: HeadersView): number | undefined {
  const text = headers.get("content-length");
  return text !== null && LENGTH.test(text) ? Number(text) : undefined;
}

function pairsOf(headers: HeadersView, allowed: ReadonlySet<string>): JsonValue {
  const pairs: [string, string][] = [];
  for (const [name, value] of headers) {
    if (allowed.has(name) && isValue(value)) pairs.push([name, value]);
  }
  return pairs;
}

function fieldsOf(pairs: JsonValue | undefined, allowed: ReadonlySet<string>): HeaderField[] {
  if (!Array.isArray(pairs) || pairs.length > HEADERS_MAX) {
    throw wrong("headers", `a list of at most ${HEADERS_MAX}`, undefined);
  }
  const fields: HeaderField[] = [];
  for (const pair of pairs) {
    if (!Array.isArray(pair) || pair.length !== 2) throw wrong("headers", "pairs", pair);
    const [name, value] = pair;
    if (typeof name !== "string" || typeof value !== "string") {
      throw wrong("headers", "pairs of strings", name);
    }
    // Names that a later version may send are no fault.
    if (!allowed.has(name)) continue;
    if (!isValue(value)) throw wrong(`header ${name}`, "printable characters", undefined);
    if (fields.some(([known]) => known === name)) {
      throw wrong(`header ${name}`, "one value", undefined);
    }
    fields.push([name, value]);
  }
  return fields;
}

function isValue(value: string): boolean {
  return value.length <= VALUE_CHARS_MAX && FORWARDED_VALUE.test(value);
}

function isSize(value: JsonValue | undefined): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isModel(value: JsonValue): value is string {
  return typeof value === "string" && value !== "" && value.length <= MODEL_CHARS_MAX;
}

function isNode(value: JsonValue): value is string {
  return typeof value === "string" && NODE.test(value);
}

function isStatus(value: JsonValue | undefined): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 200 && value <= 599 &&
    !BODILESS.has(value);
}

function wrong(what: string, wanted: string, found: JsonValue | undefined): PeerHeadError {
  const shown = typeof found === "string" || typeof found === "number"
    ? `"${sayable(String(found)).slice(0, 64)}"`
    : isJsonObject(found)
    ? "an object"
    : typeof found;
  return new PeerHeadError(`Cannot use this head: ${what} must be ${wanted}, found ${shown}`);
}
