/**
 * Reads one HTTP/1.1 answer (RFC 9112) from bytes as they arrive. Pure and strict: an engine that says
 * something ambiguous is not understood, instead of being guessed at.
 *
 * @module
 */

import { joined } from "../base/bytes.ts";

/** Largest head of an answer; llama-server's has about 300 bytes. */
const HEAD_BYTES_MAX = 32 * 1024;
/** Most headers of an answer. */
const HEADERS_MAX = 128;
/** Largest line that tells a chunk's size, extensions included; and all trailers together. */
const CHUNK_LINE_BYTES_MAX = 4 * 1024;
/** Informational answers (1xx) before the real one. */
const INTERIM_MAX = 16;

const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: [^\r\n\0]*)?$/;
const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*$/;
const CHUNK_LINE = /^([0-9A-Fa-f]{1,12})[ \t]*(?:;[^\r\n\0]*)?$/;
const LENGTH = /^\d{1,15}$/;
const CR = 13;
const LF = 10;

/** The bytes are no answer that could be understood. */
export class HttpFormatError extends SyntaxError {
  override readonly name = "HttpFormatError";
}

/** The beginning of an answer. */
export interface ResponseHead {
  readonly status: number;
  /** Names in lower case, in the order in which they came. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Length of the body where it is known beforehand. */
  readonly lengthBytes: number | undefined;
}

type BodyState =
  | { kind: "length"; leftBytes: number }
  | { kind: "close" }
  | { kind: "chunk-line" }
  | { kind: "chunk-data"; leftBytes: number }
  | { kind: "chunk-end" }
  | { kind: "trailers"; leftBytes: number }
  | { kind: "complete" };

const LATIN1 = new TextDecoder("latin1");

/** Feeds on bytes; one parser for one answer. */
export class ResponseParser {
  readonly #hasBody: boolean;
  #head: ResponseHead | undefined;
  #mayKeep = false;
  #interims = 0;
  /** Bytes of the head, or of a line of the chunked coding, that are not complete yet. */
  #pending: Uint8Array = new Uint8Array(0);
  #body: BodyState = { kind: "complete" };

  /** @param options.hasBody false for the answer to HEAD, which has headers only. @default {true} */
  constructor(options: { readonly hasBody?: boolean } = {}) {
    this.#hasBody = options.hasBody ?? true;
  }

  /** The head, once it has arrived. */
  get head(): ResponseHead | undefined {
    return this.#head;
  }

  /** True when the whole answer has arrived. */
  get isComplete(): boolean {
    return this.#head !== undefined && this.#body.kind === "complete";
  }

  /** True when another request may be sent on the same connection. */
  get mayKeepConnection(): boolean {
    return this.isComplete && this.#mayKeep;
  }

  /**
   * Takes in what arrived; returns the bytes of the body in it, as bytes of its own.
   *
   * @throws {HttpFormatError} when this is no answer, or more than one
   */
  push(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    let rest = bytes;
    while (this.#head === undefined) {
      const after = this.#pushHead(rest);
      if (after === undefined) return new Uint8Array(0);
      rest = after;
    }
    return this.#pushBody(rest);
  }

  /**
   * The connection ended.
   *
   * @throws {HttpFormatError} when the answer is not complete
   */
  end(): void {
    if (this.#body.kind === "close") this.#body = { kind: "complete" };
    if (!this.isComplete) throw new HttpFormatError("The answer ended too early");
  }

  /** Returns what follows the head, or undefined while it is not complete. */
  #pushHead(bytes: Uint8Array): Uint8Array | undefined {
    const all = this.#pending.length === 0 ? bytes : joined([this.#pending, bytes]);
    const end = findHeadEnd(all);
    if (end > HEAD_BYTES_MAX || (end < 0 && all.length > HEAD_BYTES_MAX)) {
      throw new HttpFormatError(`The head of the answer is larger than ${HEAD_BYTES_MAX} bytes`);
    }
    if (end < 0) {
      this.#pending = all.slice();
      return undefined;
    }
    this.#pending = new Uint8Array(0);
    this.#takeHead(LATIN1.decode(all.subarray(0, end - 4)));
    return all.subarray(end);
  }

