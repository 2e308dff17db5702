import assert from "node:assert/strict";
import fc from "fast-check";
import type { JsonObject } from "~/base/json.ts";
import { FrameStream } from "~/mesh/frame_stream.ts";
import { RefusedError } from "~/mesh/handshake.ts";
import { acceptLink, dialLink } from "~/mesh/make_link.ts";
import type { Link } from "~/mesh/link_ports.ts";
import type { ByteStream, Connection } from "~/mesh/transport.ts";
import { UNPROVEN_MAX } from "~/mesh/unproven.ts";
import { jsonFrame, readJsonObject } from "~/mesh/wire.ts";
import {
  certificateFor,
  INVITE,
  MESH_ID,
  Recorder,
  settle,
  TestPeer,
} from "#support/link_peers.ts";
import { MemoryNetwork, type MemoryTransport } from "#support/memory_transport.ts";
import { standInId, standInJws, standInSigner } from "#support/stand_in_signer.ts";
import { VirtualTime } from "#support/virtual_time.ts";

class World {
  readonly time = new VirtualTime();
  readonly network = new MemoryNetwork({ timers: this.time });
  #count = 0;

  peer(name: string, role: "member" | "client" = "member"): TestPeer & { at: MemoryTransport } {
    this.#count += 1;
    const at = this.network.open(`192.0.2.${this.#count}`, standInId(`leaf of ${name}`));
    return Object.assign(new TestPeer(name, { transport: at, time: this.time, role }), { at });
  }
}

/** What both sides of a handshake came to. */
async function shake(
  world: World,
  { dialer, listener, invite, expected = listener }: {
    readonly dialer: TestPeer;
    readonly listener: TestPeer & { at: MemoryTransport };
    readonly invite?: string;
    readonly expected?: TestPeer;
  },
): Promise<
  [PromiseSettledResult<{ link: Link; issued: string | undefined }>, PromiseSettledResult<Link>]
> {
  const accepting = listener.accept();
  const connection = await dialer.connect(listener, listener.at.address);
  const dialling = dialLink(connection, {
    context: dialer.context,
    expected: expected.nodeId,
    invite,
  });
  // A side that refused waits for the other to go, for a second at most.
  const both = Promise.allSettled([dialling, accepting]);
  await settle();
  world.time.advance(1_000);
  return await both;
}

function refusedWith(result: PromiseSettledResult<unknown>, code: string, byPeer: boolean): void {
  assert.equal(result.status, "rejected");
  const { reason } = result as PromiseRejectedResult;
  assert.ok(reason instanceof RefusedError, `threw ${reason}`);
  assert.deepEqual([reason.code, reason.byPeer], [code, byPeer], reason.message);
}

Deno.test("two members of a mesh prove themselves to each other", async () => {
  const world = new World();
  const [a, b] = [world.peer("a"), world.peer("b")];
  const [dialled, accepted] = await shake(world, { dialer: a, listener: b });
  assert.ok(dialled.status === "fulfilled" && accepted.status === "fulfilled");
  const { link, issued } = dialled.value;
  assert.equal(issued, undefined);
  assert.deepEqual([link.peer.nodeId, link.peer.session], [b.nodeId, "session-of-b"]);
  assert.equal(link.peer.certificate.jws, certificateFor(b.nodeId, "member"));
  assert.equal(accepted.value.peer.nodeId, a.nodeId);
  assert.deepEqual([link.isDialer, accepted.value.isDialer], [true, false]);
  assert.deepEqual(link.observedAddress, a.at.address);
  assert.deepEqual(accepted.value.observedAddress, b.at.address);
  assert.equal(world.time.pendingCount, 0);
});

Deno.test("a peer acts as its certificate allows, and as a client when it wants to", async () => {
  const world = new World();
  const [member, client, modest] = [world.peer("m"), world.peer("c", "client"), world.peer("x")];
  const boast = { ...client.context, self: { ...client.context.self, role: "member" as const } };
  client.context = boast;
  modest.context = {
    ...modest.context,
    self: { ...modest.context.self, role: "client" },
  };
  for (const dialer of [client, modest]) {
    const [, accepted] = await shake(world, { dialer, listener: member });
    assert.ok(accepted.status === "fulfilled");
    assert.equal(accepted.value.peer.role, "client");
  }
});

