import assert from "node:assert/strict";
import { MemoryPeerStream } from "#support/memory_peer_stream.ts";
import { FarNode, NEXT, TestPeerUpstream, turns } from "#support/peer_pair.ts";
import type { PeerStream } from "~/mesh/link_ports.ts";
import { decodeRequestHead, type PeerRequestHead } from "~/proxy/peer_head.ts";
import { RelayFailedError, relayPeerStream } from "~/proxy/peer_relay.ts";
import type { Silence } from "~/proxy/patience.ts";
import { UpstreamError, type UpstreamRequest } from "~/proxy/ports.ts";

const HEAD: PeerRequestHead = {
  path: "/v1/completions",
  headers: new Headers({ accept: "text/event-stream" }),
  model: "tiny",
  sizeBytes: 3,
  to: NEXT,
  hops: 1,
  isContinuation: false,
};
const ANSWER = { t: "answer", status: 200, headers: [] };
const REQUEST: UpstreamRequest = {
  method: "POST",
  path: "/v1/completions",
  headers: new Headers(),
  body: new TextEncoder().encode('{"model":"tiny"}'),
  model: "tiny",
};

/** A relay between two streams, with a test at both outer ends. */
function setup(): {
  readonly near: MemoryPeerStream;
  readonly far: MemoryPeerStream;
  readonly suspect: (silence?: Silence) => void;
  readonly done: Promise<void>;
} {
  const [near, from] = MemoryPeerStream.pair();
  const [to, far] = MemoryPeerStream.pair();
  let suspect: (silence: Silence) => void = () => {};
  const done = relayPeerStream(from, {
    openStream: () => Promise.resolve(to),
    onSilence: (listener) => {
      suspect = listener;
      return () => suspect = () => {};
    },
  }, HEAD);
  return { near, far, suspect: (silence = "suspect") => suspect(silence), done };
}

Deno.test("a relay passes head, bytes and END on both ways, and counts the hop", async () => {
  const { near, far, done } = setup();
  await near.writeText("[1]");
  await near.end();
  const head = await far.read();
  assert.ok(head?.kind === "head");
  const { hops, to, path, model, sizeBytes, headers } = decodeRequestHead(head.head);
  assert.deepEqual([hops, to, path, model, sizeBytes], [0, NEXT, "/v1/completions", "tiny", 3]);
  assert.deepEqual([...headers], [["accept", "text/event-stream"]]);
  const data = await far.read();
  assert.equal(data?.kind === "data" && new TextDecoder().decode(data.bytes), "[1]");
  assert.equal(await far.read(), undefined);
  await far.writeHead(ANSWER);
  await far.writeText("yes");
  await far.end();
  await done;
  assert.deepEqual(await near.read(), { kind: "head", head: ANSWER });
  const answer = await near.read();
  assert.equal(answer?.kind === "data" && new TextDecoder().decode(answer.bytes), "yes");
  assert.equal(await near.read(), undefined);
});

for (const who of ["near", "far"] as const) {
  for (const how of ["cancel", "cutOff"] as const) {
    for (const when of ["before the head", "in the middle"] as const) {
      Deno.test(`a relay ends both ways on ${how}() by the ${who} end ${when}`, async () => {
        const ends = setup();
        const other = who === "near" ? ends.far : ends.near;
        await ends.far.read();
        if (when === "in the middle") {
          await ends.far.writeHead(ANSWER);
          await ends.near.read();
        }
        ends[who][how]();
        await ends.done;
        assert.equal(other.broken.aborted, true);
      });
    }
  }
}

Deno.test("a relay lets a slow end slow the other", async () => {
  const { near, far, done } = setup();
  await far.read();
  await far.writeHead(ANSWER);
  let writtenBytes = 0;
  const writing = (async () => {
    for (;;) {
      await far.write({ kind: "data", bytes: new Uint8Array(64 * 1024) });
      writtenBytes += 64 * 1024;
    }
  })().catch(() => {});
  let before = -1;
  while (before !== writtenBytes) {
    before = writtenBytes;
    await turns();
  }
  assert.ok(writtenBytes < 1024 * 1024, `${writtenBytes} bytes for a reader that took none`);
  near.cancel();
  await writing;
  await done;
});

Deno.test("a relay refuses heads and empty pieces in a request's body", async () => {
  for (const what of ["head", "empty"]) {
    const { near, far, done } = setup();
    if (what === "head") await near.writeHead({ t: "request" });
    else await near.write({ kind: "data", bytes: new Uint8Array(0) });
    await done;
    assert.equal(near.broken.aborted, true);
    assert.equal(far.broken.aborted, true);
  }
});

