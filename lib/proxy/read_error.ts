/** Reads what an upstream says beside an error status. */
import { sourceOf } from "../base/byte_source.ts";
import { joined } from "../base/bytes.ts";
import type { JsonValue } from "../base/json.ts";
import type { UpstreamResponse } from "./ports.ts";

/** Longest error answer of an engine that is read; real ones have a few hundred bytes. */
const ERROR_BYTES_MAX = 64 * 1024;

/** The body of an error answer as JSON; undefined when it is none, or endless. */
export async function readError(response: UpstreamResponse): Promise<JsonValue | undefined> {
  const { body } = response;
  if (body === null) return undefined;
  const bytes = body instanceof Uint8Array ? body : await readSome(body);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}

async function readSome(stream: ReadableStream<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const source = sourceOf(stream);
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  for (let piece = await source.next(); piece !== undefined; piece = await source.next()) {
    sizeBytes += piece.length;
    if (sizeBytes > ERROR_BYTES_MAX) {
      await source.cancel();
      return new Uint8Array(0);
    }
    pieces.push(piece);
  }
  return joined(pieces);
}
