/**
 * Reads one HTTP/1.1 answer (RFC 9112) from bytes as they arrive. Pure and strict: an engine that says
 * something ambiguous is not understood, instead of being guessed at.
 *
 * @module
 */

import { joined } from "../base/bytes.ts";
import { ChunkDecoder } from "../base/http1_chunks.ts";
import {
  hasConnectionOption,
  HeadCollector,
  type HeaderField,
  HttpFormatError,
  readFraming,
  readHeaders,
} from "../base/http1_head.ts";

/** Largest head of an answer; llama-server's has about 300 bytes. */
const HEAD_BYTES_MAX = 32 * 1024;
/** Informational answers (1xx) before the real one. */
const INTERIM_MAX = 16;

// deno-lint-ignore no-control-regex -- control characters are what is kept out
const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: [\x09\x20-\x7e\x80-\xff]*)?$/;
const NOTHING = new Uint8Array(0);

/** The beginning of an answer. */
export interface ResponseHead {
  readonly status: number;
  /** Names in lower case, in the order in which they came. */
  readonly headers: readonly HeaderField[];
  /** Length of the body where it is known beforehand. */
  readonly lengthBytes: number | undefined;
}

type BodyState =
  | { readonly kind: "length"; leftBytes: number }
  | { readonly kind: "close" }
  | { readonly kind: "chunks"; readonly decoder: ChunkDecoder }
  | { readonly kind: "complete" };

/** Feeds on bytes; one parser for one answer. */
export class ResponseParser {
  readonly #hasBody: boolean;
  #head: ResponseHead | undefined;
  #mayKeep = false;
  #interims = 0;
  readonly #collector = new HeadCollector(HEAD_BYTES_MAX);
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
      if (after === undefined) return NOTHING;
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
    if (!this.isComplete) throw new HttpFormatError("it ended too early");
  }

  /** Returns what follows the head, or undefined while it is not complete. */
  #pushHead(bytes: Uint8Array): Uint8Array | undefined {
    const cut = this.#collector.push(bytes);
    if (cut !== undefined) this.#takeHead(cut.text);
    return cut?.rest;
  }

  #takeHead(text: string): void {
    const lines = text.split("\r\n");
    const match = STATUS_LINE.exec(lines[0] ?? "");
    if (match === null) throw new HttpFormatError("it does not begin like HTTP/1.1");
    const status = Number(match[2]);
    const headers = readHeaders(lines);
    if (status < 200) {
      this.#interims += 1;
      if (this.#interims > INTERIM_MAX || status === 101) {
        throw new HttpFormatError(`it has a status that was not asked for: ${status}`);
      }
      return;
    }
    const { lengthBytes, isChunked } = readFraming(headers);
    const hasBody = this.#hasBody && status !== 204 && status !== 304;
    // RFC 9112, 6.3.
    if (isChunked) this.#body = { kind: "chunks", decoder: new ChunkDecoder() };
    else if (lengthBytes === undefined) this.#body = { kind: "close" };
    else if (lengthBytes > 0) this.#body = { kind: "length", leftBytes: lengthBytes };
    if (!hasBody) this.#body = { kind: "complete" };
    this.#mayKeep = match[1] === "1" && this.#body.kind !== "close" &&
      !hasConnectionOption(headers, "close");
    this.#head = { status, headers, lengthBytes };
  }

  #pushBody(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    if (bytes.length === 0) return NOTHING;
    const body = this.#body;
    switch (body.kind) {
      case "close":
        return bytes.slice();
      case "length": {
        body.leftBytes -= bytes.length;
        if (body.leftBytes < 0) throw tooLong();
        if (body.leftBytes === 0) this.#body = { kind: "complete" };
        return bytes.slice();
      }
      case "chunks":
        return this.#pushChunks(bytes, body.decoder);
      case "complete":
        throw tooLong();
    }
  }

  #pushChunks(bytes: Uint8Array, decoder: ChunkDecoder): Uint8Array<ArrayBuffer> {
    const pieces: Uint8Array[] = [];
    const rest = decoder.push(bytes, (piece) => pieces.push(piece));
    if (rest.length > 0) throw tooLong();
    if (decoder.isComplete) this.#body = { kind: "complete" };
    const [only = NOTHING] = pieces;
    return pieces.length > 1 ? joined(pieces) : only.slice();
  }
}

function tooLong(): HttpFormatError {
  return new HttpFormatError("it has bytes after its end");
}
