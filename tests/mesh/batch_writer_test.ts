import assert from "node:assert/strict";
import fc from "fast-check";
import { joined } from "~/base/bytes.ts";
import { BatchWriter } from "~/mesh/batch_writer.ts";
import { ByteSink } from "#support/byte_sink.ts";
import { settle } from "#support/link_peers.ts";

function fails(): never {
  throw new Error("nothing was to fail");
}

Deno.test("everything is written once, in order, whenever it was pushed", async () => {
  const pieces = fc.array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 60 }), fc.nat(2)));
  await fc.assert(fc.asyncProperty(pieces, async (pushed) => {
    const sink = new ByteSink();
    const writer = new BatchWriter(sink, fails);
    for (const [piece, turns] of pushed) {
      writer.push(piece);
      for (let turn = 0; turn < turns; turn += 1) await Promise.resolve();
    }
    await writer.drained();
    assert.deepEqual(joined(sink.written), joined(pushed.map(([piece]) => piece)));
    assert.equal(writer.queuedBytes, 0);
  }));
});

Deno.test("what is pushed in one turn goes in one piece, of 64 KiB at most; large ones are not copied", async () => {
  const sink = new ByteSink();
  const writer = new BatchWriter(sink, fails);
  for (let count = 0; count < 100; count += 1) writer.push(new Uint8Array(1_000));
  const large = new Uint8Array(200_000);
  writer.push(large);
  await writer.drained();
  assert.deepEqual(sink.written.map((piece) => piece.length), [65_000, 35_000, 200_000]);
  assert.equal(sink.written.at(-1), large);
});

Deno.test("drained waits for what was pushed meanwhile, too", async () => {
  const sink = new ByteSink({ isOpen: false });
  const writer = new BatchWriter(sink, fails);
  writer.push(Uint8Array.of(1));
  let isDrained = false;
  const drained = writer.drained().then(() => isDrained = true);
  await settle();
  writer.push(Uint8Array.of(2));
  assert.deepEqual([isDrained, writer.queuedBytes], [false, 2]);
  sink.open();
  await drained;
  assert.deepEqual([...joined(sink.written)], [1, 2]);
});

Deno.test("a stream that takes no more is told of once, and nothing is kept for it", async () => {
  const sink = new ByteSink({ isOpen: false });
  let failures = 0;
  const writer = new BatchWriter(sink, () => failures += 1);
  writer.push(Uint8Array.of(1));
  await settle();
  writer.push(Uint8Array.of(2));
  sink.fail();
  await writer.drained();
  writer.push(Uint8Array.of(3));
  await writer.drained();
  assert.deepEqual([failures, writer.queuedBytes, sink.written], [1, 0, []]);
});

Deno.test("a writer that was stopped says nothing of the failure that follows", async () => {
  const sink = new ByteSink({ isOpen: false });
  const writer = new BatchWriter(sink, fails);
  writer.push(Uint8Array.of(1));
  await settle();
  writer.stop();
  sink.fail();
  await writer.drained();
  assert.equal(writer.queuedBytes, 0);
});
