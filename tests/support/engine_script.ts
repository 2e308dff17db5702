/** The words in which tests tell an engine behind an upstream what to do. */
import type { HeadersView } from "~/base/field_list.ts";
import type { Upstream } from "~/proxy/ports.ts";

/** What the engine behind the upstream does with one request. */
export interface EngineScript {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Undefined: no Content-Length, so pieces come as a stream. */
  readonly whole?: Uint8Array<ArrayBuffer>;
  /** Pieces of a stream; each is written when the one before was taken. */
  readonly pieces?: () => AsyncIterable<Uint8Array<ArrayBuffer>>;
  /** Cut the connection instead of an answer, or after the pieces. */
  readonly cut?: "before the head" | "after the pieces";
  /** Never answer. */
  readonly isSilent?: boolean;
}

/** What the engine saw of one request. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: HeadersView;
  readonly body: Uint8Array;
  /** Resolves when the client has gone before its answer was complete. */
  readonly cancelled: Promise<void>;
}

/** An upstream with an engine behind it that follows scripts. */
export interface UpstreamFixture extends AsyncDisposable {
  readonly upstream: Upstream;
  /** The next request gets this answer; resolves when it was seen. */
  script(script: EngineScript): Promise<SeenRequest>;
  /** Leads to nobody. */
  readonly nowhere: Upstream;
}

/** Collects a body. */
export async function wholeOf(
  body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>> | null,
): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await new Response(body).arrayBuffer());
}
