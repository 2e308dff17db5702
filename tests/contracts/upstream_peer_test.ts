import { MemoryPeerStream } from "#support/memory_peer_stream.ts";
import { MemoryUpstream } from "#support/memory_upstream.ts";
import type { UpstreamFixture } from "#support/engine_script.ts";
import { FAR, NEAR_CALLER, TestPeerUpstream } from "#support/peer_pair.ts";
import { VirtualTime } from "#support/virtual_time.ts";
import type { DoorEnv } from "~/base/http_door.ts";
import { PeerDoor } from "~/proxy/peer_door.ts";
import { testUpstreamContract } from "./upstream_contract.ts";

testUpstreamContract("PeerUpstream", openPeerUpstream);

/** A scripted engine at the far end of a link, without a door's own words between. */
function openPeerUpstream(): Promise<UpstreamFixture> {
  const engine = new MemoryUpstream();
  const door = new PeerDoor({
    nodeId: FAR,
    fetch: (request, env) => passOn(engine, request, env),
    wayTo: () => undefined,
    misused: () => {},
    timers: new VirtualTime(),
  });
  const open = (): MemoryPeerStream => {
    const [near, far] = MemoryPeerStream.pair();
    void door.serve(far, NEAR_CALLER);
    return near;
  };
  return Promise.resolve({
    upstream: new TestPeerUpstream(FAR, open),
    nowhere: new TestPeerUpstream(FAR, undefined),
    script: (script) => engine.script(script),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
}

async function passOn(engine: MemoryUpstream, request: Request, env: DoorEnv): Promise<Response> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  await new Promise<void>((resolve, reject) => {
    env.body.read({
      chunk: (bytes) => pieces.push(new Uint8Array(bytes)),
      end: resolve,
      fail: reject,
    });
  });
  const body = new Uint8Array(await new Blob(pieces).arrayBuffer());
  const answer = await engine.send({
    method: "POST",
    path: new URL(request.url).pathname,
    headers: request.headers,
    body,
  }, env.clientGone);
  const headers = new Headers(answer.headers);
  if (answer.body instanceof Uint8Array) headers.set("content-length", String(answer.body.length));
  return new Response(answer.body, { status: answer.status, headers });
}
