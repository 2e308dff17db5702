/** Clients that wait, leave, or read slowly, over real connections. */
import assert from "node:assert/strict";
import { headOf, postOf, SocketDoor } from "#support/socket_door.ts";

const CHAT = "/v1/chat/completions";
const HI = '{"model":"tiny"}';
const STREAM = '{"model":"tiny","stream":true}';
const SSE = { "content-type": "text/event-stream" };

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Events without end, each in a turn of its own. */
async function* endless(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (let i = 0;; i += 1) {
    yield bytes(`data: ${i}\n\n`);
    await new Promise((turned) => setImmediate(turned));
  }
}

Deno.test("a client that closed its sending half gets its slow answer", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  const ready = Promise.withResolvers<void>();
  void door.engine.script({
    async *pieces() {
      await ready.promise;
      yield bytes('{"slow":true}');
    },
  });
  await client.send(postOf(CHAT, HI));
  await client.endSending();
  // The head of the engine's answer is out, so nothing more is known until its body comes.
  ready.resolve();
  const answer = await client.readAnswer();
  assert.deepEqual([answer.status, answer.body], [200, '{"slow":true}']);
  assert.equal(await client.readToEnd(), "");
});

Deno.test("a half-closed client is probed until its answer comes, and kept", async () => {
  await using door = await SocketDoor.open({ slots: 1 });
  const busy = await door.connect();
  const running = door.engine.script({ isSilent: true });
  await busy.send(postOf(CHAT, HI));
  await running;
  using client = await door.connect();
  const received = door.next("received");
  void door.engine.script({ whole: bytes("{}") });
  await client.send(postOf(CHAT, HI));
  await client.endSending();
  await received;
  assert.match(await client.readSome(), /^HTTP\/1\.1 102 Processing\r\n\r\n/);
  busy.close();
  const answer = await client.readAnswer();
  assert.equal(answer.status, 200);
});

Deno.test("the first byte may come late: nothing below an hour gives up on it", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  const seen = door.engine.script({ isSilent: true });
  await client.send(postOf(CHAT, HI));
  const { cancelled } = await seen;
  // 15 s of it would prove no more: the limits themselves are proven on virtual time.
  await door.assertServing();
  client.close();
  await cancelled;
});

for (const name of ["in a stream", "before the first byte"]) {
  Deno.test(`a client that leaves ${name} cancels the engine's work`, async () => {
    await using door = await SocketDoor.open();
    const client = await door.connect();
    const seen = door.engine.script(
      name === "in a stream" ? { headers: SSE, pieces: endless } : { isSilent: true },
    );
    const finished = door.next("finished");
    await client.send(postOf(CHAT, STREAM));
    const { cancelled } = await seen;
    if (name === "in a stream") await client.readSome();
    client.close();
    await cancelled;
    await finished;
    const last = door.events.at(-1);
    assert.equal(last?.kind === "finished" ? last.outcome : undefined, "client gone");
    await door.assertServing();
  });
}

Deno.test("a client that leaves the queue never reaches the engine", async () => {
  await using door = await SocketDoor.open({ slots: 1 });
  using first = await door.connect();
  const running = door.engine.script({ isSilent: true });
  await first.send(postOf(CHAT, HI));
  const { cancelled } = await running;
  const leaver = await door.connect();
  const received = door.next("received");
  const finished = door.next("finished");
  await leaver.send(postOf(CHAT, HI));
  await received;
  leaver.close();
  await finished;
  first.close();
  await cancelled;
  await door.assertServing();
});

Deno.test("a fetch that is aborted cancels the engine's work", async () => {
  await using door = await SocketDoor.open();
  const seen = door.engine.script({ isSilent: true });
  const abort = new AbortController();
  const asked = fetch(`http://localhost:${door.server.port}${CHAT}`, {
    method: "POST",
    body: HI,
    signal: abort.signal,
  });
  const { cancelled } = await seen;
  abort.abort();
  await assert.rejects(asked);
  await cancelled;
});

Deno.test("a slow reader slows its own stream only, and nothing piles up", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  let writtenBytes = 0;
  const seen = door.engine.script({
    headers: SSE,
    async *pieces() {
      const event = bytes(`data: ${"x".repeat(64 * 1024)}\n\n`);
      for (;;) {
        await Promise.resolve();
        writtenBytes += event.length;
        yield event;
      }
    },
  });
  await client.send(postOf(CHAT, STREAM));
  const { cancelled } = await seen;
  let before = -1;
  while (before !== writtenBytes) {
    before = writtenBytes;
    for (let i = 0; i < 20; i += 1) await door.assertServing();
  }
  assert.ok(writtenBytes < 64 * 1024 * 1024, `${writtenBytes} bytes for a client that read none`);
  client.close();
  await cancelled;
});

