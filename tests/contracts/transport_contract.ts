/**
 * What every {@link Transport} must do. Run over QUIC, on the oldest runtime too, and over the network in memory.
 */
import assert from "node:assert/strict";
import { joined } from "~/base/bytes.ts";
import type { PeerAddress } from "~/mesh/address.ts";
import type { ByteStream, Connection, Transport } from "~/mesh/transport.ts";

/** Two transports that can reach each other. */
export interface TransportFixture extends AsyncDisposable {
  readonly a: Transport;
  readonly b: Transport;
  readonly addressOfA: PeerAddress;
  readonly addressOfB: PeerAddress;
  /** Where nobody is. */
  readonly nowhere: PeerAddress;
}

/** Registers the suite. */
export function testTransportContract(name: string, open: () => Promise<TransportFixture>): void {
  for (const [what, run] of Object.entries(CASES)) {
    Deno.test(`${name} ${what}`, async () => {
      await using fixture = await open();
      await run(fixture);
    });
  }
}

/** Streams that a peer may have open. */
const STREAMS_MAX = 256;
const MIB = 1024 * 1024;

const CASES: Readonly<Record<string, (fixture: TransportFixture) => Promise<void>>> = {
  "connects, and both ends know the listener's certificate": async (fixture) => {
    const { dialer, listener } = await connect(fixture);
    assert.deepEqual([dialer.side, listener.side], ["dialer", "listener"]);
    assert.equal(dialer.leafHash, fixture.b.leafHash);
    assert.equal(listener.leafHash, fixture.b.leafHash);
    assert.deepEqual(dialer.remoteAddress, fixture.addressOfB);
    assert.deepEqual(listener.remoteAddress, fixture.addressOfA);
  },

  "dials from the socket that it listens on, in both directions at once": async (
    { a, b, ...at },
  ) => {
    const [there, back, atA, atB] = await Promise.all([
      a.dial(at.addressOfB, { leafHash: b.leafHash, signal: never() }),
      b.dial(at.addressOfA, { leafHash: a.leafHash, signal: never() }),
      a.accept(),
      b.accept(),
    ]);
    assert.deepEqual(atB?.remoteAddress, at.addressOfA);
    assert.deepEqual(atA?.remoteAddress, at.addressOfB);
    await assertTalk(there, atB ?? there);
    await assertTalk(back, atA ?? back);
  },

  "refuses a listener with another certificate, and the listener goes on": async (fixture) => {
    const { a, addressOfB } = fixture;
    await assert.rejects(a.dial(addressOfB, { leafHash: a.leafHash, signal: never() }));
    const { dialer, listener } = await connect(fixture);
    await assertTalk(dialer, listener);
  },

  "gives a dial up when told to": async ({ a, b, nowhere }) => {
    const abort = new AbortController();
    const dial = a.dial(nowhere, { leafHash: b.leafHash, signal: abort.signal });
    abort.abort();
    await assert.rejects(dial);
    const { leafHash } = b;
    await assert.rejects(a.dial(nowhere, { leafHash, signal: AbortSignal.abort() }));
  },

  "carries bytes both ways, in order, to their end": async (fixture) => {
    const { near, far } = await openPair(fixture);
    const sent = Promise.all([
      near.write(Uint8Array.of(1, 2)),
      near.write(new Uint8Array(0)),
      near.write(Uint8Array.of(3)),
      near.end(),
    ]);
    assert.deepEqual([...await readAll(far)], [1, 2, 3]);
    await sent;
    assert.equal(await far.read(), undefined);
    await far.write(Uint8Array.of(4));
    await far.end();
    assert.deepEqual([...await readAll(near)], [4]);
    await assert.rejects(near.write(Uint8Array.of(5)));
  },

  "carries megabytes without a byte changed": async (fixture) => {
    const { near, far } = await openPair(fixture);
    const large = Uint8Array.from({ length: 5 * MIB }, (_, i) => (i * 7 + (i >> 9)) & 0xff);
    const sent = near.write(large).then(() => near.end());
    assert.equal(Buffer.compare(await readAll(far), large), 0);
    await sent;
  },

  "makes a writer wait for its reader, and another stream does not": async (fixture) => {
    const { near, far, dialer, listener } = await openPair(fixture);
    const written = fill(near);
    await standsStill(written);
    assert.ok(written.bytes < 16 * MIB, `wrote ${written.bytes} bytes that nobody reads`);
    await assertTalk(dialer, listener);
    const before = written.bytes;
    while (written.bytes === before) assert.notEqual(await far.read(), undefined);
    near.abort();
    await assert.rejects(written.end);
  },

  "shows an abort as an end of bytes, and takes no more": async (fixture) => {
    const { near, far } = await openPair(fixture);
    const pending = far.read();
    near.abort();
    assert.equal(await pending, undefined);
    await assert.rejects(fill(far).end);
  },

  "frees our own blocked write and read when it is given up": async (fixture) => {
    const { near } = await openPair(fixture);
    const written = fill(near);
    const read = near.read();
    await standsStill(written);
    near.abort();
    await assert.rejects(written.end);
    assert.equal(await read, undefined);
    assert.equal(await near.read(), undefined);
    await assert.rejects(near.end());
  },

  "frees a writer whose reader gives up": async (fixture) => {
    const { near, far } = await openPair(fixture);
    const written = fill(near);
    await standsStill(written);
    far.abort();
    await assert.rejects(written.end);
  },

  "ends everything with the connection, at both ends": async (fixture) => {
    const { near, far, dialer, listener } = await openPair(fixture);
    const written = fill(near);
    const waits = [far.read().then(() => readAll(far)), near.read()];
    const accepts = [dialer.acceptStream(), listener.acceptStream()];
    dialer.close();
    dialer.close();
    await Promise.all([dialer.closed, listener.closed]);
    await Promise.all(waits);
    assert.deepEqual(await Promise.all(accepts), [undefined, undefined]);
    await assert.rejects(written.end);
    for (const end of [near, far]) {
      assert.equal(await end.read(), undefined);
      await assert.rejects(end.write(Uint8Array.of(1)));
      end.abort();
    }
    for (const end of [dialer, listener]) {
      await assert.rejects(end.openStream());
      assert.equal(await end.acceptStream(), undefined);
    }
  },

  "opens more streams in a row than may be open at once": async (fixture) => {
    const { dialer, listener } = await connect(fixture);
    for (let count = 0; count < 2 * STREAMS_MAX; count += 1) await assertTalk(dialer, listener);
  },

  "takes streams back that were given up": async (fixture) => {
    const { dialer, listener } = await connect(fixture);
    for (let count = 0; count < 2 * STREAMS_MAX; count += 1) {
      const near = await dialer.openStream();
      await near.write(Uint8Array.of(1));
      const far = await listener.acceptStream();
      const [first, second] = count % 2 === 0 ? [near, far] : [far, near];
      first?.abort();
      second?.abort();
    }
  },

  "allows so many streams at a time, then lets wait": async (fixture) => {
    const { dialer, listener } = await connect(fixture);
    const open: [ByteStream, ByteStream][] = [];
    for (let count = 0; count < STREAMS_MAX; count += 1) open.push(await pair(dialer, listener));
    let isOpen = false;
    const one = dialer.openStream().then((stream) => {
      isOpen = true;
      return stream;
    });
    await turns(50);
    assert.equal(isOpen, false);
    // QUIC tells of free places in eighths of the limit.
    for (const end of open.slice(0, STREAMS_MAX / 4).flat()) end.abort();
    const [near, far] = await pair({ openStream: () => one }, listener);
    assert.notEqual(near, far);
    const late = Array.from({ length: STREAMS_MAX }, () => dialer.openStream());
    dialer.close();
    const ends = await Promise.allSettled(late);
    assert.equal(ends.at(-1)?.status, "rejected");
  },

  "carries 64 streams at once": async (fixture) => {
    const { dialer, listener } = await connect(fixture);
    const serve = async () => {
      for (let stream = await listener.acceptStream(); stream !== undefined;) {
        const taken = stream;
        void readAll(taken).then((bytes) => taken.write(bytes)).then(() => taken.end());
        stream = await listener.acceptStream();
      }
    };
    const served = serve();
    await Promise.all(Array.from({ length: 64 }, async (_, index) => {
      for (let round = 0; round < 8; round += 1) {
        const stream = await dialer.openStream({ priority: index % 2 });
        await stream.write(new Uint8Array(10_000).fill(index));
        await stream.end();
        const answer = await readAll(stream);
        assert.equal(answer.length, 10_000);
        assert.ok(answer.every((byte) => byte === index));
      }
    }));
    dialer.close();
    await served;
  },

  "closes with all its connections": async (fixture) => {
    const { dialer, listener } = await connect(fixture);
    const accept = fixture.b.accept();
    await fixture.b.close();
    assert.equal(await accept, undefined);
    assert.equal(await fixture.b.accept(), undefined);
    await Promise.all([dialer.closed, listener.closed]);
  },
};

