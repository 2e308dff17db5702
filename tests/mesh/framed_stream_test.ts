import assert from "node:assert/strict";
import fc from "fast-check";
import { joined } from "~/base/bytes.ts";
import { InvariantError } from "~/base/errors.ts";
import { FramedStream, type StreamHost } from "~/mesh/framed_stream.ts";
import { StreamBrokenError, type StreamFrame } from "~/mesh/link_ports.ts";
import { DATA_BYTES_MAX, HEAD_BYTES_MAX } from "~/mesh/stream_codec.ts";
import { settle } from "#support/link_peers.ts";
import { MemoryNetwork } from "#support/memory_transport.ts";
import { VirtualTime } from "#support/virtual_time.ts";

class Host implements StreamHost {
  readonly timers: VirtualTime;
  isCancelled = false;
  overs = 0;

  constructor(time: VirtualTime) {
    this.timers = time;
  }

  heard(): void {}

  cancelled(): void {
    this.isCancelled = true;
  }

  keep(): boolean {
    return false;
  }

  over(): void {
    this.overs += 1;
  }
}

/** Both ends of a stream; nobody carries CANCEL between them but the test. */
async function openPair() {
  const time = new VirtualTime();
  const network = new MemoryNetwork({ timers: time });
  const [a, b] = [network.open("192.0.2.1", "a"), network.open("192.0.2.2", "b")];
  const { signal } = new AbortController();
  const [dialer, listener] = await Promise.all([
    a.dial(b.address, { leafHash: "b", signal }),
    b.accept(),
  ]);
  const bytes = await dialer.openStream();
  await bytes.write(Uint8Array.of(0));
  const other = await listener?.acceptStream();
  await other?.read();
  assert.ok(other !== undefined);
  const [nearHost, farHost] = [new Host(time), new Host(time)];
  return {
    time,
    near: new FramedStream(bytes, nearHost),
    far: new FramedStream(other, farHost),
    nearHost,
    farHost,
    raw: bytes,
  };
}

async function readAll(stream: FramedStream): Promise<unknown[]> {
  const items: unknown[] = [];
  for (let frame = await stream.read(); frame !== undefined; frame = await stream.read()) {
    const last = items.at(-1);
    if (frame.kind === "head") items.push(frame.head);
    else if (last instanceof Uint8Array) items[items.length - 1] = joined([last, frame.bytes]);
    else items.push(Uint8Array.from(frame.bytes));
  }
  return items;
}

Deno.test("frames that are written without waiting arrive in order, whatever their size", async () => {
  const frame: fc.Arbitrary<StreamFrame> = fc.oneof(
    fc.nat().map((n): StreamFrame => ({ kind: "head", head: { n } })),
    fc.oneof(fc.nat(100), fc.constantFrom(16_384, 16_385, DATA_BYTES_MAX, DATA_BYTES_MAX + 1))
      .map((size): StreamFrame => ({ kind: "data", bytes: new Uint8Array(size).fill(size % 251) })),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(frame, { maxLength: 8 }), async (frames) => {
      const { near, far, nearHost, farHost } = await openPair();
      const writes = [...frames.map((each) => near.write(each)), near.end(), near.end()];
      const got = await readAll(far);
      await Promise.all(writes);
      const expected: unknown[] = [];
      for (const each of frames) {
        const last = expected.at(-1);
        if (each.kind === "head") expected.push(each.head);
        else if (each.bytes.length === 0) continue;
        else if (last instanceof Uint8Array) {
          expected[expected.length - 1] = joined([last, each.bytes]);
        } else expected.push(each.bytes);
      }
      assert.deepEqual(got, expected);
      await far.end();
      assert.deepEqual(await readAll(near), []);
      await settle(3);
      assert.deepEqual([nearHost.overs, farHost.overs], [1, 1]);
      assert.deepEqual([near.broken.aborted, far.broken.aborted], [false, false]);
    }),
    { numRuns: 50 },
  );
});

Deno.test("an end of bytes without END is a break; so is one before our own END", async () => {
  const cut = await openPair();
  await cut.raw.end();
  await assert.rejects(cut.far.read(), StreamBrokenError);
  assert.equal(cut.far.broken.aborted, true);
  const early = await openPair();
  await early.near.end();
  await early.raw.end();
  assert.equal(await early.far.read(), undefined);
  await settle();
  assert.equal(early.far.broken.aborted, true);
  await assert.rejects(early.far.write({ kind: "head", head: {} }), StreamBrokenError);
  assert.equal(early.farHost.overs, 1);
});

Deno.test("cancel frees both directions at once, tells the host once, and is not a break to us", async () => {
  const { near, nearHost } = await openPair();
  const read = near.read();
  const write = near.write({ kind: "data", bytes: new Uint8Array(10_000_000) });
  await settle();
  near.cancel();
  near.cancel();
  await assert.rejects(read, StreamBrokenError);
  await assert.rejects(write, StreamBrokenError);
  await assert.rejects(near.end(), StreamBrokenError);
  assert.deepEqual([nearHost.isCancelled, nearHost.overs, near.broken.aborted], [true, 1, false]);
});

Deno.test("a cancel after both ENDs is none", async () => {
  const { near, far, nearHost, farHost } = await openPair();
  await Promise.all([near.end(), far.end()]);
  assert.deepEqual([await readAll(near), await readAll(far)], [[], []]);
  near.cancel();
  far.breakOff("the link ended");
  await settle();
  assert.deepEqual([nearHost.isCancelled, farHost.isCancelled], [false, false]);
  assert.equal(far.broken.aborted, false);
  assert.equal(await near.read(), undefined);
});

Deno.test("what a defect of ours would do is refused", async () => {
  const { near, far } = await openPair();
  await assert.rejects(
    near.write({ kind: "head", head: { long: "x".repeat(HEAD_BYTES_MAX) } }),
    RangeError,
  );
  await near.write({ kind: "head", head: { n: 1 } });
  await near.end();
  await assert.rejects(near.write({ kind: "head", head: {} }), InvariantError);
  assert.deepEqual(await readAll(far), [{ n: 1 }]);
  const read = near.read();
  await assert.rejects(near.read(), InvariantError);
  await far.end();
  assert.equal(await read, undefined);
});

Deno.test("small frames need not wait for the stream, up to 64 KiB; what is handed over may be used again", async () => {
  const { near, far, raw } = await openPair();
  // Fills the window: from here on nothing leaves.
  let isStuck = false;
  const filling = near.write({ kind: "data", bytes: new Uint8Array(1_249_900) });
  await filling;
  const bytes = new Uint8Array(1_000);
  let written = 0;
  while (!isStuck) {
    const write = near.write({ kind: "data", bytes: bytes.fill(written % 251) });
    isStuck = await Promise.race([write.then(() => false), settle().then(() => true)]);
    written += 1;
    assert.ok(written < 100, "the queue has no bound");
  }
  assert.ok(written > 50);
  const read = readAll(far);
  const ended = near.end();
  const [all] = await read as [Uint8Array];
  await ended;
  assert.equal(all.length, 1_249_900 + written * 1_000);
  for (let piece = 0; piece < written; piece += 1) {
    assert.equal(all[1_249_900 + piece * 1_000 + 500], piece % 251);
  }
  raw.abort();
});