Deno.test("an invite is turned into a certificate", async () => {
  const world = new World();
  const [joiner, issuer] = [world.peer("joiner"), world.peer("issuer")];
  joiner.context = { ...joiner.context, certificateJws: () => undefined };
  const [dialled, accepted] = await shake(world, {
    dialer: joiner,
    listener: issuer,
    invite: INVITE,
  });
  assert.ok(dialled.status === "fulfilled" && accepted.status === "fulfilled");
  assert.equal(dialled.value.issued, certificateFor(joiner.nodeId, "member"));
  assert.equal(accepted.value.peer.certificate.jws, dialled.value.issued);
});

Deno.test("nobody comes in with a bad invite, or with nothing at all", async () => {
  const world = new World();
  const [joiner, issuer] = [world.peer("joiner"), world.peer("issuer")];
  const invite = standInJws(standInId("other mesh"), "mesh-llm-invite", { any: true });
  const [dialled, accepted] = await shake(world, { dialer: joiner, listener: issuer, invite });
  refusedWith(dialled, "invite", true);
  refusedWith(accepted, "invite", false);
  joiner.context = { ...joiner.context, certificateJws: () => undefined };
  const [second, third] = await shake(world, { dialer: joiner, listener: issuer });
  refusedWith(second, "certificate", false);
  refusedWith(third, "certificate", true);
});

Deno.test("certificates that do not hold are refused by whoever is shown them", async () => {
  for (const why of ["expired", "revoked"] as const) {
    const world = new World();
    const [a, b] = [world.peer("a"), world.peer("b")];
    b.bad.set(a.nodeId, why);
    const [dialled, accepted] = await shake(world, { dialer: a, listener: b });
    refusedWith(dialled, why, true);
    refusedWith(accepted, why, false);
    b.bad.clear();
    a.bad.set(b.nodeId, why);
    const [second] = await shake(world, { dialer: a, listener: b });
    refusedWith(second, why, false);
  }
});

Deno.test("a dialer that refuses the listener's certificate says so on the link that the listener has", async () => {
  const world = new World();
  const [a, b] = [world.peer("a"), world.peer("b")];
  a.bad.set(b.nodeId, "revoked");
  const recorder = new Recorder();
  const accepting = b.accept().then((link) => link.start(recorder));
  const connection = await a.connect(b, b.at.address);
  await assert.rejects(dialLink(connection, { context: a.context, expected: b.nodeId }));
  await accepting;
  assert.deepEqual(await recorder.end, { reason: "revoked", byPeer: true });
});

Deno.test("someone else's certificate is no membership", async () => {
  const world = new World();
  const [a, b] = [world.peer("a"), world.peer("b")];
  a.context = { ...a.context, certificateJws: () => certificateFor(standInId("c"), "member") };
  const [dialled, accepted] = await shake(world, { dialer: a, listener: b });
  refusedWith(dialled, "certificate", true);
  refusedWith(accepted, "certificate", false);
});

Deno.test("a proof by another key is none, on either side", async () => {
  const world = new World();
  const [a, b] = [world.peer("a"), world.peer("b")];
  const thief = standInSigner(standInId("thief"));
  const honest = a.context;
  a.context = { ...honest, signer: thief };
  const [dialled, accepted] = await shake(world, { dialer: a, listener: b });
  refusedWith(dialled, "proof", true);
  refusedWith(accepted, "proof", false);
  a.context = honest;
  b.context = { ...b.context, signer: thief };
  const [second, third] = await shake(world, { dialer: a, listener: b });
  refusedWith(second, "proof", false);
  refusedWith(third, "proof", true);
});

Deno.test("a listener that is another node than expected is refused", async () => {
  const world = new World();
  const [a, b, c] = [world.peer("a"), world.peer("b"), world.peer("c")];
  const [dialled] = await shake(world, { dialer: a, listener: b, expected: c });
  refusedWith(dialled, "proof", false);
});

Deno.test("other meshes, oneself and nodes that have not joined are refused", async () => {
  const world = new World();
  const [a, b, twin] = [world.peer("a"), world.peer("b"), world.peer("a")];
  refusedWith((await shake(world, { dialer: twin, listener: a }))[0], "self", true);
  const { context } = a;
  a.context = { ...context, meshId: () => standInId("other mesh") };
  refusedWith((await shake(world, { dialer: a, listener: b }))[0], "mesh", true);
  a.context = context;
  b.context = { ...b.context, certificateJws: () => undefined };
  refusedWith((await shake(world, { dialer: a, listener: b }))[0], "busy", true);
});

