/** A scripted engine at the far end of a link, without a door's own words between. */
import type { DoorEnv } from "~/base/http_door.ts";
import { type Link, LinkClosedError, type PeerStream } from "~/mesh/link_ports.ts";
import { PeerDoor } from "~/proxy/peer_door.ts";
import { PeerUpstream } from "~/proxy/peer_upstream.ts";
import type { UpstreamFixture } from "./engine_script.ts";
import { TestPeer } from "./link_peers.ts";
import { MemoryPeerStream } from "./memory_peer_stream.ts";
import { MemoryNetwork } from "./memory_transport.ts";
import { MemoryUpstream } from "./memory_upstream.ts";
import { FAR, NEAR_CALLER } from "./peer_pair.ts";
import { VirtualTime } from "./virtual_time.ts";

/** Over streams in memory. */
export function openPeerUpstream(): Promise<UpstreamFixture> {
  const { engine, door } = farEnd();
  const open = (): Promise<PeerStream> => {
    const [near, far] = MemoryPeerStream.pair();
    void door.serve(far, NEAR_CALLER);
    return Promise.resolve(near);
  };
  return Promise.resolve(fixture(engine, open, () => Promise.resolve()));
}

/** Over a link of two nodes on a network in memory. */
export async function openLinkUpstream(): Promise<UpstreamFixture> {
  const time = new VirtualTime();
  const network = new MemoryNetwork({ timers: time });
  const dialer = new TestPeer("dialer", { transport: network.open("10.0.0.1", "d"), time });
  const at = network.open("10.0.0.2", "l");
  const listener = new TestPeer("listener", { transport: at, time });
  const accepting = listener.accept();
  const near = await dialer.dial(listener, at.address);
  const far = await accepting;
  const { engine, door } = farEnd();
  start(near, () => {});
  start(far, (stream) => void door.serve(stream, NEAR_CALLER));
  return fixture(engine, () => near.openStream(), async () => {
    near.close("done");
    await dialer.transport.close();
    await listener.transport.close();
  });
}

function start(link: Link, stream: (stream: PeerStream) => void): void {
  link.start({ stream, message: () => {}, health: () => {}, quiet: () => {}, closed: () => {} });
}

function farEnd(): { readonly engine: MemoryUpstream; readonly door: PeerDoor } {
  const engine = new MemoryUpstream();
  const door = new PeerDoor({
    nodeId: FAR,
    fetch: (request, env) => passOn(engine, request, env),
    wayTo: () => undefined,
    misused: () => {},
    timers: new VirtualTime(),
  });
  return { engine, door };
}

function fixture(
  engine: MemoryUpstream,
  openStream: () => Promise<PeerStream>,
  close: () => Promise<void>,
): UpstreamFixture {
  const over = (open: () => Promise<PeerStream>): PeerUpstream =>
    new PeerUpstream({
      nodeId: FAR,
      isRelayed: false,
      openStream: open,
      onSilence: () => () => {},
    });
  return {
    upstream: over(openStream),
    nowhere: over(() => Promise.reject(new LinkClosedError("The link is closed"))),
    script: (script) => engine.script(script),
    [Symbol.asyncDispose]: close,
  };
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
