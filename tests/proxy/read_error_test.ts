import assert from "node:assert/strict";
import { readError } from "~/proxy/read_error.ts";

function answer(body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>> | null) {
  return { status: 500, headers: new Headers(), body };
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

Deno.test("readError() reads JSON, whole or in pieces, and nothing else", async () => {
  assert.deepEqual(await readError(answer(bytes('{"a":1}'))), { a: 1 });
  const pieces = ReadableStream.from([bytes('{"a"'), bytes(":2}")]);
  assert.deepEqual(await readError(answer(pieces as ReadableStream<Uint8Array<ArrayBuffer>>)), {
    a: 2,
  });
  assert.equal(await readError(answer(bytes("<html>"))), undefined);
  assert.equal(await readError(answer(null)), undefined);
});

Deno.test("readError() cancels an answer that does not end", async () => {
  const cancelled = Promise.withResolvers<void>();
  const endless = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull: (controller) => controller.enqueue(new Uint8Array(16 * 1024)),
    cancel: () => cancelled.resolve(),
  });
  assert.equal(await readError(answer(endless)), undefined);
  await cancelled.promise;
});
