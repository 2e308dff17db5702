/** The far end of requests, with a near end that does what it likes. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { MemoryPeerStream } from "#support/memory_peer_stream.ts";
import { FAR, FarNode, NEAR, NEAR_CALLER, NEXT, turns } from "#support/peer_pair.ts";
import type { JsonObject } from "~/base/json.ts";
import { isJsonObject } from "~/base/json.ts";

const BODY = '{"model":"tiny"}';
const HEAD: JsonObject = {
  t: "request",
  method: "POST",
  path: "/v1/completions",
  headers: [],
  bytes: BODY.length,
  hops: 0,
};

interface Answer {
  readonly status: unknown;
  readonly refusal: unknown;
  readonly headers: unknown;
  readonly text: string;
}

/** Reads an answer to its END. */
async function answerOn(near: MemoryPeerStream): Promise<Answer> {
  const head = await near.read();
  assert.ok(head?.kind === "head");
  let text = "";
  for (let frame = await near.read(); frame !== undefined; frame = await near.read()) {
    text += frame.kind === "data" ? new TextDecoder().decode(frame.bytes) : "(head)";
  }
  const { status, refusal, headers } = head.head;
  return { status, refusal, headers, text };
}

/** Sends a whole request; what was wrong with sending is not of interest. */
async function send(near: MemoryPeerStream, change: JsonObject = {}, body = BODY): Promise<void> {
  await near.writeHead({ ...HEAD, ...change });
  await near.writeText(body);
  await near.end();
}

function codeIn(text: string): unknown {
  const body: unknown = JSON.parse(text);
  const error = isJsonObject(body) ? body["error"] : undefined;
  return isJsonObject(error) ? error["code"] : undefined;
}

Deno.test("PeerDoor answers a request as the door answers its own clients", async () => {
  const far = new FarNode();
  const seen = far.door.engine.script({
    whole: new TextEncoder().encode('{"ok":true}'),
    headers: { "content-type": "application/json" },
  });
  const near = far.open();
  await send(near, {
    headers: [
      ["accept", "text/event-stream"],
      ["x-request-id", "from-near"],
      ["authorization", "Bearer secret"],
      ["cookie", "a=b"],
    ],
  });
  const answer = await answerOn(near);
  assert.deepEqual([answer.status, answer.text], [200, '{"ok":true}']);
  assert.deepEqual(answer.headers, [["content-length", "11"], [
    "content-type",
    "application/json",
  ]]);
  const { headers } = await seen;
  assert.deepEqual([...headers].map(([name]) => name).sort(), [
    "accept",
    "content-type",
    "x-request-id",
  ]);
  assert.equal(headers.get("x-request-id"), "from-near");
  await far.served[0];
  assert.equal(far.time.pendingCount, 0);
  assert.deepEqual(far.misuses, []);
});

Deno.test("PeerDoor needs no key and no Host: the link proved who asks", async () => {
  const far = new FarNode({ keys: ["secret-key-1"] });
  void far.door.engine.script({ whole: new TextEncoder().encode("{}") });
  const near = far.open();
  await send(near);
  assert.equal((await answerOn(near)).status, 200);
});

Deno.test("PeerDoor refuses a peer without the right to ask, in the shape of all errors", async () => {
  const far = new FarNode();
  const near = far.open({ nodeId: NEAR, rights: ["serve"] });
  await send(near);
  const { status, refusal, text } = await answerOn(near);
  assert.deepEqual([status, refusal, codeIn(text)], [403, "forbidden", "forbidden"]);
  assert.equal(far.door.engine.seen.length, 0);
  await far.served[0];
});

const BAD_HEADS: Readonly<Record<string, JsonObject>> = {
  "the metrics": { path: "/metrics" },
  "the list of models": { path: "/v1/models" },
  "DELETE": { method: "DELETE" },
  "five hops": { hops: 5 },
  "another kind": { t: "tunnel" },
  "a header that injects": { headers: [["accept", "a\r\nb: c"]] },
};
for (const [what, change] of Object.entries(BAD_HEADS)) {
  Deno.test(`PeerDoor cuts the stream and tells on ${what}`, async () => {
    const far = new FarNode();
    const near = far.open();
    await near.writeHead({ ...HEAD, ...change });
    await far.served[0];
    assert.equal(near.broken.aborted, true);
    assert.equal(far.misuses.length, 1);
    assert.equal(far.door.events.length, 0);
  });
}

Deno.test("PeerDoor cuts a stream that begins with data, or ends at once", async () => {
  const far = new FarNode();
  await far.open().writeText("data").catch(() => {});
  await far.open().end();
  await Promise.all(far.served);
  assert.equal(far.misuses.length, 2);
});

Deno.test("PeerDoor waits for a head, but not for long", async () => {
  const far = new FarNode();
  const near = far.open();
  far.time.advance(29_999);
  assert.equal(near.broken.aborted, false);
  far.time.advance(1);
  await far.served[0];
  assert.equal(near.broken.aborted, true);
  assert.match(far.misuses[0] ?? "", /in time/);
});

Deno.test("PeerDoor refuses a body of more than 64 MiB before it is sent", async () => {
  const far = new FarNode();
  const near = far.open();
  await near.writeHead({ ...HEAD, bytes: 64 * 1024 * 1024 + 1 });
  const { status, refusal, text } = await answerOn(near);
  assert.deepEqual([status, refusal, codeIn(text)], [413, undefined, "body_too_large"]);
  near.cancel();
  await far.served[0];
  assert.equal(far.time.pendingCount, 0);
});

