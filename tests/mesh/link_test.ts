import assert from "node:assert/strict";
import fc from "fast-check";
import { joined } from "~/base/bytes.ts";
import { controlFrames } from "~/mesh/control_codec.ts";
import { LinkClosedError } from "~/mesh/link_ports.ts";
import { headFrame } from "~/mesh/stream_codec.ts";
import { jsonFrame } from "~/mesh/wire.ts";
import { Recorder, settle } from "#support/link_peers.ts";

import { LinkWorld, request } from "#support/link_world.ts";

Deno.test("a cut network makes a link suspect, then silent; healed, it is live by itself", async () => {
  const world = new LinkWorld();
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
  for (const { healths, quietCount } of [atA, atB]) {
    assert.deepEqual(healths, ["suspect", "silent", "live"]);
    assert.equal(quietCount, 1, "it is told once for each silence");
  }
  a.close("leaving");
  await atB.end;
});

Deno.test("a link that hears nothing for 15 s is lost, with its streams", async () => {
  const world = new LinkWorld();
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
  const world = new LinkWorld();
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
  const world = new LinkWorld();
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
  const world = new LinkWorld();
  const { b, rogue } = await world.rogue();
  b.close("revoked");
  assert.equal((await rogue.hear("bye")).reason, "revoked");
  await world.pass(1_000);
  await rogue.connection.closed;
});

Deno.test("pings are answered; more than two thousand messages a second are not", async () => {
  const world = new LinkWorld();
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
  const world = new LinkWorld();
  const { atB, rogue } = await world.rogue();
  const large = joined(controlFrames({ t: "records", records: [`a.${"b".repeat(120_000)}.c`] }));
  for (let count = 0; count < 80; count += 1) void rogue.control.write(large).catch(() => {});
  assert.deepEqual(await atB.end, { reason: "protocol", byPeer: false });
  assert.ok(atB.messages.length < 80);
  rogue.connection.close();
});

Deno.test("a peer that does not read is cut off when its queue is full", async () => {
  const world = new LinkWorld();
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
  const world = new LinkWorld();
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
  const world = new LinkWorld();
  const { b, atB, rogue } = await world.rogue();
  await rogue.control.write(jsonFrame({ t: "later", with: ["more"] }));
  await rogue.say({ t: "renew" });
  await atB.received(1);
  assert.deepEqual(atB.messages, [{ t: "renew" }]);
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
  const world = new LinkWorld();
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