Deno.test("a relay gives up on a suspect link, but not once an answer has begun", async () => {
  const early = setup();
  await early.far.read();
  early.suspect();
  await early.done;
  assert.equal(early.near.broken.aborted, true);

  const late = setup();
  await late.far.read();
  await late.far.writeHead(ANSWER);
  await late.near.read();
  late.suspect();
  assert.equal(late.near.broken.aborted, false);
  late.suspect("silent");
  await late.done;
  assert.equal(late.near.broken.aborted, true, "its node counts as gone");
});

Deno.test("a relay that reaches nobody leaves the stream open, to say so", async () => {
  const [near, from] = MemoryPeerStream.pair();
  const way = {
    openStream: () => Promise.reject(new Error("closed")),
    onSilence: () => () => {},
  };
  await assert.rejects(relayPeerStream(from, way, HEAD), RelayFailedError);
  assert.equal(near.broken.aborted, false);
});

Deno.test("a relay gives a stream back that is opened after the near end left", async () => {
  const [near, from] = MemoryPeerStream.pair();
  const opening = Promise.withResolvers<PeerStream>();
  const way = { openStream: () => opening.promise, onSilence: () => () => {} };
  const relayed = relayPeerStream(from, way, HEAD);
  near.cancel();
  await assert.rejects(relayed, RelayFailedError);
  const [to] = MemoryPeerStream.pair();
  opening.resolve(to);
  await turns(2);
  assert.equal(to.isCancelled, true);
});

/** A gateway that passes on to `far`, and a way through it. */
function throughGateway(
  far: FarNode | undefined,
  relaysMax?: number,
): { readonly gateway: FarNode; readonly upstream: TestPeerUpstream } {
  const gateway = new FarNode({
    ...(relaysMax === undefined ? {} : { peerLimits: { relaysMax } }),
    wayTo: (nodeId) =>
      far === undefined || nodeId !== NEXT ? undefined : {
        openStream: () => Promise.resolve(far.open()),
        onSilence: () => () => {},
      },
  });
  return { gateway, upstream: new TestPeerUpstream(NEXT, () => gateway.open(), true) };
}

Deno.test("a gateway passes on a request that it does not compute itself", async () => {
  const far = new FarNode({ nodeId: NEXT });
  const { gateway, upstream } = throughGateway(far);
  void far.door.engine.script({ whole: new TextEncoder().encode("far away") });
  const { body } = await upstream.send(REQUEST, new AbortController().signal);
  assert.equal(new TextDecoder().decode(body as Uint8Array), "far away");
  assert.equal(gateway.door.engine.seen.length, 0);
  assert.equal(gateway.door.events.length, 0);
});

Deno.test("a cancel goes through a gateway to the engine", async () => {
  const far = new FarNode({ nodeId: NEXT });
  const { gateway, upstream } = throughGateway(far);
  const seen = far.door.engine.script({ isSilent: true });
  const abort = new AbortController();
  const sent = upstream.send(REQUEST, abort.signal);
  const { cancelled } = await seen;
  abort.abort(new Error("gone"));
  await assert.rejects(sent, UpstreamError);
  await cancelled;
  await Promise.all([...gateway.served, ...far.served]);
});

Deno.test("a gateway says that it cannot reach the node: nothing was computed", async () => {
  const { upstream } = throughGateway(undefined);
  await assert.rejects(
    upstream.send(REQUEST, new AbortController().signal),
    (error) =>
      error instanceof UpstreamError && error.isConnectFailure && /no link/.test(error.message),
  );
});

Deno.test("a gateway passes on a bounded number of requests of one peer", async () => {
  const far = new FarNode({ nodeId: NEXT });
  const { gateway, upstream } = throughGateway(far, 1);
  const seen = far.door.engine.script({ isSilent: true });
  const abort = new AbortController();
  const first = upstream.send(REQUEST, abort.signal).catch(() => {});
  await seen;
  await assert.rejects(
    upstream.send(REQUEST, new AbortController().signal),
    (error) =>
      error instanceof UpstreamError && error.isConnectFailure && /too many/.test(error.message),
  );
  abort.abort();
  await first;
  await Promise.all(gateway.served);
  void far.door.engine.script({ whole: new TextEncoder().encode("{}") });
  assert.equal((await upstream.send(REQUEST, new AbortController().signal)).status, 200);
});