Deno.test("PeerDoor lets go of a peer that goes on sending after its answer", async () => {
  const far = new FarNode();
  const near = far.open();
  await near.writeHead({ ...HEAD, bytes: 64 * 1024 * 1024 + 1 });
  const sending = near.writeText("x".repeat(8_000_000)).catch((error) => error.name);
  assert.equal((await answerOn(near)).status, 413);
  await turns();
  assert.equal(near.broken.aborted, false, "a peer of good will has time to hear the answer");
  far.time.advance(10_000);
  await far.served[0];
  assert.equal(await sending, "StreamBrokenError");
});

for (const [what, bytes] of [["longer", BODY.length - 1], ["shorter", BODY.length + 1]] as const) {
  Deno.test(`PeerDoor refuses a body that is ${what} than announced`, async () => {
    const far = new FarNode();
    const near = far.open();
    await send(near, { bytes }).catch(() => {});
    await far.served[0];
    assert.equal(far.misuses.length, 1);
    assert.equal(far.door.engine.seen.length, 0);
    assert.equal(far.door.finished[0]?.code, "invalid_request_error");
  });
}

Deno.test("PeerDoor computes for `to` itself, and never passes on what was passed on", async () => {
  const far = new FarNode({ wayTo: () => assert.fail("nobody is to be asked") });
  void far.door.engine.script({ whole: new TextEncoder().encode("{}") });
  const own = far.open();
  await send(own, { to: FAR, hops: 1 });
  assert.equal((await answerOn(own)).status, 200);
  const other = far.open();
  await send(other, { to: NEXT, hops: 0 });
  const { status, refusal } = await answerOn(other);
  assert.deepEqual([status, refusal], [503, "no_hop"]);
  const back = far.open();
  await send(back, { to: NEAR, hops: 1 });
  assert.equal((await answerOn(back)).refusal, "unreachable");
  await Promise.all(far.served);
});

Deno.test("PeerDoor serves peers what it serves itself, never what others do", async () => {
  const far = new FarNode({ isEmpty: true });
  far.door.table.serve("elsewhere", far.door.engine);
  far.door.localTable.serve("own", far.door.engine);
  const elsewhere = far.open();
  await send(elsewhere, { model: "elsewhere" });
  const { status, text } = await answerOn(elsewhere);
  assert.deepEqual([status, codeIn(text)], [404, "model_not_found"]);
  assert.equal(far.door.engine.seen.length, 0);
  // The near side settled on a model: the body's own word, or none, does not matter.
  void far.door.engine.script({ whole: new TextEncoder().encode("{}") });
  const own = far.open();
  await send(own, { model: "own", bytes: 2 }, "{}");
  assert.equal((await answerOn(own)).status, 200);
});

Deno.test("PeerDoor cancels the engine when the peer gives up during the prefill", async () => {
  const far = new FarNode();
  const seen = far.door.engine.script({ isSilent: true });
  const near = far.open();
  await send(near);
  const { cancelled } = await seen;
  near.cancel();
  await cancelled;
  await far.served[0];
  assert.equal(far.door.finished[0]?.outcome, "client gone");
});

Deno.test("PeerDoor bounds the requests of one peer, not those of another", async () => {
  const bounded = new FarNode({ peerLimits: { requestsMax: 1 } });
  void bounded.door.engine.script({ isSilent: true });
  const first = bounded.open();
  await send(first);
  await turns();
  const second = bounded.open();
  await send(second);
  assert.deepEqual((await answerOn(second)).refusal, "busy");
  void bounded.door.engine.script({ whole: new TextEncoder().encode("{}") });
  const other = bounded.open({ ...NEAR_CALLER, nodeId: NEXT });
  await send(other);
  assert.equal((await answerOn(other)).status, 200);
  first.cancel();
  await Promise.all(bounded.served);
});

Deno.test("PeerDoor turns new requests away when it stops, and ends those that run", async () => {
  const far = new FarNode();
  const go = Promise.withResolvers<void>();
  const seen = far.door.engine.script({
    async *pieces() {
      await go.promise;
      yield new TextEncoder().encode("late");
    },
  });
  const running = far.open();
  await send(running);
  await seen;
  far.peers.stop();
  const late = far.open();
  await send(late);
  assert.equal((await answerOn(late)).refusal, "stopping");
  go.resolve();
  assert.equal((await answerOn(running)).text, "late");
});

Deno.test("PeerDoor ends every stream, whatever frames come", async () => {
  const frames = fc.array(
    fc.oneof(
      fc.dictionary(fc.constantFrom("t", "path", "bytes", "hops"), fc.jsonValue())
        .map((change) => ({ kind: "head" as const, head: { ...HEAD, ...change as JsonObject } })),
      fc.constant({ kind: "head" as const, head: HEAD }),
      fc.uint8Array({ maxLength: 20 })
        .map((bytes) => ({ kind: "data" as const, bytes: new Uint8Array(bytes) })),
    ),
    { maxLength: 5 },
  );
  await fc.assert(
    fc.asyncProperty(frames, fc.boolean(), async (list, isEnded) => {
      const far = new FarNode();
      const near = far.open();
      for (const frame of list) await near.write(frame).catch(() => {});
      if (isEnded) await near.end().catch(() => {});
      else near.cancel();
      await turns(2);
      near.cancel();
      await far.served[0];
      assert.equal(far.time.pendingCount, 0);
      const { events, finished } = far.door;
      assert.equal(events.filter(({ kind }) => kind === "received").length, finished.length);
    }),
    { numRuns: 150 },
  );
});
