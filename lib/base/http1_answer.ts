/**
 * Writes HTTP/1.1 answers (RFC 9112) as bytes. Pure.
 *
 * @module
 */

/** Reason phrases of the statuses that are in use here; clients look at the number only. */
const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  202: "Accepted",
  204: "No Content",
  304: "Not Modified",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  417: "Expectation Failed",
  429: "Too Many Requests",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};

/** Most answers with their heads, and all tokens. */
const SCRATCH_BYTES = 4 * 1024;
const CR = 13;
const LF = 10;
const ENCODER = new TextEncoder();

/** The end of a body in chunks, without trailers. */
export const LAST_CHUNK: Uint8Array = ENCODER.encode("0\r\n\r\n");
/** Tells a client that its body is wanted. */
export const CONTINUE: Uint8Array = ENCODER.encode("HTTP/1.1 100 Continue\r\n\r\n");
/** Tells nothing; clients skip it (RFC 2518, 10.1). */
export const PROCESSING: Uint8Array = ENCODER.encode("HTTP/1.1 102 Processing\r\n\r\n");

/** The first line of an answer. */
export function statusLine(status: number): string {
  return `HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n`;
}

/**
 * Room for bytes that are written before anything else is put there. An array of its own for every piece
 * would cost more than filling it. What is larger gets one all the same.
 */
export function makeScratch(): Uint8Array {
  return new Uint8Array(SCRATCH_BYTES);
}

function room(sizeBytes: number, scratch: Uint8Array | undefined): Uint8Array {
  return scratch === undefined || sizeBytes > scratch.length
    ? new Uint8Array(sizeBytes)
    : scratch.subarray(0, sizeBytes);
}

/**
 * A head, and the body behind it, in one array.
 *
 * @param head one character for each byte, as values of `Headers` are; with the empty line at its end
 */
export function headWithBody(
  head: string,
  body: Uint8Array | undefined,
  scratch?: Uint8Array,
): Uint8Array {
  const bytes = room(head.length + (body?.length ?? 0), scratch);
  for (let at = 0; at < head.length; at += 1) bytes[at] = head.charCodeAt(at);
  if (body !== undefined) bytes.set(body, head.length);
  return bytes;
}

/** A piece of a body as one chunk. An empty piece would end the body: there must be something in it. */
export function asChunk(piece: Uint8Array, scratch?: Uint8Array): Uint8Array {
  const size = piece.length.toString(16);
  const from = size.length + 2;
  const bytes = room(from + piece.length + 2, scratch);
  for (let at = 0; at < size.length; at += 1) bytes[at] = size.charCodeAt(at);
  bytes[from - 2] = CR;
  bytes[from - 1] = LF;
  bytes.set(piece, from);
  bytes[from + piece.length] = CR;
  bytes[from + piece.length + 1] = LF;
  return bytes;
}