Deno.test("a reader that takes nothing for long is cut off", async () => {
  await using door = await SocketDoor.open({ http: { stalledReaderMs: 100 } });
  using client = await door.connect();
  const seen = door.engine.script({
    headers: SSE,
    async *pieces() {
      for (;;) {
        await Promise.resolve();
        yield bytes(`data: ${"x".repeat(64 * 1024)}\n\n`);
      }
    },
  });
  await client.send(postOf(CHAT, STREAM));
  await (await seen).cancelled;
  await door.assertServing();
});

Deno.test("a stream that the engine breaks off ends with an error event on the wire", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  void door.engine.script({
    headers: SSE,
    async *pieces() {
      await Promise.resolve();
      yield bytes("data: 1\n\ndata: ha");
    },
    cut: "after the pieces",
  });
  await client.send(postOf(CHAT, STREAM));
  const { status, body } = await client.readAnswer();
  assert.equal(status, 200);
  assert.match(body, /^data: 1\n\ndata: \{"error":\{.*"code":"upstream_failed"\}\}\n\n$/);
  await door.assertServing();
});

Deno.test("an answer that is no event stream is an error when the engine breaks off", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  void door.engine.script({
    headers: { "content-type": "application/json" },
    async *pieces() {
      await Promise.resolve();
      yield bytes('{"a":');
    },
    cut: "after the pieces",
  });
  await client.send(postOf(CHAT, HI));
  const { status, body } = await client.readAnswer();
  assert.deepEqual([status, JSON.parse(body).error.code], [502, "upstream_failed"]);
  await door.assertServing();
});

Deno.test("a kept connection serves one request after the other, errors between", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  for (let i = 0; i < 3; i += 1) {
    void door.engine.script({ whole: bytes(`{"n":${i}}`) });
    await client.send(postOf(CHAT, HI));
    assert.equal((await client.readAnswer()).body, `{"n":${i}}`);
    await client.send(postOf(CHAT, "{"));
    assert.equal((await client.readAnswer()).status, 400);
    await client.send("HEAD /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n");
    assert.equal((await client.readAnswer({ isHead: true })).status, 200);
  }
  assert.equal(door.engine.connectionCount, 1);
});

Deno.test("a request whose kept connection the engine closed is sent once more on a new one", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  void door.engine.script({ whole: bytes("{}") });
  await client.send(postOf(CHAT, HI));
  await client.readAnswer();
  // As when the engine's idle timer runs out in the moment in which the request arrives.
  void door.engine.script({ cut: "before the head" });
  void door.engine.script({ whole: bytes('{"again":true}') });
  await client.send(postOf(CHAT, HI));
  assert.equal((await client.readAnswer()).body, '{"again":true}');
});

Deno.test("an engine that closes a new connection without an answer is not asked twice", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  void door.engine.script({ cut: "before the head" });
  void door.engine.script({ whole: bytes("{}") });
  await client.send(postOf(CHAT, HI));
  const answer = await client.readAnswer();
  assert.equal(answer.status, 502);
  assert.equal(JSON.parse(answer.body).error.code, "upstream_failed");
});

Deno.test("a close with grace lets a running answer end and takes no new connection", async () => {
  const door = await SocketDoor.open();
  const ready = Promise.withResolvers<void>();
  const client = await door.connect();
  const idle = await door.connect();
  const seen = door.engine.script({
    headers: SSE,
    async *pieces() {
      yield bytes("data: 1\n\n");
      await ready.promise;
      yield bytes("data: 2\n\n");
    },
  });
  await client.send(postOf(CHAT, STREAM));
  await seen;
  const closed = door.server.close({ graceMs: 60_000 });
  assert.equal(await idle.readToEnd(), "");
  await assert.rejects(door.connect());
  ready.resolve();
  assert.equal((await client.readAnswer()).body, "data: 1\n\ndata: 2\n\n");
  await closed;
  for (const one of [client, idle]) one.close();
  await door[Symbol.asyncDispose]();
});

Deno.test("a close without grace cuts what runs and cancels the engine's work", async () => {
  const door = await SocketDoor.open();
  const client = await door.connect();
  const seen = door.engine.script({ isSilent: true });
  await client.send(headOf(CHAT, `content-length: ${HI.length}\r\n`) + HI);
  const { cancelled } = await seen;
  await door.server.close({ graceMs: 0 });
  await cancelled;
  assert.equal(await client.readToEnd(), "");
  client.close();
  await door[Symbol.asyncDispose]();
});
