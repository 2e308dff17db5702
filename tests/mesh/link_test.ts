import assert from "node:assert/strict";
import fc from "fast-check";
import { joined } from "~/base/bytes.ts";
import type { ControlMessage } from "~/mesh/control.ts";
import { controlFrames, readControl } from "~/mesh/control_codec.ts";
import { FrameStream } from "~/mesh/frame_stream.ts";
import { dialHandshake } from "~/mesh/handshake.ts";
import type { MeshLink } from "~/mesh/link.ts";
import { LinkClosedError, StreamBrokenError } from "~/mesh/link_ports.ts";
import { endFrame, headFrame, REQUEST_STREAM, streamPrefix } from "~/mesh/stream_codec.ts";
import type { ByteStream, Connection } from "~/mesh/transport.ts";
import { jsonFrame, readJsonObject } from "~/mesh/wire.ts";
import { Recorder, settle, TestPeer } from "#support/link_peers.ts";
import { MemoryNetwork, type MemoryTransport } from "#support/memory_transport.ts";
import { standInId } from "#support/stand_in_signer.ts";
import { VirtualTime } from "#support/virtual_time.ts";

/** Two nodes, a network between them and no time but what the test lets pass. */
class World {
  readonly time = new VirtualTime();
  readonly network = new MemoryNetwork({ timers: this.time });
  readonly a: TestPeer;
  readonly b: TestPeer;
  readonly atB: MemoryTransport;

  constructor() {
    const { time } = this;
    this.a = new TestPeer("a", {
      transport: this.network.open("192.0.2.1", standInId("la")),
      time,
    });
    this.atB = this.network.open("192.0.2.2", standInId("lb"));
    this.b = new TestPeer("b", { transport: this.atB, time });
  }

  async link(): Promise<{ a: MeshLink; b: MeshLink; atA: Recorder; atB: Recorder }> {
    const [a, b] = await Promise.all([this.a.dial(this.b, this.atB.address), this.b.accept()]);
    const [atA, atB] = [new Recorder(), new Recorder()];
    a.start(atA);
    b.start(atB);
    return { a, b, atA, atB };
  }

  /** A link of b with a program that is proved and then does what it likes. */
  async rogue(): Promise<{ b: MeshLink; atB: Recorder; rogue: Rogue }> {
    const accepting = this.b.accept();
    const connection = await this.a.connect(this.b, this.atB.address);
    const rogue = new Rogue(connection, await connection.openStream());
    await rogue.prove(this.a, this.b);
    const b = await accepting;
    const atB = new Recorder();
    b.start(atB);
    return { b, atB, rogue };
  }

  /** Lets time pass in small steps, so that both sides get their turns. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 250) {
      this.time.advance(Math.min(left, 250));
      await settle(3);
    }
  }
}

class Rogue {
  readonly connection: Connection;
  readonly control: ByteStream;
  readonly frames: FrameStream;

  constructor(connection: Connection, control: ByteStream) {
    this.connection = connection;
    this.control = control;
    this.frames = new FrameStream(control);
  }

  async prove(self: TestPeer, other: TestPeer): Promise<void> {
    await dialHandshake({
      send: (json) => this.control.write(jsonFrame(json)),
      receive: async () => readJsonObject(await this.frames.next(16_384) ?? new Uint8Array()),
    }, {
      context: self.context,
      leafHash: this.connection.leafHash,
      sees: this.connection.remoteAddress,
      expected: other.nodeId,
    });
  }

  async say(message: ControlMessage): Promise<void> {
    await this.control.write(joined(controlFrames(message)));
  }

  /** The next message of one kind. */
  async hear<Kind extends ControlMessage["t"]>(
    kind: Kind,
  ): Promise<Extract<ControlMessage, { t: Kind }>> {
    for (;;) {
      const frame = await this.frames.next(1 << 20);
      assert.ok(frame !== undefined, `the stream ended before "${kind}" came`);
      const message = readControl(frame);
      if (message?.t === kind) return message as Extract<ControlMessage, { t: Kind }>;
    }
  }

