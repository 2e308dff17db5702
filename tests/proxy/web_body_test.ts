import assert from "node:assert/strict";
import type { BodySink } from "~/base/http_door.ts";
import { bodyOfRequest, NEVER_GONE } from "~/proxy/web_body.ts";

interface Collected {
  readonly sink: BodySink;
  readonly end: Promise<string>;
  readonly pieces: Uint8Array[];
}

function collect(): Collected {
  const { promise, resolve } = Promise.withResolvers<string>();
  const pieces: Uint8Array[] = [];
  const sink = {
    chunk: (bytes: Uint8Array) => void pieces.push(bytes),
    end: () => resolve("end"),
    fail: (cause: Error) => resolve(cause.message),
  };
  return { sink, end: promise, pieces };
}

function requestOf(body: BodyInit | null, headers: Record<string, string> = {}): Request {
  return new Request("http://localhost/", { method: "POST", body, headers });
}

Deno.test("bodyOfRequest() delivers a body and its declared size", async () => {
  const body = bodyOfRequest(requestOf("hello", { "content-length": "5" }));
  assert.equal(body.declaredBytes, 5);
  const { sink, end, pieces } = collect();
  body.read(sink);
  assert.equal(await end, "end");
  assert.equal(new TextDecoder().decode(pieces[0]), "hello");
});

Deno.test("bodyOfRequest() ends at once without a body", async () => {
  const body = bodyOfRequest(requestOf(null));
  assert.equal(body.declaredBytes, undefined);
  const { sink, end, pieces } = collect();
  body.read(sink);
  assert.equal(await end, "end");
  assert.equal(pieces.length, 0);
});

Deno.test("bodyOfRequest() tells a body that fails", async () => {
  const broken = new ReadableStream({ pull: (controller) => controller.error(new Error("cut")) });
  const { sink, end } = collect();
  bodyOfRequest(requestOf(broken)).read(sink);
  assert.equal(await end, "cut");
});

Deno.test("bodyOfRequest() cancels the rest of a body that is not wanted", async () => {
  const { promise: cancelled, resolve } = Promise.withResolvers<void>();
  const endless = new ReadableStream({
    pull: (controller) => controller.enqueue(new Uint8Array(1)),
    cancel: () => resolve(),
  });
  const { sink } = collect();
  bodyOfRequest(requestOf(endless)).read(sink)();
  await cancelled;
});

Deno.test("NEVER_GONE is not aborted", () => {
  assert.equal(NEVER_GONE.aborted, false);
});
