/** Turns an engine's answer into the client's. */
import { sourceOf, streamOf } from "../base/byte_source.ts";
import { joined } from "../base/bytes.ts";
import { messageOf } from "../base/errors.ts";
import { wholeResponse } from "../base/whole_response.ts";
import { type Call, ClientGoneError } from "./call.ts";
import { DoorError, engineErrorBody, errorResponse, jsonResponse } from "./errors.ts";
import type { Forwarded } from "./far_refusal.ts";
import { alreadyCut, errorEvent, type EventCutter, isEventStream, SseTail } from "./sse.ts";

/** Headers of the engine that mean something to clients; the rest belongs to its connection. */
const KEPT_HEADERS = ["content-type", "cache-control", "retry-after"] as const;
/** Status in the books of a request whose client left before there was an answer. */
const STATUS_CLIENT_GONE = 499;
const NOTHING = new Uint8Array(0);

/** The answer to pass on. Ends the call when the last byte is on its way, or before. */
export function answerOf(forwarded: Forwarded, call: Call): Response {
  const { response, target } = forwarded;
  const headers: Record<string, string> = { "x-mesh-llm-node": target.nodeId };
  for (const name of KEPT_HEADERS) {
    const value = response.headers.get(name);
    if (value !== null) headers[name] = value;
  }
  if (response.status >= 400) return engineError(forwarded, call, headers);
  const { status, body } = response;
  const { onComplete } = forwarded;
  if (body === null || body instanceof Uint8Array) {
    call.onBytes(body?.length ?? 0);
    if (body !== null) onComplete?.(body);
    call.finish("answered", { status });
    if (body !== null) return wholeResponse(body, { status, headers });
    headers["content-length"] = "0";
    return new Response(null, { status, headers });
  }
  if (isEventStream(response.headers.get("content-type"))) {
    // Proxies in front of us must not collect events.
    headers["cache-control"] ??= "no-cache";
    headers["x-accel-buffering"] = "no";
    return new Response(
      relay(body, { call, status, onComplete, tail: cutterFor(forwarded, call) }),
      {
        status,
        headers,
      },
    );
  }
  const of = { call, status, onComplete, tail: undefined };
  return new Response(relay(body, of), { status, headers });
}

/** The node that asked cuts at whole events itself, and gets breaks as they are. */
function cutterFor({ fail }: Forwarded, call: Call): EventCutter | undefined {
  if (call.isForPeer) return undefined;
  return fail === undefined ? new SseTail() : alreadyCut(fail);
}

/** The answer to a call that ended with `error`. */
export function failureResponse(error: unknown, call: Call): Response {
  if (error instanceof ClientGoneError || call.signal.reason instanceof ClientGoneError) {
    call.finish("client gone", { status: STATUS_CLIENT_GONE });
    return new Response(null, { status: STATUS_CLIENT_GONE });
  }
  if (!(error instanceof DoorError)) {
    call.finish("refused", { status: 500, code: "internal_error" });
    throw error;
  }
  call.finish("refused", { status: error.status, code: error.code });
  return errorResponse(error, call.dialect);
}

function engineError(
  { response, error }: Forwarded,
  call: Call,
  headers: Record<string, string>,
): Response {
  // Our own key towards the engine is not the client's business.
  if (response.status === 401 || response.status === 403) {
    throw new DoorError("upstream_failed", `The engine answered with status ${response.status}`);
  }
  call.finish("answered", { status: response.status });
  return jsonResponse(engineErrorBody(response.status, error, call.dialect), {
    status: response.status,
    headers,
  });
}

/**
 * Passes a stream on, piece by piece and only as fast as the client takes it. When it breaks off, a
 * stream of events gets an error event; any other is broken off too, since its client can only tell
 * from that.
 */
function relay(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  of: Relay,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const { call, status } = of;
  const source = sourceOf(body);
  return streamOf({
    async next() {
      try {
        // After the last words, or a cancel, there is nothing to say.
        while (!call.isOver) {
          call.onWait();
          const bytes = passOn(await source.next(), of);
          if (bytes.length > 0) return bytes;
        }
        return undefined;
      } catch (cause) {
        return call.isOver ? undefined : lastWords(cause, of);
      }
    },
    async cancel() {
      call.abort(new ClientGoneError());
      call.finish("client gone", { status });
      try {
        await source.cancel();
      } catch {
        // The abort has broken the source already.
      }
    },
  });
}

interface Relay {
  readonly call: Call;
  readonly status: number;
  readonly tail: EventCutter | undefined;
  readonly onComplete: ((tail: Uint8Array) => void) | undefined;
  /** The last two pieces: the engine's figures may be in one and the end mark in the next. */
  last?: Uint8Array;
  lastButOne?: Uint8Array | undefined;
}

/** What of a piece goes to the client now; after the last one the call is over. */
function passOn(piece: Uint8Array<ArrayBuffer> | undefined, of: Relay): Uint8Array<ArrayBuffer> {
  const { call, status, tail } = of;
  if (call.isOver) return NOTHING;
  if (piece === undefined) {
    const rest = tail?.finish() ?? NOTHING;
    of.onComplete?.(joined([of.lastButOne ?? NOTHING, of.last ?? NOTHING]));
    call.finish("answered", { status });
    return rest;
  }
  call.onBytes(piece.length);
  of.lastButOne = of.last;
  of.last = piece;
  return tail === undefined ? piece : tail.push(piece);
}

/** What a stream that broke off ends with: an event that says so, or the break itself. */
function lastWords(cause: unknown, { call, status, tail }: Relay): Uint8Array<ArrayBuffer> {
  const reason = call.signal.aborted ? call.signal.reason : cause;
  if (reason instanceof ClientGoneError) {
    call.finish("client gone", { status });
    throw reason;
  }
  if (call.isForPeer && !call.signal.aborted) {
    // The node that asked has other ways to go on: a break is what it must see.
    call.finish("broken", { status, code: "upstream_failed" });
    throw reason;
  }
  const error = reason instanceof DoorError ? reason : new DoorError(
    "upstream_failed",
    `The answer broke off: ${messageOf(reason)}`,
    { cause: reason },
  );
  call.finish("broken", { status, code: error.code });
  if (tail === undefined) throw error;
  const isNamed = call.dialect === "anthropic" || call.endpoint.endsWith("/responses");
  return tail.fail(errorEvent(error, { dialect: call.dialect, isNamed }));
}