/** A stranger that writes what it likes. */
class Stranger {
  readonly connection: Connection;
  readonly stream: ByteStream;
  readonly frames: FrameStream;

  constructor(connection: Connection, stream: ByteStream) {
    this.connection = connection;
    this.stream = stream;
    this.frames = new FrameStream(stream);
  }

  static async at(world: World, target: TestPeer & { at: MemoryTransport }): Promise<Stranger> {
    const stranger = world.peer("stranger");
    const connection = await stranger.connect(target, target.at.address);
    return new Stranger(connection, await connection.openStream());
  }

  async say(json: JsonObject): Promise<void> {
    await this.stream.write(jsonFrame(json));
  }

  async hear(): Promise<JsonObject | undefined> {
    const frame = await this.frames.next(65_536);
    return frame === undefined ? undefined : readJsonObject(frame);
  }
}

function helloOf(peer: TestPeer): JsonObject {
  const { nodeId: node, session, version, role } = peer.context.self;
  return {
    t: "hello",
    v: 1,
    min: 1,
    mesh: MESH_ID,
    node,
    session,
    version,
    role,
    nonce: standInId("n"),
  };
}

Deno.test("a version too new or too old is refused politely", async () => {
  for (const versions of [{ v: 9, min: 2 }, { v: 0, min: 0 }, { v: 1, min: 2 }]) {
    const world = new World();
    const [a, b] = [world.peer("a"), world.peer("b")];
    const accepting = b.accept();
    const stranger = await Stranger.at(world, b);
    await stranger.say({ ...helloOf(a), ...versions });
    const refuse = await stranger.hear();
    assert.deepEqual([refuse?.["t"], refuse?.["code"]], ["refuse", "version"]);
    stranger.connection.close();
    await assert.rejects(accepting, (error: RefusedError) => error.code === "version");
  }
});

Deno.test("a proof that was heard on one connection is none on another", async () => {
  const world = new World();
  const [a, b, relay] = [world.peer("a"), world.peer("b"), world.peer("relay")];
  // The relay takes a's dial for its own and carries the words to b, whose leaf certificate is another.
  const accepting = b.accept();
  const toRelay = await a.connect(relay, relay.at.address);
  const dialling = dialLink(toRelay, { context: a.context, expected: b.nodeId });
  const fromA = await relay.transport.accept();
  const nearStream = await fromA?.acceptStream();
  assert.ok(fromA !== undefined && nearStream !== undefined);
  const near = new Stranger(fromA, nearStream);
  const far = await Stranger.at(world, b);
  await far.say(await near.hear() ?? {});
  await near.say(await far.hear() ?? {});
  // b's proof is for the connection with the relay.
  const failing = assert.rejects(dialling, (error: RefusedError) => error.code === "proof");
  assert.equal((await near.hear())?.["t"], "refuse");
  near.connection.close();
  await failing;
  far.connection.close();
  await assert.rejects(accepting, RefusedError);
});

Deno.test("a recorded proof does not work again: the nonces are new", async () => {
  const world = new World();
  const [a, b] = [world.peer("a"), world.peer("b")];
  const recorded: string[] = [];
  const { signer } = a.context;
  a.context = {
    ...a.context,
    signer: {
      id: signer.id,
      async sign(type, payload) {
        recorded.push(await signer.sign(type, payload));
        return recorded[0] ?? "";
      },
    },
  };
  const [first] = await shake(world, { dialer: a, listener: b });
  assert.equal(first.status, "fulfilled");
  const [second] = await shake(world, { dialer: a, listener: b });
  refusedWith(second, "proof", true);
});

Deno.test("a second stream before the proof ends the connection", async () => {
  const world = new World();
  const b = world.peer("b");
  const accepting = b.accept();
  const stranger = await Stranger.at(world, b);
  await stranger.say(helloOf(world.peer("a")));
  const second = await stranger.connection.openStream();
  await second.write(Uint8Array.of(1));
  await assert.rejects(accepting, (error: RefusedError) => error.code === "protocol");
  await stranger.connection.closed;
});

Deno.test("a frame larger than a handshake has ends the connection before it is taken", async () => {
  const world = new World();
  const b = world.peer("b");
  const accepting = b.accept();
  const stranger = await Stranger.at(world, b);
  await stranger.stream.write(Uint8Array.of(0xff, 0xff, 0xff, 0xff));
  const failing = assert.rejects(accepting, (error: RefusedError) => error.code === "protocol");
  assert.equal((await stranger.hear())?.["code"], "protocol");
  stranger.connection.close();
  await failing;
});

