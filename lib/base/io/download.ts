/**
 * Downloads one file so that it can be cut anywhere and go on later, and is seen under its name
 * only when complete and checked.
 *
 *   <destination>            complete and checked, put there by one rename
 *   <destination>.part       what has arrived, and .part.json: what it is a part of
 *   <destination>.lock       who is at work; a second one waits and then finds the file
 *
 * Proxies and certificates from the usual variables work, as the runtime's `fetch` reads them.
 *
 * @module
 */
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { getLogger } from "@logtape/logtape";
import { backoffMs } from "../backoff.ts";
import { assert, messageOf } from "../errors.ts";
import type { ReportProgress } from "../progress.ts";
import type { Rng } from "../rng.ts";
import {
  DownloadError,
  followRedirect,
  type Hop,
  isPassingStatus,
  isSha256,
  judgeAnswer,
  type PartRecord,
  shownUrl,
  strongEtag,
} from "../transfer.ts";
import { formatBytes } from "../units.ts";
import { ensureDir, statIfAny } from "./files.ts";
import { withLock } from "./lock.ts";
import { PartFile, type WriteSome } from "./part_file.ts";
import { systemRng } from "./system.ts";

const log = getLogger(["mesh-llm", "base"]);

/** Silence after which a connection counts as dead. */
const IDLE_TIMEOUT_MS = 30_000;
/** Time until the head of an answer, for each redirect. */
const ANSWER_TIMEOUT_MS = 20_000;
/** Tries in a row that bring no byte. */
const FRUITLESS_TRIES_MAX = 5;
/** Tries in all: a server that cuts after every few bytes must end, too. */
const TRIES_MAX = 100;
/** Redirects in a row; browsers allow 20. */
const REDIRECTS_MAX = 10;
const BACKOFF = { baseMs: 500, capMs: 15_000 };
/** Shortest time between two reports of progress. */
const REPORT_INTERVAL_MS = 100;

/** One file to download. */
export interface DownloadRequest {
  readonly url: string;
  /** Path of the finished file; its folder is made when absent. */
  readonly destination: string;
  /** SHA-256 in lower-case hexadecimal. Without it only the length is checked. */
  readonly expectedSha256?: string;
  readonly expectedBytes?: number;
  /** Sent with the request; secrets in them never go to another host. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Largest size that is accepted, whatever the server says. */
  readonly maxBytes: number;
  readonly report: ReportProgress;
  /** What and whence, in the user's words; for progress. */
  readonly what: string;
  readonly source: string;
  readonly signal: AbortSignal;
  /** Silence in the middle after which a new try begins. @default {30000} */
  readonly idleTimeoutMs?: number;
  /** Time until the head of an answer. @default {20000} */
  readonly answerTimeoutMs?: number;
  /** Tries in a row without a new byte before it gives up. @default {5} */
  readonly fruitlessTriesMax?: number;
}

/** A finished download. */
export interface DownloadResult {
  readonly path: string;
  readonly sizeBytes: number;
  /** SHA-256 of the file; absent when it lay there already and was not read again. */
  readonly sha256?: string;
  /** Bytes that an earlier, cut download had left and that were used. */
  readonly resumedBytes: number;
}

/** What a download needs of the world; replaced in tests only. */
export interface DownloadPorts {
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  readonly writeSome: WriteSome;
  readonly wait: (delayMs: number, signal: AbortSignal) => Promise<void>;
  readonly rng: Rng;
}

/** The real world. */
export const REAL_DOWNLOAD_PORTS: DownloadPorts = {
  fetch: (url, init) => fetch(url, init),
  writeSome: (file, bytes) => file.write(bytes),
  wait: (delayMs, signal) => sleep(delayMs, undefined, { signal }),
  rng: systemRng,
};

/**
 * Downloads a file, or finds it complete. Goes on where an earlier try was cut, tries again after
 * breaks, checks length and digest. One process at a time works on a destination.
 *
 * @throws {DownloadError} with the reason in `failure`; what has arrived stays for the next call,
 * unless it is wrong
 */
