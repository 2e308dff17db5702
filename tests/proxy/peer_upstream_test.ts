import assert from "node:assert/strict";
import { MemoryPeerStream } from "#support/memory_peer_stream.ts";
import { FAR, TestPeerUpstream, turns } from "#support/peer_pair.ts";
import type { PeerStream } from "~/mesh/link_ports.ts";
import { PeerUpstream } from "~/proxy/peer_upstream.ts";
import type { Silence } from "~/proxy/patience.ts";
import { UpstreamError, type UpstreamRequest } from "~/proxy/ports.ts";

const REQUEST: UpstreamRequest = {
  method: "POST",
  path: "/v1/completions",
  headers: new Headers({ accept: "application/json", authorization: "Bearer secret" }),
  body: new TextEncoder().encode("{}"),
  model: "tiny",
};

function never(): AbortSignal {
  return new AbortController().signal;
}

for (const isRelayed of [false, true]) {
  Deno.test(`PeerUpstream addresses ${isRelayed ? "the node behind" : "the link"}`, async () => {
    const [near, far] = MemoryPeerStream.pair();
    const sent = new TestPeerUpstream(FAR, () => near, isRelayed).send(REQUEST, never());
    const frame = await far.read();
    assert.deepEqual(frame?.kind === "head" && frame.head, {
      t: "request",
      method: "POST",
      path: "/v1/completions",
      headers: [["accept", "application/json"]],
      bytes: 2,
      hops: isRelayed ? 1 : 0,
      model: "tiny",
      ...(isRelayed ? { to: FAR } : {}),
    });
    far.cancel();
    await assert.rejects(sent, UpstreamError);
  });
}

Deno.test("PeerUpstream leaves a suspect link when another target may answer", async () => {
  const [near, far] = MemoryPeerStream.pair();
  const upstream = new TestPeerUpstream(FAR, () => near);
  const sent = upstream.send({ ...REQUEST, hasAlternative: true }, never());
  await far.read();
  upstream.suspect("suspect");
  await assert.rejects(
    sent,
    (error) => error instanceof UpstreamError && !error.isConnectFailure,
  );
  assert.equal(far.broken.aborted, true, "the far side is told to stop");
  assert.equal(upstream.listenerCount, 0);
});

Deno.test("PeerUpstream waits on a suspect link when nobody else can answer", async () => {
  const [near, far] = MemoryPeerStream.pair();
  const upstream = new TestPeerUpstream(FAR, () => near);
  const sent = upstream.send(REQUEST, never());
  await far.read();
  upstream.suspect("suspect");
  await far.writeHead({ t: "answer", status: 200, headers: [["content-length", "2"]] });
  await far.writeText("ok");
  await far.end();
  assert.equal((await sent).status, 200);
});

Deno.test("PeerUpstream gives a node up that is silent, though nobody else can answer", async () => {
  const [near] = MemoryPeerStream.pair();
  const upstream = new TestPeerUpstream(FAR, () => near);
  const sent = upstream.send(REQUEST, never());
  upstream.suspect();
  upstream.silent();
  await assert.rejects(sent, { name: "UpstreamError", message: /Nothing is heard/ });
  assert.equal(near.isCancelled, true);
});

Deno.test("PeerUpstream does not leave a suspect link once the answer has begun", async () => {
  const [near, far] = MemoryPeerStream.pair();
  const upstream = new TestPeerUpstream(FAR, () => near);
  const sent = upstream.send({ ...REQUEST, hasAlternative: true }, never());
  await far.writeHead({ t: "answer", status: 200, headers: [] });
  const { body } = await sent;
  assert.equal(upstream.listenerCount, 0);
  await far.writeText("late");
  await far.end();
  assert.equal(await new Response(body).text(), "late");
});

for (const how of ["suspect", "abort"] as const) {
  Deno.test(`PeerUpstream gives a stream back that is opened after the ${how}`, async () => {
    const opening = Promise.withResolvers<PeerStream>();
    const abort = new AbortController();
    let suspect: (silence: Silence) => void = () => {};
    const upstream = new PeerUpstream({
      nodeId: FAR,
      isRelayed: false,
      openStream: () => opening.promise,
      onSilence: (listener) => {
        suspect = listener;
        return () => {};
      },
    });
    const sent = upstream.send({ ...REQUEST, hasAlternative: true }, abort.signal);
    if (how === "suspect") suspect("suspect");
    else abort.abort(new Error("gone"));
    await assert.rejects(sent, UpstreamError);
    const [near] = MemoryPeerStream.pair();
    opening.resolve(near);
    await turns(2);
    assert.equal(near.isCancelled, true);
  });
}