Deno.test("silence and a byte a second end after 5 s, on both sides", async () => {
  const world = new World();
  const [a, b] = [world.peer("a"), world.peer("b")];
  const accepting = b.accept();
  const stranger = await Stranger.at(world, b);
  const slow = jsonFrame(helloOf(a));
  await stranger.stream.write(slow.subarray(0, 1));
  await settle();
  let isOver = false;
  const over = () => isOver = true;
  accepting.then(over, over);
  for (let second = 0; second < 4; second += 1) {
    world.time.advance(1_000);
    await stranger.stream.write(slow.subarray(second + 1, second + 2));
    await settle();
  }
  assert.equal(isOver, false);
  world.time.advance(1_000);
  await assert.rejects(accepting, (error: RefusedError) => error.code === "timeout");
  const dialling = dialLink(await a.connect(b, b.at.address), {
    context: a.context,
    expected: b.nodeId,
  });
  await settle();
  world.time.advance(5_000);
  await assert.rejects(dialling, (error: RefusedError) => error.code === "timeout");
});

Deno.test("a dial can be given up", async () => {
  const world = new World();
  const [a, b] = [world.peer("a"), world.peer("b")];
  for (const isLate of [true, false]) {
    const abort = new AbortController();
    if (!isLate) abort.abort();
    const connection = await a.connect(b, b.at.address);
    const { context } = a;
    const { signal } = abort;
    const dialling = dialLink(connection, { context, expected: b.nodeId, signal });
    abort.abort();
    await assert.rejects(dialling, (error: RefusedError) => error.code === "lost");
    await connection.closed;
  }
});

Deno.test("only so many strangers are listened to at a time; a few more hear why", async () => {
  const world = new World();
  const b = world.peer("b");
  const strangers: Stranger[] = [];
  const accepts: Promise<string>[] = [];
  const knock = async () => {
    const connection = b.transport.accept();
    strangers.push(await Stranger.at(world, b));
    const accepting = acceptLink((await connection) as Connection, b);
    accepts.push(accepting.then(() => "link", (error: RefusedError) => error.code));
  };
  for (let count = 0; count < UNPROVEN_MAX; count += 1) await knock();
  await knock();
  const turnedAway = strangers.at(-1);
  await turnedAway?.say(helloOf(world.peer("a")));
  assert.equal((await turnedAway?.hear())?.["code"], "busy");
  for (let count = 0; count < 200; count += 1) await knock();
  assert.equal(await strangers.at(-1)?.hear(), undefined);
  await settle();
  world.time.advance(5_000);
  await settle();
  world.time.advance(1_000);
  const codes = await Promise.all(accepts);
  assert.equal(codes.filter((code) => code === "timeout").length, UNPROVEN_MAX + 15);
  assert.equal(codes.filter((code) => code === "busy").length, 201 - 15);
  // Whoever comes after them finds the door open.
  const a = world.peer("a");
  const [dialled] = await shake(world, { dialer: a, listener: b });
  assert.equal(dialled.status, "fulfilled");
});

Deno.test("whatever a stranger writes ends its connection and nothing else", async () => {
  const word = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.json().map((text) => jsonFrame(text)),
    fc.dictionary(
      fc.constantFrom(
        "t",
        "v",
        "min",
        "mesh",
        "node",
        "session",
        "nonce",
        "version",
        "role",
        "code",
      ),
      fc.oneof(
        fc.constantFrom("hello", "welcome", "proof", "accept", "refuse", MESH_ID, standInId("z")),
        fc.jsonValue(),
      ),
    ).map((json) => jsonFrame(json)),
  );
  const world = new World();
  const [a, b] = [world.peer("a"), world.peer("b")];
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(word, { maxLength: 5 }), async (isHonest, words) => {
      const accepting = assert.rejects(b.accept(), RefusedError);
      const stranger = await Stranger.at(world, b);
      if (isHonest) await stranger.say(helloOf(a));
      for (const each of words) await stranger.stream.write(each).catch(() => {});
      await stranger.stream.end().catch(() => {});
      await settle(2);
      stranger.connection.close();
      await accepting;
    }),
    { numRuns: 300 },
  );
  const [dialled] = await shake(world, { dialer: a, listener: b });
  assert.equal(dialled.status, "fulfilled");
});