  /** Opens a stream with these first bytes. */
  async open(...bytes: readonly Uint8Array[]): Promise<ByteStream> {
    const stream = await this.connection.openStream();
    await stream.write(joined(bytes));
    return stream;
  }
}

const request = (id: number) => streamPrefix({ kind: REQUEST_STREAM, id });

Deno.test("a cut network makes a link suspect, then silent; healed, it is live by itself", async () => {
  const world = new World();
  const { a, atA, atB } = await world.link();
  await world.pass(1_000);
  assert.notEqual(a.rttMs, undefined);
  world.network.cut("192.0.2.1", "192.0.2.2");
  await world.pass(1_500);
  assert.equal(a.health, "live");
  await world.pass(1_000);
  assert.equal(a.health, "suspect");
  await world.pass(2_500);
  assert.equal(a.health, "silent");
  world.network.heal();
  await settle();
  for (const { healths } of [atA, atB]) assert.deepEqual(healths, ["suspect", "silent", "live"]);
  a.close("leaving");
  await atB.end;
});

Deno.test("answers are taken when the peer has read them to their END, or is gone", async () => {
  const world = new World();
  const { a, b, atB } = await world.link();
  await b.answersTaken();
  const exchange = async () => {
    const asked = await a.openStream();
    await asked.write({ kind: "head", head: {} });
    await asked.end();
    const answering = await atB.nextStream();
    while (await answering.read() !== undefined);
    let isTaken = false;
    const taken = b.answersTaken().then(() => isTaken = true);
    await answering.write({ kind: "data", bytes: new Uint8Array(9) });
    await answering.end();
    await settle();
    assert.equal(isTaken, false);
    return { asked, taken };
  };
  const read = await exchange();
  while (await read.asked.read() !== undefined);
  await read.taken;
  const unread = await exchange();
  a.close("gone");
  await unread.taken;
});

Deno.test("a link that hears nothing for 15 s is lost, with its streams", async () => {
  const world = new World();
  const { a, atA, atB } = await world.link();
  const stream = await a.openStream();
  await stream.write({ kind: "head", head: {} });
  world.network.cut("192.0.2.1", "192.0.2.2");
  await world.pass(15_250);
  const lost = { reason: "lost", byPeer: false };
  assert.deepEqual([await atA.end, await atB.end], [lost, lost]);
  assert.equal(stream.broken.aborted, true);
  await assert.rejects(a.openStream(), LinkClosedError);
  assert.equal(world.time.pendingCount, 0);
});

Deno.test("bytes of streams are signs of life too", async () => {
  const world = new World();
  const { b, rogue } = await world.rogue();
  const stream = await rogue.open(request(1), headFrame({}));
  await settle();
  for (let second = 0; second < 10; second += 1) {
    await world.pass(1_000);
    const other = await rogue.open(request(second + 2), headFrame({}));
    await settle();
    assert.equal(b.health, "live");
    other.abort();
  }
  stream.abort();
  b.close("done");
  rogue.connection.close();
});

Deno.test("a link that was never started can be closed, and tells when it is started late", async () => {
  const world = new World();
  const [a, b] = await Promise.all([world.a.dial(world.b, world.atB.address), world.b.accept()]);
  const atB = new Recorder();
  b.start(atB);
  a.close("full");
  assert.deepEqual(await atB.end, { reason: "full", byPeer: true });
  const atA = new Recorder();
  a.start(atA);
  assert.deepEqual(await atA.end, { reason: "full", byPeer: false });
  await Promise.all([a.gone, b.gone]);
  assert.equal(world.time.pendingCount, 0);
});

Deno.test("a peer that does not take the bye is left after a second", async () => {
  const world = new World();
  const { b, rogue } = await world.rogue();
  b.close("revoked");
  assert.equal((await rogue.hear("bye")).reason, "revoked");
  await world.pass(1_000);
  await rogue.connection.closed;
});