export async function downloadFile(
  request: DownloadRequest,
  ports: DownloadPorts = REAL_DOWNLOAD_PORTS,
): Promise<DownloadResult> {
  assert(
    request.expectedSha256 === undefined || isSha256(request.expectedSha256),
    "an expected digest is a SHA-256 in lower-case hexadecimal",
  );
  request.signal.throwIfAborted();
  const there = await findFinished(request);
  if (there !== undefined) return there;
  await ensureDir(dirname(request.destination));
  const onWait = ({ pid }: { pid: number }) =>
    log.info("Waiting for process {pid}, which downloads {what}", { pid, what: request.what });
  const lockPath = `${request.destination}.lock`;
  return await withLock(lockPath, { signal: request.signal, onWait }, async () => {
    return await findFinished(request) ?? await new Download(request, ports).run();
  });
}

async function findFinished(request: DownloadRequest): Promise<DownloadResult | undefined> {
  const { destination, expectedBytes } = request;
  const info = await statIfAny(destination);
  if (info === undefined || !info.isFile) return undefined;
  // Another size: the name now stands for another file, which replaces this one when complete.
  if (expectedBytes !== undefined && info.size !== expectedBytes) return undefined;
  request.report({
    what: request.what,
    source: request.source,
    doneBytes: info.size,
    totalBytes: info.size,
    isDone: true,
  });
  return { path: destination, sizeBytes: info.size, resumedBytes: 0 };
}

/** One download from its first try to its last. */
class Download {
  readonly #request: DownloadRequest;
  readonly #ports: DownloadPorts;
  #reportedMs = -Infinity;
  #lateReport: ReturnType<typeof setTimeout> | undefined;
  #hasReached = false;

  constructor(request: DownloadRequest, ports: DownloadPorts) {
    this.#request = request;
    this.#ports = ports;
  }