  #takeHead(text: string): void {
    const [first = "", ...lines] = text.split("\r\n");
    const match = STATUS_LINE.exec(first);
    if (match === null) throw new HttpFormatError("The answer does not begin like HTTP/1.1");
    const status = Number(match[2]);
    const headers = readHeaders(lines);
    if (status < 200) {
      this.#interims += 1;
      if (this.#interims > INTERIM_MAX || status === 101) {
        throw new HttpFormatError(`The answer has a status that was not asked for: ${status}`);
      }
      return;
    }
    const lengthBytes = readLength(headers);
    this.#body = this.#bodyOf(status, headers, lengthBytes);
    const connection = valuesOf(headers, "connection").join(",").toLowerCase();
    this.#mayKeep = match[1] === "1" && this.#body.kind !== "close" &&
      !connection.includes("close");
    this.#head = { status, headers, lengthBytes };
  }

  /** RFC 9112, 6.3. */
  #bodyOf(
    status: number,
    headers: ResponseHead["headers"],
    lengthBytes: number | undefined,
  ): BodyState {
    if (!this.#hasBody || status === 204 || status === 304) return { kind: "complete" };
    const codings = valuesOf(headers, "transfer-encoding").join(",").toLowerCase().trim();
    if (codings !== "") {
      if (codings !== "chunked" || lengthBytes !== undefined) {
        throw new HttpFormatError(
          "The length of the answer is told in a way that is not understood",
        );
      }
      return { kind: "chunk-line" };
    }
    if (lengthBytes === undefined) return { kind: "close" };
    return lengthBytes === 0 ? { kind: "complete" } : { kind: "length", leftBytes: lengthBytes };
  }

  #pushBody(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    const pieces: Uint8Array[] = [];
    let rest = bytes;
    while (rest.length > 0) {
      const body = this.#body;
      if (body.kind === "complete") throw new HttpFormatError("The answer has bytes after its end");
      if (body.kind === "close") {
        pieces.push(rest);
        break;
      }
      if (body.kind === "length" || body.kind === "chunk-data") {
        const piece = rest.subarray(0, body.leftBytes);
        pieces.push(piece);
        body.leftBytes -= piece.length;
        rest = rest.subarray(piece.length);
        if (body.leftBytes === 0) {
          this.#body = { kind: body.kind === "length" ? "complete" : "chunk-end" };
        }
      } else rest = this.#pushLine(rest, body);
    }
    const only = pieces[0];
    return only !== undefined && pieces.length === 1 ? only.slice() : joined(pieces);
  }

  /** Takes one line of the chunked coding; returns what follows it. */
  #pushLine(bytes: Uint8Array, body: BodyState): Uint8Array {
    const end = bytes.indexOf(LF);
    const line = end < 0 ? bytes : bytes.subarray(0, end + 1);
    if (this.#pending.length + line.length > CHUNK_LINE_BYTES_MAX) {
      throw new HttpFormatError("A line between the pieces of the answer is too long");
    }
    const whole = this.#pending.length === 0 ? line : joined([this.#pending, line]);
    if (end < 0) {
      this.#pending = whole.slice();
      return new Uint8Array(0);
    }
    this.#pending = new Uint8Array(0);
    if (whole.at(-2) !== CR) throw new HttpFormatError("A line of the answer has no proper end");
    this.#takeLine(LATIN1.decode(whole.subarray(0, -2)), body);
    return bytes.subarray(end + 1);
  }

  #takeLine(line: string, body: BodyState): void {
    if (body.kind === "chunk-end") {
      if (line !== "") throw new HttpFormatError("A piece of the answer is longer than it said");
      this.#body = { kind: "chunk-line" };
    } else if (body.kind === "trailers") {
      // What trailers say concerns nobody here; they are only bounded.
      const leftBytes = body.leftBytes - line.length - 2;
      if (leftBytes < 0) throw new HttpFormatError("The answer has too many trailers");
      this.#body = line === "" ? { kind: "complete" } : { kind: "trailers", leftBytes };
    } else {
      const size = CHUNK_LINE.exec(line)?.[1];
      if (size === undefined) {
        throw new HttpFormatError("A piece of the answer does not tell its size");
      }
      const leftBytes = Number.parseInt(size, 16);
      this.#body = leftBytes === 0
        ? { kind: "trailers", leftBytes: CHUNK_LINE_BYTES_MAX }
        : { kind: "chunk-data", leftBytes };
    }
  }
}

function findHeadEnd(bytes: Uint8Array): number {
  for (let at = bytes.indexOf(LF); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at - 1] === CR && bytes[at - 2] === LF && bytes[at - 3] === CR) return at + 1;
  }
  return -1;
}

function readHeaders(lines: readonly string[]): [string, string][] {
  if (lines.length > HEADERS_MAX) {
    throw new HttpFormatError(`The answer has more than ${HEADERS_MAX} headers`);
  }
  return lines.map((line) => {
    const match = HEADER_LINE.exec(line);
    if (match === null) throw new HttpFormatError("The answer has a header that is none");
    return [(match[1] ?? "").toLowerCase(), match[2] ?? ""];
  });
}

function readLength(headers: ResponseHead["headers"]): number | undefined {
  const values = new Set(valuesOf(headers, "content-length"));
  const [value] = values;
  if (value === undefined) return undefined;
  if (values.size > 1 || !LENGTH.test(value)) {
    throw new HttpFormatError("The length of the answer is told in a way that is not understood");
  }
  return Number(value);
}

function valuesOf(headers: ResponseHead["headers"], wanted: string): string[] {
  return headers.filter(([name]) => name === wanted).map(([, value]) => value);
}