Deno.test("pings are answered; more than two thousand messages a second are not", async () => {
  const world = new World();
  const { atB, rogue } = await world.rogue();
  await rogue.say({ t: "ping", n: 77 });
  assert.equal((await rogue.hear("pong")).n, 77);
  const ping = joined(controlFrames({ t: "ping", n: 1 }));
  await rogue.control.write(joined(Array(2_100).fill(ping)));
  assert.deepEqual(await atB.end, { reason: "protocol", byPeer: false });
  assert.equal((await rogue.hear("bye")).reason, "protocol");
  rogue.connection.close();
});

Deno.test("more bytes of messages than all records of a mesh are too much at once", async () => {
  const world = new World();
  const { atB, rogue } = await world.rogue();
  const large = joined(controlFrames({ t: "records", records: [`a.${"b".repeat(120_000)}.c`] }));
  for (let count = 0; count < 80; count += 1) void rogue.control.write(large).catch(() => {});
  assert.deepEqual(await atB.end, { reason: "protocol", byPeer: false });
  assert.ok(atB.messages.length < 80);
  rogue.connection.close();
});

Deno.test("a peer that does not read is cut off when its queue is full", async () => {
  const world = new World();
  const { b, atB, rogue } = await world.rogue();
  let sentBytes = 0;
  while (b.health !== "closed") {
    b.send({ t: "records", records: [`a.${"b".repeat(120_000)}.c`] });
    sentBytes += 120_000;
    assert.ok(sentBytes < 20_000_000, "the queue has no bound");
  }
  assert.deepEqual(await atB.end, { reason: "slow", byPeer: false });
  await rogue.connection.closed;
});

Deno.test("a frame of 4 GiB, no JSON and wrong messages end the link", async () => {
  const world = new World();
  for (
    const bytes of [
      Uint8Array.of(0xff, 0xff, 0xff, 0xff),
      jsonFrame([]),
      jsonFrame({ t: "want", nodes: "all" }),
    ]
  ) {
    const { atB, rogue } = await world.rogue();
    await rogue.control.write(bytes);
    assert.deepEqual(await atB.end, { reason: "protocol", byPeer: false });
    rogue.connection.close();
  }
});

Deno.test("a message of an unknown kind is passed over", async () => {
  const world = new World();
  const { b, atB, rogue } = await world.rogue();
  await rogue.control.write(jsonFrame({ t: "later", with: ["more"] }));
  await rogue.say({ t: "renew" });
  await atB.received(1);
  assert.deepEqual(atB.messages, [{ t: "renew" }]);
  b.close("done");
  rogue.connection.close();
});

Deno.test("a stream of an unknown kind is refused, and the link lives on", async () => {
  const world = new World();
  const { b, rogue } = await world.rogue();
  const stream = await rogue.open(streamPrefix({ kind: 9, id: 5 }), headFrame({}));
  const { stream: id, byOpener } = await rogue.hear("cancel");
  assert.deepEqual([id, byOpener], [5, false]);
  assert.equal(await stream.read(), undefined);
  assert.equal(b.health, "live");
  b.close("done");
  rogue.connection.close();
});

Deno.test("two streams of one number end the link", async () => {
  const world = new World();
  const { atB, rogue } = await world.rogue();
  await rogue.open(request(1), headFrame({}));
  await rogue.open(request(1), headFrame({}));
  assert.deepEqual(await atB.end, { reason: "protocol", byPeer: false });
  rogue.connection.close();
});

Deno.test("a stream that does not say what it is, is given up after 5 s", async () => {
  const world = new World();
  const { b, rogue } = await world.rogue();
  const stream = await rogue.open(request(1).subarray(0, 3));
  await settle();
  await world.pass(1_000);
  void rogue.control.write(jsonFrame({ t: "later" }));
  await world.pass(4_000);
  assert.equal(await stream.read(), undefined);
  b.close("done");
  rogue.connection.close();
});

Deno.test("a cancel that overtakes its stream is not lost", async () => {
  const world = new World();
  const { b, atB, rogue } = await world.rogue();
  for (let id = 1; id <= 300; id += 1) {
    await rogue.say({ t: "cancel", stream: id, byOpener: true });
  }
  const late = await rogue.open(request(300), headFrame({ n: 300 }));
  assert.equal(await late.read(), undefined);
  // Only so many are remembered: the oldest is forgotten.
  await rogue.open(request(301), headFrame({ n: 301 }));
  const stream = await atB.nextStream();
  assert.deepEqual(await stream.read(), { kind: "head", head: { n: 301 } });
  b.close("done");
  rogue.connection.close();
});

