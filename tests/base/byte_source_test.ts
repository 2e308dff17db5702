import assert from "node:assert/strict";
import { type ByteSource, sourceOf, streamOf } from "~/base/byte_source.ts";

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** A source of the given pieces that remembers what was done to it. */
class Pieces implements ByteSource {
  asked = 0;
  isCancelled = false;
  readonly #pieces: string[];
  readonly #failure: Error | undefined;

  constructor(pieces: readonly string[], failure?: Error) {
    this.#pieces = [...pieces];
    this.#failure = failure;
  }

  next(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    this.asked += 1;
    const piece = this.#pieces.shift();
    if (piece === undefined && this.#failure !== undefined) return Promise.reject(this.#failure);
    return Promise.resolve(piece === undefined ? undefined : bytesOf(piece));
  }

  cancel(): void {
    this.isCancelled = true;
  }
}

async function textOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  return await new Response(stream).text();
}

Deno.test("streamOf() brings the pieces in order, and asks for none before somebody reads", async () => {
  const pieces = new Pieces(["one ", "two ", "three"]);
  const stream = streamOf(pieces);
  await Promise.resolve();
  assert.equal(pieces.asked, 0);
  assert.equal(await textOf(stream), "one two three");
});

Deno.test("streamOf() breaks off where its source does", async () => {
  const stream = streamOf(new Pieces(["one"], new Error("cut")));
  await assert.rejects(textOf(stream), /cut/);
});

Deno.test("streamOf() cancels its source when its reader does", async () => {
  const pieces = new Pieces(["one", "two"]);
  await streamOf(pieces).cancel();
  assert.ok(pieces.isCancelled);
});

Deno.test("sourceOf() is what the stream was made over, through a Response too", () => {
  const pieces = new Pieces([]);
  const stream = streamOf(pieces);
  assert.equal(sourceOf(stream), pieces);
  const { body } = new Response(streamOf(pieces), { status: 200 });
  assert.ok(body !== null);
  assert.equal(sourceOf(body), pieces);
});

Deno.test("sourceOf() reads streams that others made, and cancels them", async () => {
  const source = sourceOf(ReadableStream.from([bytesOf("a"), bytesOf("b")]));
  assert.deepEqual(await source.next(), bytesOf("a"));
  assert.deepEqual(await source.next(), bytesOf("b"));
  assert.equal(await source.next(), undefined);
  let reason: unknown;
  const endless = sourceOf(new ReadableStream({ cancel: () => void (reason = "cancelled") }));
  await endless.cancel();
  assert.equal(reason, "cancelled");
});
