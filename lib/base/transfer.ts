/**
 * The decisions of a download, apart from its deeds: whether an unfinished file may be continued,
 * what a server's answer means, which redirect may be followed. Range requests after RFC 9110,
 * section 14.
 */
import { UserError } from "./errors.ts";
import { isJsonObject } from "./json.ts";

/** What kept a download from finishing. */
export type DownloadFailure =
  | "unreachable"
  | "status"
  | "cut"
  | "idle"
  | "digest"
  | "size"
  | "redirect"
  | "disk-full"
  | "disk";

/** A file could not be downloaded; the message says what was found and what was wanted. */
export class DownloadError extends UserError {
  override readonly name = "DownloadError";
  readonly failure: DownloadFailure;
  /** Where it was asked for, without secrets. */
  readonly url: string;
  /** HTTP status, when the server's answer was the reason. */
  readonly status?: number;
  /** The server's wish for the time before the next try, when it stated one. */
  readonly retryAfterMs?: number;

  constructor(
    failure: DownloadFailure,
    reason: string,
    options: ErrorOptions & {
      readonly url: string;
      readonly status?: number;
      readonly retryAfterMs?: number;
    },
  ) {
    const { url, status, retryAfterMs, ...rest } = options;
    super(`Cannot download ${shownUrl(url)}: ${reason}`, rest);
    this.failure = failure;
    this.url = shownUrl(url);
    if (status !== undefined) this.status = status;
    if (retryAfterMs !== undefined) this.retryAfterMs = retryAfterMs;
  }
}

/** A URL as it may be shown: queries and user parts can hold secrets. */
export function shownUrl(url: string): string {
  if (!URL.canParse(url)) return "an address that is no URL";
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

/** What an unfinished file is a part of; kept beside it. */
export interface PartRecord {
  readonly url: string;
  /** Strong entity tag of the whole; absent when the server gave none. */
  readonly etag?: string;
  readonly sha256?: string;
  readonly totalBytes?: number;
}

/** Reads the record beside an unfinished file; undefined when it is none. */
export function parsePartRecord(text: string): PartRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isJsonObject(value) || typeof value["url"] !== "string") return undefined;
  const { url, etag, sha256, totalBytes } = value;
  const hasTotal = typeof totalBytes === "number" && Number.isSafeInteger(totalBytes) &&
    totalBytes >= 0;
  return {
    url,
    ...(typeof etag === "string" && strongEtag(etag) !== undefined ? { etag } : {}),
    ...(typeof sha256 === "string" && isSha256(sha256) ? { sha256 } : {}),
    ...(hasTotal ? { totalBytes } : {}),
  };
}

/** What the caller of a download wants. */
export interface WantedFile {
  readonly url: string;
  readonly expectedSha256?: string;
  readonly expectedBytes?: number;
}

/**
 * Whether an unfinished file of `partBytes` bytes is the beginning of what is wanted. With a digest
 * the place does not matter, as the end result is checked; without one, only the same place and the
 * same entity tag will do.
 */
export function isPartUsable(
  record: PartRecord | undefined,
  partBytes: number,
  wanted: WantedFile,
): boolean {
  if (record === undefined || partBytes <= 0) return false;
  const totalBytes = wanted.expectedBytes ?? record.totalBytes;
  if (totalBytes !== undefined && partBytes > totalBytes) return false;
  if (wanted.expectedSha256 !== undefined) return record.sha256 === wanted.expectedSha256;
  return record.url === wanted.url && record.etag !== undefined && record.sha256 === undefined;
}

/** What to do with a server's answer. */
export type AnswerVerdict =
  /** The bytes that follow belong at `atByte`. */
  | { readonly kind: "take"; readonly atByte: number; readonly totalBytes?: number }
  /** The unfinished file does not belong to what the server has now. */
  | { readonly kind: "start-over" }
  | { readonly kind: "refuse"; readonly status: number; readonly retryAfterMs?: number };

/** The part of an answer that decides. */
export interface AnswerHead {
  readonly status: number;
  readonly headers: Headers;
}

