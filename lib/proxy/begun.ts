/**
 * Holds an answer back until the client can have something of it: the first event of a stream, or all of what comes
 * in one piece. Until then the client has seen nothing, and whatever fails can be asked anew elsewhere.
 */
import { type ByteSource, sourceOf, streamOf } from "../base/byte_source.ts";
import { joined } from "../base/bytes.ts";
import type { Call } from "./call.ts";
import type { UpstreamResponse } from "./ports.ts";
import { isEventStream } from "./sse.ts";

/** Of an answer that is no stream of events this much is gathered; a larger one is passed on as it comes. */
const GATHERED_BYTES_MAX = 2 * 1024 * 1024;

/**
 * Resolves when the answer has begun.
 *
 * @throws what breaks it off before that
 */
export async function begun(response: UpstreamResponse, call: Call): Promise<UpstreamResponse> {
  const { body, headers } = response;
  if (body === null || body instanceof Uint8Array) return response;
  const source = sourceOf(body);
  if (isEventStream(headers.get("content-type"))) {
    return { ...response, body: streamOf(after([await source.next()], source)) };
  }
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  let sizeBytes = 0;
  while (sizeBytes <= GATHERED_BYTES_MAX) {
    const piece = await source.next();
    if (piece === undefined) return { ...response, body: joined(pieces) };
    // Something came: now the silence between two pieces counts.
    if (pieces.length === 0) call.onHead();
    call.onWait();
    sizeBytes += piece.length;
    pieces.push(piece);
  }
  return { ...response, body: streamOf(after(pieces, source)) };
}

/** The pieces that are here, then what follows. */
function after(
  pieces: (Uint8Array<ArrayBuffer> | undefined)[],
  source: ByteSource,
): ByteSource {
  let at = 0;
  return {
    next: () => {
      if (at === pieces.length) return source.next();
      const piece = pieces[at];
      // After the end nothing is asked for.
      if (piece !== undefined) at += 1;
      return Promise.resolve(piece);
    },
    cancel: () => source.cancel(),
  };
}
