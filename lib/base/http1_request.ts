/**
 * Reads HTTP/1.1 requests (RFC 9112) from the bytes of a connection as they arrive. Pure; nobody knows what
 * sends them, so it is strict and everything has a bound. Bodies pass through and are never held.
 *
 * @module
 */
import { ChunkDecoder } from "./http1_chunks.ts";
import {
  hasConnectionOption,
  HeadCollector,
  type HeaderField,
  HttpFormatError,
  readFraming,
  readHeaders,
  valuesOf,
} from "./http1_head.ts";

/** The head of a request. */
export interface RequestHead {
  readonly method: string;
  /** Path and query, beginning with "/". */
  readonly target: string;
  readonly headers: readonly HeaderField[];
  /** Length of the body where it is known beforehand; 0 without a body. Undefined in front of chunks. */
  readonly lengthBytes: number | undefined;
  /** True when the client wants to be told whether to send its body. */
  readonly expectsContinue: boolean;
  /** True when it expects something that is not known: to be answered with 417 (RFC 9110, 10.1.1). */
  readonly expectsUnknown: boolean;
  /** False for HTTP/1.0, which knows no chunks and no informational answers. */
  readonly isHttp11: boolean;
  /** True when another request may follow on the connection. */
  readonly mayKeepConnection: boolean;
}

/** Is told what the bytes mean, in their order. */
export interface RequestSink {
  /** A request begins. False stops the parser for good. */
  onHead(head: RequestHead): boolean;
  /** A part of its body; valid during the call only. */
  onBody(bytes: Uint8Array): void;
  /** It is complete. False stops the parser for good. */
  onEnd(): boolean;
}

/** No method in use has more than 17 letters. */
const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) (\S+) HTTP\/1\.([01])$/;
const ORIGIN_FORM = /^\/[\x21\x22\x24-\x7e]*$/;
const ABSOLUTE_FORM = /^https?:\/\/([^/?#@]+)([/?].*)?$/i;

type Body =
  | { readonly kind: "length"; leftBytes: number }
  | { readonly kind: "chunks"; readonly decoder: ChunkDecoder };

/** Feeds on the bytes of one connection. */
export class RequestParser {
  readonly #sink: RequestSink;
  readonly #collector: HeadCollector;
  readonly #takeBody = (bytes: Uint8Array): void => this.#sink.onBody(bytes);
  #body: Body | undefined;
  #isStopped = false;

  constructor(sink: RequestSink, options: { readonly headBytesMax: number }) {
    this.#sink = sink;
    this.#collector = new HeadCollector(options.headBytesMax);
  }

  /** True while a part of a head has come. */
  get isInHead(): boolean {
    return this.#collector.hasBegun;
  }

  /** True while bytes of a body are to come. */
  get isInBody(): boolean {
    return this.#body !== undefined;
  }

  /**
   * Takes in what arrived; false when it was stopped before the end of that.
   *
   * @throws {HttpFormatError} when it is no request; what came before was told. Nothing may be pushed then.
   */
  push(bytes: Uint8Array): boolean {
    let rest = bytes;
    while (rest.length > 0 && !this.#isStopped) {
      rest = this.#body === undefined ? this.#pushHead(rest) : this.#pushBody(rest, this.#body);
    }
    return rest.length === 0;
  }

  #pushHead(bytes: Uint8Array): Uint8Array {
    const cut = this.#collector.push(bytes);
    if (cut === undefined) return bytes.subarray(bytes.length);
    const head = readRequestHead(cut.text);
    const { lengthBytes } = head;
    if (lengthBytes === undefined) this.#body = { kind: "chunks", decoder: new ChunkDecoder() };
    else if (lengthBytes > 0) this.#body = { kind: "length", leftBytes: lengthBytes };
    this.#isStopped = !this.#sink.onHead(head);
    if (!this.#isStopped && this.#body === undefined) this.#isStopped = !this.#sink.onEnd();
    return cut.rest;
  }

  #pushBody(bytes: Uint8Array, body: Body): Uint8Array {
    let rest: Uint8Array;
    if (body.kind === "chunks") rest = body.decoder.push(bytes, this.#takeBody);
    else {
      const piece = bytes.subarray(0, body.leftBytes);
      body.leftBytes -= piece.length;
      rest = bytes.subarray(piece.length);
      this.#sink.onBody(piece);
    }
    const isComplete = body.kind === "chunks" ? body.decoder.isComplete : body.leftBytes === 0;
    if (isComplete) {
      this.#body = undefined;
      this.#isStopped = !this.#sink.onEnd();
    }
    return rest;
  }
}

/**
 * Reads the text of a head.
 *
 * @throws {HttpFormatError} when it is none, or can be read in two ways
 */
function readRequestHead(text: string): RequestHead {
  // One empty line before a request is forgiven (RFC 9112, 2.2): old clients end bodies with it.
  const lines = (text.startsWith("\r\n") ? text.slice(2) : text).split("\r\n");
  const match = REQUEST_LINE.exec(lines[0] ?? "");
  if (match === null) throw new HttpFormatError("it does not begin like HTTP/1.1");
  const headers = readHeaders(lines);
  const isHttp11 = match[3] === "1";
  const { lengthBytes, isChunked } = readFraming(headers);
  if (isChunked && !isHttp11) throw new HttpFormatError("HTTP/1.0 knows no Transfer-Encoding");
  const hosts = valuesOf(headers, "host");
  // Two opinions about who is asked: the answer must be 400 (RFC 9112, 3.2).
  if (hosts.length > 1) throw new HttpFormatError("it has two Host headers");
  const expectations = isHttp11 ? valuesOf(headers, "expect") : [];
  return {
    method: match[1] ?? "",
    target: readTarget(match[2] ?? "", hosts[0]),
    headers,
    lengthBytes: isChunked ? undefined : lengthBytes ?? 0,
    expectsContinue: expectations.length > 0,
    expectsUnknown: expectations.some((value) => value.toLowerCase() !== "100-continue"),
    isHttp11,
    mayKeepConnection: isHttp11 && !hasConnectionOption(headers, "close"),
  };
}

/** The path that is asked for (RFC 9112, 3.2). A whole URL must name the same host as the header. */
function readTarget(target: string, host: string | undefined): string {
  if (ORIGIN_FORM.test(target)) return target;
  const match = ABSOLUTE_FORM.exec(target);
  const [, authority = "", rest = "/"] = match ?? [];
  const path = rest.startsWith("/") ? rest : `/${rest}`;
  if (match === null || !ORIGIN_FORM.test(path)) throw new HttpFormatError("its target is no path");
  if (authority.toLowerCase() !== host?.toLowerCase()) {
    throw new HttpFormatError("its target names another host than its Host header");
  }
  return path;
}
