import assert from "node:assert/strict";
import { BODY_BYTES_MAX } from "~/api/body.ts";
import { UNSENT_BYTES_MAX } from "~/api/event_stream.ts";
import { MemoryNode, TEST_TOKEN } from "#support/managed_node.ts";
import { ManagementDoor } from "#support/management_door.ts";
import { SseReader } from "#support/sse.ts";

const MANAGER = { authorization: `Bearer ${TEST_TOKEN}` };

/** A node that says when the number of its followers changes. */
class WatchedNode extends MemoryNode {
  #waiting: (() => void)[] = [];

  override subscribe(...args: Parameters<MemoryNode["subscribe"]>): () => void {
    const stop = super.subscribe(...args);
    this.#wake();
    return () => {
      stop();
      this.#wake();
    };
  }

  /** Resolves once this many follow. */
  async followers(count: number): Promise<void> {
    while (this.listenerCount !== count) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

async function openWatched(): Promise<[ManagementDoor, WatchedNode]> {
  const door = new ManagementDoor();
  const node = new WatchedNode();
  door.node = node;
  await door.start();
  return [door, node];
}

/** Lets things happen until all have noticed that they are alone: writing is what tells. */
async function publishUntilAlone(door: ManagementDoor, node: WatchedNode): Promise<void> {
  while (node.listenerCount > 0) {
    node.publish({ kind: "model", data: {} });
    const answer = await fetch(`${door.url}/api/status`);
    await answer.body?.cancel();
  }
}

/** Sends raw bytes and returns all that comes back until the server closes. */
async function exchangeRaw(port: number, text: string): Promise<string> {
  using socket = await Deno.connect({ hostname: "127.0.0.1", port });
  await socket.write(new TextEncoder().encode(text));
  const parts: string[] = [];
  const decoder = new TextDecoder();
  for await (const bytes of socket.readable) parts.push(decoder.decode(bytes, { stream: true }));
  return parts.join("");
}

Deno.test("the door answers status, page, metrics and refusals over real sockets", async () => {
  await using door = await ManagementDoor.open();
  const status = await fetch(`${door.url}/api/status`, { headers: MANAGER });
  assert.deepEqual(await status.json(), door.node.snapshot);
  const page = await fetch(`${door.url}/`);
  assert.match(await page.text(), /^<!DOCTYPE html>/);
  const metrics = await fetch(`${door.url}/metrics`);
  assert.equal(await metrics.text(), "mesh_llm_up 1\n");
  const missing = await fetch(`${door.url}/nowhere`);
  assert.equal((await missing.json()).error.code, "not_found");
});

Deno.test("the door shows the invite token to a plain program and hides it from a forwarded one", async () => {
  await using door = await ManagementDoor.open();
  const ask = (more: string): Promise<string> =>
    exchangeRaw(
      door.port,
      `GET /api/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${more}\r\n`,
    );
  assert.match(await ask(""), /"token":"secret-invite-token"/);
  assert.match(await ask("X-Forwarded-For: 10.0.0.9\r\n"), /"token":null/);
  assert.match(await ask("Sec-Fetch-Site: same-origin\r\n"), /"token":null/);
});

Deno.test.each([
  ["a foreign Host", "Host: evil.example\r\n", "403"],
  ["no Host", "", "403"],
  ["two Hosts", "Host: localhost\r\nHost: evil.example\r\n", "400"],
  ["a foreign Origin", "Host: localhost\r\nOrigin: http://evil.example\r\n", "403"],
])("the door refuses %s on the wire", async (_title, headers, status) => {
  await using door = await ManagementDoor.open();
  const request = `GET /api/status HTTP/1.1\r\n${headers}Connection: close\r\n\r\n`;
  const answer = await exchangeRaw(door.port, request);
  assert.ok(answer.startsWith(`HTTP/1.1 ${status} `), answer.slice(0, 60));
  assert.ok(!answer.includes("secret-invite-token"));
});

Deno.test("the door takes writes with the token and bounds their bodies, announced or not", async () => {
  await using door = await ManagementDoor.open();
  const post = (body: BodyInit): Promise<Response> =>
    fetch(`${door.url}/api/models`, {
      method: "POST",
      headers: { ...MANAGER, "content-type": "application/json" },
      body,
    });
  const good = await post('{"model":"größe/a b"}');
  assert.deepEqual([good.status, await good.json()], [202, { model: "größe/a b" }]);
  const large = new Uint8Array(BODY_BYTES_MAX + 1).fill(0x20);
  const announced = await post(large);
  assert.equal((await announced.json()).error.code, "body_too_large");
  const chunked = await post(ReadableStream.from([large]));
  assert.equal((await chunked.json()).error.code, "body_too_large");
  const drop = await fetch(`${door.url}/api/models/${encodeURIComponent("größe/a b")}`, {
    method: "DELETE",
    headers: MANAGER,
  });
  assert.equal(drop.status, 200);
  await drop.body?.cancel();
  assert.deepEqual(door.node.calls, ["load größe/a b", "drop größe/a b"]);
});

Deno.test("GET /api/events tells what happens as it happens, and forgets one who left", async () => {
  const [door, node] = await openWatched();
  await using _door = door;
  const leaving = new AbortController();
  const answer = await fetch(`${door.url}/api/events`, { signal: leaving.signal });
  const reader = new SseReader(answer.body);
  assert.equal((await reader.next())?.event, "status");
  node.publish({ kind: "request", data: { n: 1 } });
  assert.equal((await reader.next())?.data, '{"n":1}');
  assert.equal(node.listenerCount, 1);
  leaving.abort();
  await publishUntilAlone(door, node);
});

Deno.test("GET /api/events forgets one whose socket closed", async () => {
  const [door, node] = await openWatched();
  await using _door = door;
  const socket = await Deno.connect({ hostname: "127.0.0.1", port: door.port });
  const request = "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
  await socket.write(new TextEncoder().encode(request));
  await node.followers(1);
  socket.close();
  await publishUntilAlone(door, node);
});

Deno.test("GET /api/events: pages loaded again and again do not use up the places", async () => {
  await using door = await ManagementDoor.open({}, { followersMax: 3 });
  let refused = 0;
  for (let opened = 0; opened < 50;) {
    using socket = await Deno.connect({ hostname: "127.0.0.1", port: door.port });
    const request = "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    await socket.write(new TextEncoder().encode(request));
    const head = new Uint8Array(12);
    await socket.read(head);
    const isOpen = new TextDecoder().decode(head).endsWith("200");
    opened += isOpen ? 1 : 0;
    refused += isOpen ? 0 : 1;
    assert.ok(refused < 50, "places of pages that are gone become free when others come");
  }
});

Deno.test("GET /api/events cuts off one that does not read, and others hear all", async () => {
  const [door, node] = await openWatched();
  await using _door = door;
  using idle = await Deno.connect({ hostname: "127.0.0.1", port: door.port });
  const request = "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
  await idle.write(new TextEncoder().encode(request));
  await node.followers(1);
  const leaving = new AbortController();
  const answer = await fetch(`${door.url}/api/events`, { signal: leaving.signal });
  const reader = new SseReader(answer.body);
  await reader.next();
  assert.equal(node.listenerCount, 2);
  // The kernel's buffers on both sides take some MiB before anything waits here.
  const text = "x".repeat(UNSENT_BYTES_MAX / 4);
  for (let n = 0; node.listenerCount === 2 && n < 400; n++) {
    node.publish({ kind: "model", data: { text, n } });
    assert.equal(JSON.parse((await reader.next())?.data ?? "{}").n, n);
  }
  assert.equal(node.listenerCount, 1, "the one that does not read is cut off");
  leaving.abort();
  await publishUntilAlone(door, node);
});

Deno.test("a node that stops ends its followers with a last comment", async () => {
  const door = await ManagementDoor.open();
  const answer = await fetch(`${door.url}/api/events`);
  const reader = new SseReader(answer.body);
  await reader.next();
  const stopped = door.stop();
  assert.equal((await reader.next())?.comment, "the node stops");
  assert.equal(await reader.next(), undefined);
  await stopped;
});

/** A node whose join ends only when nobody waits for it any more. */
class PatientNode extends MemoryNode {
  readonly asked = Promise.withResolvers<void>();
  readonly left = Promise.withResolvers<void>();

  override async join(
    ...[token, { signal }]: Parameters<MemoryNode["join"]>
  ): ReturnType<MemoryNode["join"]> {
    if (token === "quick.b.c") return await super.join(token, { signal });
    signal.addEventListener("abort", () => this.left.resolve());
    this.asked.resolve();
    await this.left.promise;
    throw signal.reason;
  }
}

Deno.test("a caller that hangs up while it waits for a join ends it, and the next can join", async () => {
  const door = new ManagementDoor();
  const node = new PatientNode();
  door.node = node;
  await door.start();
  try {
    const headers = { ...MANAGER, "content-type": "application/json" };
    const join = (token: string, signal?: AbortSignal): Promise<Response> =>
      fetch(`${door.url}/api/join`, {
        method: "POST",
        headers,
        body: JSON.stringify({ token }),
        ...(signal === undefined ? {} : { signal }),
      });
    const caller = new AbortController();
    const waiting = join("slow.b.c", caller.signal);
    await node.asked.promise;
    const second = await join("quick.b.c");
    assert.equal((await second.json()).error.code, "conflict");
    caller.abort();
    await assert.rejects(waiting);
    await node.left.promise;
    const next = await join("quick.b.c");
    assert.equal((await next.json()).peers, 2);
  } finally {
    await door.stop();
  }
});