  async run(): Promise<DownloadResult> {
    const { destination } = this.#request;
    try {
      await using part = await PartFile.open(destination, this.#request, this.#ports.writeSome);
      const resumedBytes = part.sizeBytes;
      await this.#fetchAll(part);
      const sha256 = await this.#check(part);
      await part.finish();
      const { sizeBytes } = part;
      this.#report(sizeBytes, { totalBytes: sizeBytes, isDone: true });
      return { path: destination, sizeBytes, sha256, resumedBytes };
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** Tries until everything is there or it makes no sense to go on. */
  async #fetchAll(part: PartFile): Promise<void> {
    const fruitlessMax = this.#request.fruitlessTriesMax ?? FRUITLESS_TRIES_MAX;
    let fruitless = 0;
    for (let tries = 1; !this.#isComplete(part); tries += 1) {
      const beforeBytes = part.sizeBytes;
      try {
        await this.#fetchSome(part);
        return;
      } catch (error) {
        this.#request.signal.throwIfAborted();
        fruitless = part.sizeBytes > beforeBytes ? 0 : fruitless + 1;
        if (!this.#isWorthRetrying(error)) throw error;
        if (fruitless >= fruitlessMax || tries >= TRIES_MAX) throw error;
        await this.#pause(error, fruitless);
      }
    }
  }

  async #fetchSome(part: PartFile): Promise<void> {
    const response = await this.#ask(part);
    const verdict = judgeAnswer(response, part.sizeBytes);
    if (verdict.kind !== "take") await response.body?.cancel().catch(() => {});
    if (verdict.kind === "refuse") throw this.#refused(verdict);
    if (verdict.kind === "start-over") {
      await part.startOver();
      throw this.#error("cut", "the server has another file than before");
    }
    try {
      if (verdict.atByte !== part.sizeBytes) await part.startOver();
      const record = this.#recordOf(response, verdict.totalBytes);
      await this.#checkSize(part, record.totalBytes);
      if (part.record === undefined) await part.describe(record);
      await this.#receive(part, response, record.totalBytes);
    } finally {
      await response.body?.cancel().catch(() => {});
    }
  }

  /** Asks for everything that is missing, following redirects. */
  async #ask(part: PartFile): Promise<Response> {
    const headers = new Headers(this.#request.headers);
    headers.set("accept-encoding", "identity");
    if (part.sizeBytes > 0) {
      headers.set("range", `bytes=${part.sizeBytes}-`);
      const { record } = part;
      if (record?.etag !== undefined && record.url === this.#request.url) {
        headers.set("if-range", record.etag);
      }
    }
    let hop: Hop = { url: this.#request.url, headers };
    for (let count = 0; count <= REDIRECTS_MAX; count += 1) {
      const response = await this.#askOnce(hop);
      if (![301, 302, 303, 307, 308].includes(response.status)) return response;
      await response.body?.cancel().catch(() => {});
      hop = followRedirect(hop, response.headers.get("location"));
    }
    throw this.#error("redirect", `it was redirected more than ${REDIRECTS_MAX} times`);
  }

  async #askOnce(hop: Hop): Promise<Response> {
    const timeoutMs = this.#request.answerTimeoutMs ?? ANSWER_TIMEOUT_MS;
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), timeoutMs);
    const signal = AbortSignal.any([this.#request.signal, patience.signal]);
    try {
      const response = await this.#ports.fetch(hop.url, {
        headers: hop.headers,
        redirect: "manual",
        signal,
      });
      this.#hasReached = true;
      return response;
    } catch (cause) {
      this.#request.signal.throwIfAborted();
      const reason = patience.signal.aborted ? `no answer within ${timeoutMs} ms` : reasonOf(cause);
      throw this.#error("unreachable", reason, { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  async #receive(part: PartFile, response: Response, totalBytes?: number): Promise<void> {
    const reader = (response.body ?? new Blob([]).stream()).getReader();
    const limitBytes = totalBytes ?? this.#request.maxBytes;
    try {
      for (;;) {
        const chunk = await this.#readSome(reader);
        if (chunk === undefined) break;
        if (part.sizeBytes + chunk.byteLength > limitBytes) {
          await part.discard();
          throw this.#error("size", `more than ${formatBytes(limitBytes)} came`);
        }
        await part.append(chunk);
        this.#report(part.sizeBytes, totalBytes === undefined ? {} : { totalBytes });
      }
    } finally {
      clearTimeout(this.#lateReport);
      reader.releaseLock();
    }
    if (totalBytes !== undefined && part.sizeBytes < totalBytes) {
      throw this.#error("cut", `it ended after ${part.sizeBytes} of ${totalBytes} bytes`);
    }
  }

  async #readSome(
    reader: ReadableStreamDefaultReader<Uint8Array>,
  ): Promise<Uint8Array | undefined> {
    const timeoutMs = this.#request.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
    const idle = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => idle.reject(this.#error("idle", `nothing came for ${timeoutMs} ms`)),
      timeoutMs,
    );
    try {
      const part = await Promise.race([reader.read(), idle.promise]);
      return part.done ? undefined : part.value;
    } catch (cause) {
      this.#request.signal.throwIfAborted();
      if (cause instanceof DownloadError) {
        await reader.cancel().catch(() => {});
        throw cause;
      }
      throw this.#error("cut", reasonOf(cause), { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  #recordOf(response: Response, answeredBytes: number | undefined): PartRecord {
    const { url, expectedSha256, expectedBytes } = this.#request;
    const etag = strongEtag(response.headers.get("etag"));
    const totalBytes = answeredBytes ?? expectedBytes;
    return {
      url,
      ...(etag === undefined ? {} : { etag }),
      ...(expectedSha256 === undefined ? {} : { sha256: expectedSha256 }),
      ...(totalBytes === undefined ? {} : { totalBytes }),
    };
  }

  async #checkSize(part: PartFile, totalBytes: number | undefined): Promise<void> {
    const { expectedBytes, maxBytes } = this.#request;
    if (totalBytes === undefined) return;
    const isWrong = expectedBytes !== undefined && totalBytes !== expectedBytes;
    if (!isWrong && totalBytes <= maxBytes) return;
    await part.discard();
    const wanted = isWrong ? `${expectedBytes} are wanted` : `at most ${maxBytes} are accepted`;
    throw this.#error("size", `the server has ${totalBytes} bytes, ${wanted}`);
  }

  #isComplete(part: PartFile): boolean {
    const totalBytes = this.#request.expectedBytes ?? part.record?.totalBytes;
    return part.sizeBytes > 0 && part.sizeBytes === totalBytes;
  }

