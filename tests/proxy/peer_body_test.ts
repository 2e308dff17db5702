import assert from "node:assert/strict";
import { MemoryPeerStream } from "#support/memory_peer_stream.ts";
import { turns } from "#support/peer_pair.ts";
import type { BodySink } from "~/base/http_door.ts";
import { PeerBody } from "~/proxy/peer_body.ts";

interface Read {
  readonly near: MemoryPeerStream;
  readonly far: MemoryPeerStream;
  readonly body: PeerBody;
  readonly heard: string[];
  readonly misuses: string[];
  readonly sink: BodySink;
}

function setup(sizeBytes: number, windowBytes?: number): Read {
  const [near, far] = MemoryPeerStream.pair(windowBytes);
  const misuses: string[] = [];
  const heard: string[] = [];
  const body = new PeerBody(far, { sizeBytes, misused: (what) => misuses.push(what) });
  const sink: BodySink = {
    chunk: (bytes) => heard.push(new TextDecoder().decode(bytes)),
    end: () => heard.push("END"),
    fail: (cause) => heard.push(`failed: ${cause.message}`),
  };
  return { near, far, body, heard, misuses, sink };
}

Deno.test("PeerBody delivers what comes, up to END", async () => {
  const { near, body, heard, misuses, sink } = setup(6);
  assert.equal(body.declaredBytes, 6);
  body.read(sink);
  await near.writeText("abc");
  await near.writeText("def");
  await near.end();
  await turns();
  assert.deepEqual(heard, ["abc", "def", "END"]);
  assert.equal(await body.discardRest(), true);
  assert.equal(body.isEnded, true);
  assert.deepEqual(misuses, []);
});

const WRONG: Readonly<Record<string, (near: MemoryPeerStream) => Promise<void>>> = {
  "too long": (near) => near.writeText("abcdefg"),
  "too short": async (near) => {
    await near.writeText("abc");
    await near.end();
  },
  "a second head": (near) => near.writeHead({ t: "request" }),
  "an empty piece": (near) => near.write({ kind: "data", bytes: new Uint8Array(0) }),
};
for (const [what, write] of Object.entries(WRONG)) {
  Deno.test(`PeerBody fails on a body that is wrong: ${what}`, async () => {
    const { near, body, heard, misuses, sink } = setup(6);
    body.read(sink);
    await write(near);
    await turns();
    assert.match(heard.at(-1) ?? "", /^failed: The peer sent /);
    if (what === "too short") assert.equal(await body.discardRest(), true, "it has ended");
    else await assert.rejects(body.discardRest(), /The peer sent/);
    assert.equal(misuses.length, 1, "it is told once");
  });
}

Deno.test("PeerBody fails when the stream breaks, which is no misuse", async () => {
  const { near, body, heard, misuses, sink } = setup(6);
  body.read(sink);
  await near.writeText("abc");
  await turns();
  near.cutOff();
  await turns();
  assert.match(heard.at(-1) ?? "", /^failed: /);
  assert.deepEqual(misuses, []);
});

Deno.test("PeerBody reads no further once it was stopped, so that the sender waits", async () => {
  const { near, far, body, heard, sink } = setup(10_000_000, 1_000);
  const stop = body.read(sink);
  stop();
  const writing = near.writeText("x".repeat(4_000_000));
  await turns();
  assert.ok(far.heldBytes > 0);
  assert.deepEqual(heard, []);
  assert.equal(await body.discardRest(), false, "more than a little is not read to be thrown away");
  near.cancel();
  await assert.rejects(writing);
});
