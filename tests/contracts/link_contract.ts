/**
 * What every link must do, whatever carries it. Run over QUIC, on the oldest runtime too, and over the network in
 * memory.
 */
import assert from "node:assert/strict";
import { joined } from "~/base/bytes.ts";
import type { MeshLink } from "~/mesh/link.ts";
import { LinkClosedError, type PeerStream, StreamBrokenError } from "~/mesh/link_ports.ts";
import { Recorder, settle } from "#support/link_peers.ts";

/** Both ends of one link; not started. */
export interface LinkFixture extends AsyncDisposable {
  readonly a: MeshLink;
  readonly b: MeshLink;
}

/** Registers the suite. */
export function testLinkContract(name: string, open: () => Promise<LinkFixture>): void {
  for (const [what, run] of Object.entries(CASES)) {
    Deno.test(`${name} ${what}`, async () => {
      await using fixture = await open();
      const atA = new Recorder();
      const atB = new Recorder();
      fixture.a.start(atA);
      fixture.b.start(atB);
      await run({ ...fixture, atA, atB });
    });
  }
}

type Started = Pick<LinkFixture, "a" | "b"> & { readonly atA: Recorder; readonly atB: Recorder };

const MIB = 1024 * 1024;

const CASES: Readonly<Record<string, (link: Started) => Promise<void>>> = {
  "knows who is at its other end": async ({ a, b }) => {
    assert.notEqual(a.peer.nodeId, b.peer.nodeId);
    assert.deepEqual([a.isDialer, b.isDialer, a.health, b.health], [true, false, "live", "live"]);
    assert.equal(a.observedAddress.ip, b.remoteAddress.ip);
    assert.equal(a.observedAddress.port, b.remoteAddress.port);
    await settle();
  },

  "carries messages in order, both ways, papers in as many as it takes": async (link) => {
    const paper = `a.${"b".repeat(100_000)}.c`;
    link.a.send({ t: "records", records: [] });
    link.a.send({ t: "records", records: Array(7).fill(paper) });
    link.a.send({ t: "want", nodes: [link.a.peer.nodeId] });
    link.b.send({ t: "renew" });
    await link.atB.received(5);
    const records = link.atB.messages.flatMap((each) => each.t === "records" ? each.records : []);
    assert.deepEqual(records, Array(7).fill(paper));
    assert.equal(link.atB.messages.at(-1)?.t, "want");
    await link.atA.received(1);
    assert.deepEqual(link.atA.messages, [{ t: "renew" }]);
  },

  "carries a request and its answer, to both ENDs": async (link) => {
    const { near, far } = await openStream(link);
    await near.write({ kind: "data", bytes: bytesOf("question") });
    await near.end();
    assert.equal(textOf(await readData(far)), "question");
    await far.write({ kind: "head", head: { status: 200 } });
    await far.write({ kind: "data", bytes: bytesOf("answer") });
    await far.end();
    assert.deepEqual(await near.read(), { kind: "head", head: { status: 200 } });
    assert.equal(textOf(await readData(near)), "answer");
    assert.equal(await near.read(), undefined);
    await settle();
    assert.deepEqual([near.broken.aborted, far.broken.aborted], [false, false]);
    link.a.close("leaving");
    await link.atB.end;
    assert.deepEqual([near.broken.aborted, far.broken.aborted], [false, false]);
  },

  "carries megabytes without a byte changed": async (link) => {
    const { near, far } = await openStream(link);
    const large = Uint8Array.from({ length: 3 * MIB }, (_, i) => (i * 7 + (i >> 9)) & 0xff);
    const sent = near.write({ kind: "data", bytes: large }).then(() => near.end());
    assert.equal(Buffer.compare(await readData(far), large), 0);
    await sent;
    await far.end();
    assert.equal(await near.read(), undefined);
  },

  "makes a writer wait for its reader; others go on": async (link) => {
    const { near, far } = await openStream(link);
    const filling = fill(near);
    await standsStill(filling);
    assert.ok(filling.bytes < 16 * MIB, `wrote ${filling.bytes} bytes that nobody reads`);
    await assertTalk(link);
    link.b.send({ t: "renew" });
    await link.atA.received(1);
    const before = filling.bytes;
    while (filling.bytes === before) await far.read();
    near.cancel();
    await assert.rejects(filling.end, StreamBrokenError);
  },

  "reaches a writer that is blocked when its reader gives up": async (link) => {
    const { near, far } = await openStream(link);
    const filling = fill(near);
    await standsStill(filling);
    far.cancel();
    await assert.rejects(filling.end, StreamBrokenError);
    assert.equal(near.broken.aborted, true);
    await assert.rejects(near.read(), StreamBrokenError);
    await assert.rejects(far.read(), StreamBrokenError);
  },

  "frees a writer that gives up while it is blocked, and tells the reader": async (link) => {
    const { near, far } = await openStream(link);
    const filling = fill(near);
    await standsStill(filling);
    near.cancel();
    near.cancel();
    await assert.rejects(filling.end, StreamBrokenError);
    await aborted(far.broken);
    await assert.rejects(readData(far), StreamBrokenError);
    await assert.rejects(far.write({ kind: "data", bytes: bytesOf("x") }), StreamBrokenError);
    assert.equal(near.broken.aborted, false);
  },

  "tells of a cancel while the answer is awaited, and while nothing is read": async (link) => {
    const first = await openStream(link);
    await first.near.end();
    assert.equal(await first.far.read(), undefined);
    first.near.cancel();
    await aborted(first.far.broken);
    const second = await openStream(link);
    second.near.cancel();
    await aborted(second.far.broken);
    const third = await openStream(link);
    const read = third.near.read();
    third.far.cancel();
    await assert.rejects(read, StreamBrokenError);
  },

  "breaks streams in the middle of a frame when the link ends": async (link) => {
    const { near, far } = await openStream(link);
    const filling = fill(near);
    await far.read();
    const read = readData(far);
    const opening = link.b.openStream();
    link.a.close("leaving");
    await assert.rejects(read, StreamBrokenError);
    await assert.rejects(filling.end, StreamBrokenError);
    assert.deepEqual(await link.atA.end, { reason: "leaving", byPeer: false });
    assert.deepEqual(await link.atB.end, { reason: "leaving", byPeer: true });
    await opening.then((stream) => assert.equal(stream.broken.aborted, true), () => {});
    await assert.rejects(link.a.openStream(), LinkClosedError);
    await assert.rejects(link.b.openStream(), LinkClosedError);
    assert.deepEqual([link.a.health, link.b.health], ["closed", "closed"]);
    link.b.close("too late");
    link.b.send({ t: "renew" });
    await Promise.all([link.a.gone, link.b.gone]);
  },

  "carries 500 requests in a row": async (link) => {
    for (let count = 0; count < 500; count += 1) await assertTalk(link);
  },

  "carries 64 requests at once, again and again": async (link) => {
    await Promise.all(Array.from({ length: 64 }, async () => {
      for (let round = 0; round < 8; round += 1) await assertTalk(link);
    }));
  },

  "carries on after more cancelled streams than may be open": async (link) => {
    for (let count = 0; count < 600; count += 1) {
      const { near, far } = await openStream(link);
      const filling = count % 3 === 0 ? fill(near) : undefined;
      (count % 2 === 0 ? near : far).cancel();
      await filling?.end.catch(() => {});
    }
    await assertTalk(link);
  },
};