  async #check(part: PartFile): Promise<string> {
    const found = part.digest();
    const wanted = this.#request.expectedSha256;
    if (wanted === undefined || found === wanted) return found;
    await part.discard();
    throw this.#error("digest", `its SHA-256 is ${found}, ${wanted} is wanted; it was thrown away`);
  }

  #isWorthRetrying(error: unknown): boolean {
    if (!(error instanceof DownloadError)) return false;
    if (error.failure === "cut" || error.failure === "idle") return true;
    if (error.failure === "status") return isPassingStatus(error.status ?? 0);
    // A name that does not resolve at the first try will not at the second: other sources wait.
    return error.failure === "unreachable" && this.#hasReached;
  }

  async #pause(error: unknown, fruitless: number): Promise<void> {
    const wish = error instanceof DownloadError ? error.retryAfterMs ?? 0 : 0;
    const ownMs = backoffMs(Math.max(0, fruitless - 1), this.#ports.rng, BACKOFF);
    log.debug("Trying again: {reason}", { reason: messageOf(error) });
    await this.#ports.wait(Math.max(wish, ownMs), this.#request.signal);
  }

  #refused(verdict: { readonly status: number; readonly retryAfterMs?: number }): DownloadError {
    return this.#error("status", `the server answered ${verdict.status}`, verdict);
  }

  /** A full disk is told in a sentence; everything else that the disk refuses, too. */
  #explain(error: unknown): unknown {
    if (this.#request.signal.aborted) return this.#request.signal.reason;
    if (error instanceof DownloadError) return error;
    const code = (error as { code?: unknown } | null)?.code;
    const folder = dirname(this.#request.destination);
    if (code === "ENOSPC" || code === "EDQUOT") {
      const reason = `the disk of "${folder}" is full; free some space and start again, ` +
        "what has arrived is kept";
      return this.#error("disk-full", reason, { cause: error });
    }
    if (code === undefined) return error;
    return this.#error("disk", `"${folder}" cannot be written: ${messageOf(error)}`, {
      cause: error,
    });
  }

  #error(
    failure: DownloadError["failure"],
    reason: string,
    options: ErrorOptions & { readonly status?: number; readonly retryAfterMs?: number } = {},
  ): DownloadError {
    return new DownloadError(failure, reason, { ...options, url: this.#request.url });
  }

  #report(doneBytes: number, more: { totalBytes?: number; isDone?: boolean }): void {
    clearTimeout(this.#lateReport);
    const nowMs = performance.now();
    const restMs = REPORT_INTERVAL_MS - (nowMs - this.#reportedMs);
    if (more.isDone !== true && restMs > 0) {
      // Said later if nothing else comes: a download that stalls must not show less than it has.
      this.#lateReport = setTimeout(() => this.#report(doneBytes, more), restMs);
      return;
    }
    this.#reportedMs = nowMs;
    const { what, source } = this.#request;
    this.#request.report({ what, source, doneBytes, ...more });
  }
}

/** The innermost reason: what `fetch` throws wraps it several times, and names the whole URL. */
function reasonOf(cause: unknown): string {
  let inner = cause;
  for (let depth = 0; depth < 5 && inner instanceof Error && inner.cause instanceof Error;) {
    inner = inner.cause;
    depth += 1;
  }
  const text = messageOf(inner).replace(/^error sending request for url .*?\(Connect\): /, "");
  return text.replaceAll(/https?:\/\/[^\s)]+/g, (url) => shownUrl(url));
}