Deno.test("bytes that are no frames break the stream and leave the link alone", async () => {
  const world = new World();
  const { b, atB, rogue } = await world.rogue();
  const garbage = Uint8Array.of(9, 9, 9, 9, 9);
  const [first, second, third] = [
    await rogue.open(request(1), garbage),
    await rogue.open(request(2), endFrame(), garbage),
    await rogue.open(request(3), headFrame({ n: 1 }).subarray(0, 7)),
  ];
  const streams = [await atB.nextStream(), await atB.nextStream(), await atB.nextStream()];
  await assert.rejects(async () => await streams[0]?.read(), StreamBrokenError);
  assert.equal((await rogue.hear("cancel")).stream, 1);
  // What comes after END says that nothing of it can be trusted.
  assert.equal(await streams[1]?.read(), undefined);
  assert.equal((await rogue.hear("cancel")).stream, 2);
  assert.equal(streams[1]?.broken.aborted, true);
  const read = assert.rejects(async () => await streams[2]?.read(), StreamBrokenError);
  third.abort();
  await read;
  assert.equal(b.health, "live");
  for (const stream of [first, second]) stream.abort();
  b.close("done");
  rogue.connection.close();
});

Deno.test("a stream whose exchange ended well carries the next one, whenever it comes", async () => {
  const world = new World();
  const { b, atB, rogue } = await world.rogue();
  const raw = await rogue.open(request(1), headFrame({ n: 1 }), endFrame());
  const first = await atB.nextStream();
  assert.deepEqual(await first.read(), { kind: "head", head: { n: 1 } });
  assert.equal(await first.read(), undefined);
  await first.end();
  assert.deepEqual([...await raw.read() ?? []], [...endFrame()]);
  for (let second = 0; second < 20; second += 1) {
    await world.pass(1_000);
    await rogue.say({ t: "pong", n: 0 });
  }
  await raw.write(joined([request(2), headFrame({ n: 2 })]));
  const next = await atB.nextStream();
  assert.deepEqual(await next.read(), { kind: "head", head: { n: 2 } });
  assert.equal(first.broken.aborted, false);
  // A cancel means the exchange of its number, not what runs on the same stream now.
  await rogue.say({ t: "cancel", stream: 1, byOpener: true });
  await settle();
  assert.equal(next.broken.aborted, false);
  await rogue.say({ t: "cancel", stream: 2, byOpener: true });
  await settle();
  assert.equal(next.broken.aborted, true);
  assert.equal(b.health, "live");
  b.close("done");
  rogue.connection.close();
});

Deno.test("what follows an exchange on its stream is no exchange: that stream ends, the link does not", async () => {
  const world = new World();
  const { b, atB, rogue } = await world.rogue();
  const raw = await rogue.open(request(1), endFrame());
  const first = await atB.nextStream();
  await Promise.all([first.read(), first.end()]);
  await raw.read();
  await raw.write(request(2).subarray(0, 2));
  await settle();
  await world.pass(1_000);
  void rogue.say({ t: "pong", n: 0 });
  await world.pass(4_000);
  assert.equal(await raw.read(), undefined);
  assert.notEqual(b.health, "closed");
  b.close("done");
  rogue.connection.close();
});

/** Asks over one end and answers at the other; both read to the END. */
async function exchange(
  { a, atB }: { readonly a: MeshLink; readonly atB: Recorder },
  n: number,
): Promise<void> {
  const asked = await a.openStream();
  await Promise.all([asked.write({ kind: "head", head: { n } }), asked.end()]);
  const answering = await atB.nextStream();
  assert.deepEqual(await answering.read(), { kind: "head", head: { n } });
  assert.equal(await answering.read(), undefined);
  await Promise.all([answering.write({ kind: "head", head: { n: -n } }), answering.end()]);
  assert.deepEqual(await asked.read(), { kind: "head", head: { n: -n } });
  assert.equal(await asked.read(), undefined);
}