async function connect(
  { a, b, addressOfB }: TransportFixture,
): Promise<{ dialer: Connection; listener: Connection }> {
  const [dialer, listener] = await Promise.all([
    a.dial(addressOfB, { leafHash: b.leafHash, signal: never() }),
    b.accept(),
  ]);
  assert.ok(listener !== undefined);
  return { dialer, listener };
}

async function openPair(fixture: TransportFixture): Promise<{
  readonly near: ByteStream;
  readonly far: ByteStream;
  readonly dialer: Connection;
  readonly listener: Connection;
}> {
  const { dialer, listener } = await connect(fixture);
  const [near, far] = await pair(dialer, listener);
  return { near, far, dialer, listener };
}

/** A stream and its other end, which has read the first byte. */
async function pair(
  dialer: Pick<Connection, "openStream">,
  listener: Connection,
): Promise<[ByteStream, ByteStream]> {
  const near = await dialer.openStream();
  await near.write(Uint8Array.of(0));
  const far = await listener.acceptStream();
  assert.ok(far !== undefined);
  assert.deepEqual(await far.read(), Uint8Array.of(0));
  return [near, far];
}

/** One question and its answer, both read to the end. */
async function assertTalk(dialer: Connection, listener: Connection): Promise<void> {
  const [near, far] = await pair(dialer, listener);
  await Promise.all([near.write(Uint8Array.of(7)), near.end()]);
  assert.deepEqual([...await readAll(far)], [7]);
  await Promise.all([far.write(Uint8Array.of(8)), far.end()]);
  assert.deepEqual([...await readAll(near)], [8]);
}

async function readAll(stream: ByteStream): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  for (let piece = await stream.read(); piece !== undefined; piece = await stream.read()) {
    pieces.push(piece);
  }
  return joined(pieces);
}

interface Filling {
  bytes: number;
  /** Rejects when the stream takes no more. */
  readonly end: Promise<void>;
}

/** Writes until the stream takes no more. */
function fill(stream: ByteStream): Filling {
  const filling = { bytes: 0, end: Promise.resolve() };
  filling.end = (async () => {
    for (;;) {
      await stream.write(new Uint8Array(65_536));
      filling.bytes += 65_536;
      await turns(1);
    }
  })();
  filling.end.catch(() => {});
  return filling;
}

/** Until nothing more is written between two looks. */
async function standsStill(filling: Filling): Promise<void> {
  for (let before = -1; before !== filling.bytes;) {
    before = filling.bytes;
    await turns(200);
  }
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await new Promise((turned) => setImmediate(turned));
}

function never(): AbortSignal {
  return new AbortController().signal;
}
