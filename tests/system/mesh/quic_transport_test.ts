import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { UserError } from "~/base/errors.ts";
import { makeEphemeralLinkCert } from "~/mesh/io/link_cert.ts";
import { openQuicTransport } from "~/mesh/io/quic_transport.ts";
import type { RefusedError } from "~/mesh/handshake.ts";
import { acceptLink } from "~/mesh/make_link.ts";
import type { Connection, Transport } from "~/mesh/transport.ts";
import { Recorder, TestPeer } from "#support/link_peers.ts";
import { realTime } from "#support/real_time.ts";
import { VirtualTime } from "#support/virtual_time.ts";

const never = new AbortController().signal;

/** Two transports that are closed at the end. */
async function openTwo(): Promise<{ a: Transport; b: Transport } & AsyncDisposable> {
  const a = openQuicTransport({ cert: await makeEphemeralLinkCert() });
  const b = openQuicTransport({ cert: await makeEphemeralLinkCert() });
  return {
    a,
    b,
    async [Symbol.asyncDispose]() {
      await a.close();
      await b.close();
    },
  };
}

async function assertLinks(a: TestPeer, b: TestPeer): Promise<void> {
  const [near, far] = await Promise.all([
    a.dial(b, { ip: "127.0.0.1", port: b.transport.port }),
    b.accept(),
  ]);
  const atFar = new Recorder();
  far.start(atFar);
  near.start(new Recorder());
  near.close("done");
  assert.equal((await atFar.end).reason, "done");
  await near.gone;
}

Deno.test("one socket has IPv4 and IPv6 peers, and tells each address as it is", async () => {
  await using two = await openTwo();
  const { leafHash, port } = two.b;
  const hasIpv6 = Deno.networkInterfaces().some(({ address }) => address === "::1");
  for (const ip of hasIpv6 ? ["127.0.0.1", "::1"] : ["127.0.0.1"]) {
    const [dialer, listener] = await Promise.all([
      two.a.dial({ ip, port }, { leafHash, signal: never }),
      two.b.accept(),
    ]);
    assert.deepEqual(dialer.remoteAddress, { ip, port });
    assert.deepEqual(listener?.remoteAddress, { ip, port: two.a.port });
  }
});

Deno.test("a port that is taken is said in one sentence", async () => {
  await using two = await openTwo();
  const cert = await makeEphemeralLinkCert();
  assert.throws(
    () => openQuicTransport({ cert, port: two.a.port }),
    (error) => error instanceof UserError && /UDP port \d+ .*--bind-port/s.test(error.message),
  );
});

Deno.test("a dial of an address where nobody is can be given up, and closing ends it", async () => {
  const { a, b } = await openTwo();
  const silent = createSocket("udp4").bind(0, "127.0.0.1");
  await once(silent, "listening");
  const to = { ip: "127.0.0.1", port: silent.address().port };
  const abort = new AbortController();
  const first = a.dial(to, { leafHash: b.leafHash, signal: abort.signal });
  await once(silent, "message");
  abort.abort();
  await assert.rejects(first, /Nobody answered/);
  const second = assert.rejects(a.dial(to, { leafHash: b.leafHash, signal: never }));
  await once(silent, "message");
  await a.close();
  await second;
  await assert.rejects(a.dial(to, { leafHash: b.leafHash, signal: never }), /closed/);
  await b.close();
  await new Promise<void>((resolve) => silent.close(() => resolve()));
});

Deno.test("datagrams of rubbish change nothing", async () => {
  await using two = await openTwo();
  const a = new TestPeer("a", { transport: two.a, time: realTime });
  const b = new TestPeer("b", { transport: two.b, time: realTime });
  const socket = createSocket("udp4");
  for (let count = 0; count < 500; count += 1) {
    const rubbish = randomBytes(1 + (count * 7) % 1_400);
    // Every second looks like the beginning of a QUIC connection, version 1.
    if (count % 2 === 0) rubbish.set([0xc0, 0, 0, 0, 1].slice(0, rubbish.length));
    await new Promise((sent) => socket.send(rubbish, two.b.port, "127.0.0.1", sent));
  }
  await assertLinks(a, b);
  await new Promise<void>((resolve) => socket.close(() => resolve()));
});

Deno.test("the collector sees what a connection weighs, or strangers who come and go fill the memory", async () => {
  await using two = await openTwo();
  const to = { ip: "127.0.0.1", port: two.b.port };
  const open: (Connection | undefined)[] = [];
  const connect = async (): Promise<void> => {
    const dialled = two.a.dial(to, { leafHash: two.b.leafHash, signal: never });
    open.push(...await Promise.all([dialled, two.b.accept()]));
  };
  await connect();
  const before = Deno.memoryUsage().external;
  while (open.length < 130) await connect();
  const grownBytes = Deno.memoryUsage().external - before;
  // Whatever else was there before may have been collected meanwhile.
  assert.ok(grownBytes > 128 * 32 * 1024, `${grownBytes} bytes`);
});