Deno.test("exchanges one after another share a stream; what was given up does not go back", async () => {
  const world = new World();
  const { a, b, atB } = await world.link();
  for (let n = 1; n <= 600; n += 1) await exchange({ a, atB }, n);
  assert.equal(world.network.streamCount, 2, "the one of the handshake, and one for all");
  const cancelled = await a.openStream();
  await cancelled.write({ kind: "head", head: {} });
  await (await atB.nextStream()).read();
  cancelled.cancel();
  await settle();
  await exchange({ a, atB }, 601);
  assert.equal(world.network.streamCount, 3);
  a.close("done");
  b.close("done");
});

Deno.test("whoever leaves gets its peer's streams back, those too on which nothing runs", async () => {
  const world = new World();
  const { a, b, atB } = await world.link();
  await exchange({ a, atB }, 1);
  assert.equal(world.network.streamCount, 2);
  await b.answersTaken();
  await exchange({ a, atB }, 2);
  await exchange({ a, atB }, 3);
  assert.equal(world.network.streamCount, 4, "none is kept from then on");
  await b.answersTaken();
  a.close("done");
  b.close("done");
});

Deno.test("of many streams at a time 32 are kept, and the others given back", async () => {
  const world = new World();
  const { a, b, atB } = await world.link();
  for (let round = 0; round < 4; round += 1) {
    await Promise.all(Array.from({ length: 200 }, async (_, n) => {
      const asked = await a.openStream();
      await Promise.all([asked.write({ kind: "head", head: { n } }), asked.end()]);
      const answering = await atB.nextStream();
      while (await answering.read() !== undefined);
      await answering.end();
      assert.equal(await asked.read(), undefined);
    }));
    await settle(5);
  }
  assert.equal(world.network.streamCount, 1 + 200 + 3 * 168);
  a.close("done");
  b.close("done");
});

Deno.test("a stream that the peer does not allow for 10 s is not opened", async () => {
  const world = new World();
  const { b, rogue } = await world.rogue();
  const open = await Promise.all(Array.from({ length: 256 }, () => b.openStream()));
  for (const stream of open) void stream.write({ kind: "head", head: {} }).catch(() => {});
  const late = assert.rejects(b.openStream(), StreamBrokenError);
  await settle();
  for (let second = 0; second < 10; second += 1) {
    await world.pass(1_000);
    await rogue.say({ t: "pong", n: 0 });
  }
  await late;
  b.close("done");
  rogue.connection.close();
});

Deno.test("whatever a proved peer writes, only its own link ends", async () => {
  const message = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.jsonValue().map((json) => jsonFrame(json)),
    fc.tuple(fc.constantFrom("ping", "pong", "cancel", "want", "digest", "bye", "x"), fc.nat(9))
      .map(([t, n]) =>
        jsonFrame({ t, n, stream: n, byOpener: n % 2 === 0, nodes: [], reason: "r" })
      ),
  );
  const piece = fc.record({
    onStream: fc.boolean(),
    bytes: message,
    prefix: fc.boolean(),
    id: fc.nat(3),
  });
  const world = new World();
  const honest = await world.link();
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 8 }), async (pieces) => {
      const { b, atB, rogue } = await world.rogue();
      const reading = (async () => {
        const stream = await atB.nextStream();
        while (await stream.read() !== undefined);
      })();
      reading.catch(() => {});
      for (const { onStream, bytes, prefix, id } of pieces) {
        if (!onStream) await rogue.control.write(bytes).catch(() => {});
        else await rogue.open(...(prefix ? [request(id)] : []), bytes).catch(() => {});
      }
      await settle(2);
      rogue.connection.close();
      await atB.end;
      assert.equal(b.health, "closed");
    }),
    { numRuns: 200 },
  );
  assert.deepEqual([honest.a.health, honest.b.health], ["live", "live"]);
  honest.a.close("done");
  await honest.atB.end;
});
