import assert from "node:assert/strict";
import { joined } from "~/base/bytes.ts";
import type { MeshLink } from "~/mesh/link.ts";
import { StreamBrokenError } from "~/mesh/link_ports.ts";
import { endFrame, headFrame, streamPrefix } from "~/mesh/stream_codec.ts";
import { jsonFrame } from "~/mesh/wire.ts";
import { type Recorder, settle } from "#support/link_peers.ts";

import { LinkWorld, request } from "#support/link_world.ts";

Deno.test("answers are taken when the peer has read them to their END, or is gone", async () => {
  const world = new LinkWorld();
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

Deno.test("a stream of an unknown kind is refused, and the link lives on", async () => {
  const world = new LinkWorld();
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
  const world = new LinkWorld();
  const { atB, rogue } = await world.rogue();
  await rogue.open(request(1), headFrame({}));
  await rogue.open(request(1), headFrame({}));
  assert.deepEqual(await atB.end, { reason: "protocol", byPeer: false });
  rogue.connection.close();
});

Deno.test("a stream that does not say what it is, is given up after 5 s", async () => {
  const world = new LinkWorld();
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
  const world = new LinkWorld();
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
  const world = new LinkWorld();
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
  const world = new LinkWorld();
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
  const world = new LinkWorld();
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
  const world = new LinkWorld();
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
  const world = new LinkWorld();
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
  const world = new LinkWorld();
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
  const world = new LinkWorld();
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