Deno.test("other protocols and other certificates come to nothing, and the listener goes on", async () => {
  await using two = await openTwo();
  const a = new TestPeer("a", { transport: two.a, time: realTime });
  const b = new TestPeer("b", { transport: two.b, time: realTime });
  const endpoint = new Deno.QuicEndpoint({ hostname: "127.0.0.1", port: 0 });
  for (let count = 0; count < 20; count += 1) {
    const { leafHash } = two.a;
    const to = { ip: "127.0.0.1", port: two.b.port };
    await assert.rejects(two.a.dial(to, { leafHash, signal: never }));
    const options = { hostname: "127.0.0.1", port: two.b.port, alpnProtocols: ["h3"], endpoint };
    await assert.rejects(Deno.connectQuic<false>(options));
  }
  endpoint.close();
  await assertLinks(a, b);
});

Deno.test("only so many handshakes may hang at a time; the next is refused at once", async () => {
  const listener = openQuicTransport({ cert: await makeEphemeralLinkCert(), pendingMax: 2 });
  const { leafHash, port } = listener;
  // Carries what dialers send and none of the answers: their handshakes hang at the listener.
  const hole = createSocket("udp4").bind(0, "127.0.0.1");
  await once(hole, "listening");
  const out = createSocket("udp4");
  hole.on("message", (datagram) => out.send(datagram, port, "127.0.0.1"));
  const dialers = [1, 2, 3].map(async () =>
    openQuicTransport({ cert: await makeEphemeralLinkCert() })
  );
  const [first, second, third] = await Promise.all(dialers);
  assert.ok(first !== undefined && second !== undefined && third !== undefined);
  const hanging = [first, second].map((dialer) =>
    assert.rejects(
      dialer.dial({ ip: "127.0.0.1", port: hole.address().port }, { leafHash, signal: never }),
    )
  );
  const to = { ip: "127.0.0.1", port };
  for (let refused = false; !refused;) {
    const dialled = third.dial(to, { leafHash, signal: never });
    await dialled.then((connection) => connection.close(), () => refused = true);
  }
  await Promise.all([first.close(), second.close(), ...hanging]);
  await third.close();
  await listener.close();
  await Promise.all([hole, out].map((socket) => new Promise<void>((done) => socket.close(done))));
});

Deno.test("200 strangers at the door: few are listened to, and a linked peer is served all the while", async () => {
  await using two = await openTwo();
  const a = new TestPeer("a", { transport: two.a, time: realTime });
  const b = new TestPeer("b", { transport: two.b, time: realTime });
  const [near, far] = await Promise.all([
    a.dial(b, { ip: "127.0.0.1", port: two.b.port }),
    b.accept(),
  ]);
  const atFar = new Recorder();
  near.start(new Recorder());
  far.start(atFar);
  // Its clock stands still: on a slow machine the first strangers would be out of time before the last have come.
  const door = new TestPeer("b", { transport: two.b, time: new VirtualTime() });
  const codes: string[] = [];
  const ends: Promise<void>[] = [];
  const accepting = (async () => {
    for (let next = await two.b.accept(); next !== undefined; next = await two.b.accept()) {
      const end = acceptLink(next, door).then(() => {}, (error: RefusedError) => {
        codes.push(error.code);
      });
      ends.push(end);
    }
  })();
  const strangers: Connection[] = [];
  for (let count = 0; count < 200; count += 1) {
    const to = { ip: "127.0.0.1", port: two.b.port };
    strangers.push(await two.a.dial(to, { leafHash: two.b.leafHash, signal: never }));
    if (count % 20 === 0) {
      const stream = await near.openStream();
      await stream.write({ kind: "head", head: { count } });
      const other = await atFar.nextStream();
      assert.deepEqual(await other.read(), { kind: "head", head: { count } });
      stream.cancel();
    }
  }
  // Twelve of one address are listened to, sixteen would hear that we are busy, if they spoke.
  const dropped = strangers.slice(12 + 16).map((stranger) => stranger.closed);
  await Promise.all(dropped);
  assert.equal(codes.filter((code) => code === "busy").length, 200 - 12 - 16);
  assert.equal(near.health, "live");
  for (const stranger of strangers) stranger.close();
  near.close("done");
  await near.gone;
  await two.b.close();
  await accepting;
  await Promise.all(ends);
});