async function openStream({ a, atB }: Started): Promise<{ near: PeerStream; far: PeerStream }> {
  const near = await a.openStream();
  await near.write({ kind: "head", head: { n: 1 } });
  const far = await atB.nextStream();
  assert.deepEqual(await far.read(), { kind: "head", head: { n: 1 } });
  return { near, far };
}

/** One request and its answer; the far end may be that of another request, and answers what it was asked. */
async function assertTalk({ a, atB }: Started): Promise<void> {
  const near = await a.openStream();
  const ask = async () => {
    await near.write({ kind: "head", head: { n: 2 } });
    await near.end();
    assert.equal(textOf(await readData(near)), "answer");
  };
  const answer = async () => {
    const far = await atB.nextStream();
    assert.deepEqual(await far.read(), { kind: "head", head: { n: 2 } });
    assert.equal(await far.read(), undefined);
    await far.write({ kind: "data", bytes: bytesOf("answer") });
    await far.end();
  };
  await Promise.all([ask(), answer()]);
}

async function readData(stream: PeerStream): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = [];
  for (let frame = await stream.read(); frame !== undefined; frame = await stream.read()) {
    assert.equal(frame.kind, "data");
    if (frame.kind === "data") pieces.push(frame.bytes);
  }
  return joined(pieces);
}

interface Filling {
  bytes: number;
  /** Rejects when the stream takes no more. */
  end: Promise<void>;
}

function fill(stream: PeerStream): Filling {
  const filling: Filling = { bytes: 0, end: Promise.resolve() };
  filling.end = (async () => {
    for (;;) {
      await stream.write({ kind: "data", bytes: new Uint8Array(100_000) });
      filling.bytes += 100_000;
      await settle(1);
    }
  })();
  filling.end.catch(() => {});
  return filling;
}

async function standsStill(filling: Filling): Promise<void> {
  for (let before = -1; before !== filling.bytes;) {
    before = filling.bytes;
    await settle(200);
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
}

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