/** Judges the answer to a request for everything from `fromByte` on. */
export function judgeAnswer({ status, headers }: AnswerHead, fromByte: number): AnswerVerdict {
  if (status === 200) return { kind: "take", atByte: 0, ...lengthOf(headers) };
  if (status === 206) {
    const range = parseContentRange(headers.get("content-range") ?? "");
    if (fromByte === 0 || range?.startByte !== fromByte) return { kind: "start-over" };
    const { totalBytes } = range;
    return { kind: "take", atByte: fromByte, ...(totalBytes === undefined ? {} : { totalBytes }) };
  }
  if (status === 416 && fromByte > 0) return { kind: "start-over" };
  const retryAfterMs = parseRetryAfter(headers.get("retry-after"));
  return { kind: "refuse", status, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
}

/** True for answers that another try may change. */
export function isPassingStatus(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

/** A `Content-Range` of bytes. */
export interface ContentRange {
  readonly startByte: number;
  readonly endByte: number;
  /** Absent when the server does not know it. */
  readonly totalBytes?: number;
}

const CONTENT_RANGE_REGEXP = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/;

/** Reads a `Content-Range` header; undefined when it is not one that makes sense. */
export function parseContentRange(header: string): ContentRange | undefined {
  const match = CONTENT_RANGE_REGEXP.exec(header.trim());
  if (match === null) return undefined;
  const [startByte, endByte] = [Number(match[1]), Number(match[2])];
  if (endByte < startByte) return undefined;
  if (match[3] === "*") return { startByte, endByte };
  const totalBytes = Number(match[3]);
  return endByte < totalBytes ? { startByte, endByte, totalBytes } : undefined;
}

/** Longest time that a server may ask us to wait: people watch. */
const RETRY_AFTER_MS_MAX = 30_000;

/** Reads `Retry-After` in seconds, bounded; dates are left to our own backoff. */
export function parseRetryAfter(header: string | null): number | undefined {
  if (header === null || !/^\d{1,9}$/.test(header.trim())) return undefined;
  return Math.min(Number(header) * 1000, RETRY_AFTER_MS_MAX);
}

/** The entity tag if it promises the same bytes; weak ones promise only the same meaning. */
export function strongEtag(header: string | null): string | undefined {
  return header !== null && /^"[\x21\x23-\x7e]{1,256}"$/.test(header) ? header : undefined;
}

/** Headers of the caller that may hold a secret: they stay with the server they were meant for. */
const SECRET_HEADERS: ReadonlySet<string> = new Set([
  "authorization",
  "cookie",
  "proxy-authorization",
]);

/** Where a redirect leads, and with which headers. */
export interface Hop {
  readonly url: string;
  readonly headers: Headers;
}

/**
 * Follows one redirect.
 *
 * @throws {DownloadError} when it leads nowhere, or from an encrypted place to an open one
 */
export function followRedirect(from: Hop, location: string | null): Hop {
  if (location === null || !URL.canParse(location, from.url)) {
    throw new DownloadError("redirect", "it was redirected to no address", { url: from.url });
  }
  const [source, target] = [new URL(from.url), new URL(location, from.url)];
  if (target.protocol !== "https:" && target.protocol !== source.protocol) {
    const reason = `it was redirected to ${target.protocol}//, only https:// is allowed there`;
    throw new DownloadError("redirect", reason, { url: from.url });
  }
  const headers = new Headers(from.headers);
  if (target.origin !== source.origin) {
    for (const name of SECRET_HEADERS) headers.delete(name);
  }
  return { url: target.href, headers };
}

/** True for a SHA-256 in lower-case hexadecimal. */
export function isSha256(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

function lengthOf(headers: Headers): { totalBytes?: number } {
  const text = headers.get("content-length") ?? "";
  // A body that is compressed on the way has another length than what arrives here.
  const encoding = headers.get("content-encoding") ?? "identity";
  return /^\d{1,15}$/.test(text) && encoding === "identity" ? { totalBytes: Number(text) } : {};
}
