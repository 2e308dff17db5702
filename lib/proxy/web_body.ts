import type { BodySink, IncomingBody } from "../base/http_door.ts";

/** For requests that came without a connection: their client never leaves. */
export const NEVER_GONE: AbortSignal = new AbortController().signal;

/** The body of a plain `Request`, for apps that are called without a server in front. */
export function bodyOfRequest(request: Request): IncomingBody {
  const declared = request.headers.get("content-length");
  return {
    declaredBytes: declared === null ? undefined : Number(declared),
    read(sink) {
      const reader = request.body?.getReader();
      if (reader === undefined) {
        sink.end();
        return () => {};
      }
      void deliver(reader, sink);
      return () => void reader.cancel().catch(() => {});
    },
  };
}

async function deliver(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  sink: BodySink,
): Promise<void> {
  try {
    for (let step = await reader.read(); !step.done; step = await reader.read()) {
      sink.chunk(step.value);
    }
    sink.end();
  } catch (error) {
    sink.fail(error instanceof Error ? error : new Error(String(error)));
  }
}
