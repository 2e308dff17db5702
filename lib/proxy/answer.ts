/** Turns an engine's answer into the client's. */
import { messageOf } from "../base/errors.ts";
import { type Call, ClientGoneError } from "./call.ts";
import { DoorError, engineErrorBody, errorResponse, jsonResponse } from "./errors.ts";
import type { Forwarded } from "./far_refusal.ts";
import { errorEvent, isEventStream, SseTail } from "./sse.ts";

/** Headers of the engine that mean something to clients; the rest belongs to its connection. */
const KEPT_HEADERS = ["content-type", "cache-control", "retry-after"] as const;
/** Status in the books of a request whose client left before there was an answer. */
const STATUS_CLIENT_GONE = 499;

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
  if (body === null || body instanceof Uint8Array) {
    call.onBytes(body?.length ?? 0);
    call.finish("answered", { status });
    headers["content-length"] = String(body?.length ?? 0);
    return new Response(body, { status, headers });
  }
  if (isEventStream(response.headers.get("content-type"))) {
    // Proxies in front of us must not collect events.
    headers["cache-control"] ??= "no-cache";
    headers["x-accel-buffering"] = "no";
    return new Response(relay(body, { call, status, tail: new SseTail() }), { status, headers });
  }
  return new Response(relay(body, { call, status, tail: undefined }), { status, headers });
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
  const reader = body.getReader();
  return new ReadableStream({
    // Returns nothing to wait for: each piece is passed on by its own promise, and there is one at a
    // time, since nothing is read before it is asked for.
    pull: (controller) => passOn(reader, controller, of),
    async cancel() {
      call.abort(new ClientGoneError());
      call.finish("client gone", { status });
      // The abort has broken the source already, or will.
      await reader.cancel().catch(() => {});
    },
  }, { highWaterMark: 0 });
}

type Controller = ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;

interface Relay {
  readonly call: Call;
  readonly status: number;
  readonly tail: SseTail | undefined;
}

function passOn(
  reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>,
  controller: Controller,
  of: Relay,
): void {
  of.call.onWait();
  reader.read().then((step) => {
    if (step.done) endWell(controller, of);
    else {
      of.call.onBytes(step.value.length);
      const bytes = of.tail === undefined ? step.value : of.tail.push(step.value);
      if (bytes.length > 0) controller.enqueue(bytes);
      else passOn(reader, controller, of);
    }
  }).catch((cause) => endBroken(cause, controller, of));
}

function endWell(controller: Controller, { call, status, tail }: Relay): void {
  if (call.isOver) return;
  const rest = tail?.finish();
  if (rest !== undefined && rest.length > 0) controller.enqueue(rest);
  call.finish("answered", { status });
  controller.close();
}

function endBroken(cause: unknown, controller: Controller, of: Relay): void {
  const { call, status, tail } = of;
  // After a cancel there is nobody left to tell.
  if (call.isOver) return;
  const reason = call.signal.aborted ? call.signal.reason : cause;
  if (reason instanceof ClientGoneError) {
    call.finish("client gone", { status });
    controller.error(reason);
    return;
  }
  const error = reason instanceof DoorError ? reason : new DoorError(
    "upstream_failed",
    `The answer broke off: ${messageOf(reason)}`,
    { cause: reason },
  );
  call.finish("broken", { status, code: error.code });
  if (tail === undefined) {
    controller.error(error);
    return;
  }
  const isNamed = call.dialect === "anthropic" || call.endpoint.endsWith("/responses");
  controller.enqueue(tail.fail(errorEvent(error, { dialect: call.dialect, isNamed })));
  controller.close();
}
