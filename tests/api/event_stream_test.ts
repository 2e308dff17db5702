import assert from "node:assert/strict";
import fc from "fast-check";
import {
  type EventFollower,
  HEARTBEAT_MS,
  openEventStream,
  parseEventId,
  UNSENT_BYTES_MAX,
} from "~/api/event_stream.ts";
import { MemoryNode } from "#support/managed_node.ts";
import { type SseBlock, SseReader } from "#support/sse.ts";
import { VirtualTime } from "#support/virtual_time.ts";

interface Setup {
  readonly node: MemoryNode;
  readonly time: VirtualTime;
  readonly closing: AbortController;
  overs: number;
  follow(options?: FollowOptions): EventFollower;
  open(options?: FollowOptions): SseReader;
}

interface FollowOptions {
  readonly afterId?: number;
  readonly maySeeToken?: boolean;
}

function setUp(firstId = 100): Setup {
  const setup: Setup = {
    node: new MemoryNode({ firstId }),
    time: new VirtualTime(),
    closing: new AbortController(),
    overs: 0,
    follow: ({ afterId, maySeeToken = false } = {}) =>
      openEventStream({
        node: setup.node,
        timers: setup.time,
        maySeeToken,
        ...(afterId === undefined ? {} : { afterId }),
        endSignals: [setup.closing.signal],
        onOver: () => void (setup.overs += 1),
      }),
    open: (options) => new SseReader(setup.follow(options).stream),
  };
  return setup;
}

const request = (n: number): { kind: "request"; data: { n: number } } => ({
  kind: "request",
  data: { n },
});
async function take(reader: SseReader, count: number): Promise<SseBlock[]> {
  const blocks: SseBlock[] = [];
  for (let i = 0; i < count; i++) blocks.push(await reader.next() ?? { comment: "END" });
  return blocks;
}
const brief = (blocks: readonly SseBlock[]): string[] =>
  blocks.map(({ id, event, comment }) => event === undefined ? `: ${comment}` : `${id} ${event}`);

Deno.test("openEventStream() begins with the whole status, then tells what happens", async () => {
  const setup = setUp();
  setup.node.publish(request(1));
  const reader = setup.open();
  setup.node.publish(request(2));
  setup.node.publish({ kind: "model", data: { name: "a\nb" } });
  const [status, second, model] = await take(reader, 3);
  assert.deepEqual([status?.event, status?.id, status?.retry], ["status", "100", "1000"]);
  assert.equal(JSON.parse(status?.data ?? "").node_status, "serving");
  assert.deepEqual(second, { id: "101", event: "request", data: '{"n":2}' });
  assert.deepEqual(model, { id: "102", event: "model", data: '{"name":"a\\nb"}' });
  await reader.cancel();
});

Deno.test("openEventStream() replays what a follower missed, after the status", async () => {
  const setup = setUp();
  for (let n = 1; n <= 4; n++) setup.node.publish(request(n));
  const reader = setup.open({ afterId: 101 });
  setup.node.publish(request(5));
  const blocks = await take(reader, 4);
  assert.deepEqual(brief(blocks), ["101 status", "102 request", "103 request", "104 request"]);
  await reader.cancel();
});

Deno.test("openEventStream() skips replayed statuses: the first one is newer", async () => {
  const setup = setUp();
  setup.node.change({ node_status: "loading" });
  setup.node.publish(request(1));
  const reader = setup.open({ afterId: 99 });
  setup.node.change({ node_status: "failed" });
  const blocks = await take(reader, 3);
  assert.deepEqual(brief(blocks), ["99 status", "101 request", "102 status"]);
  await reader.cancel();
});

Deno.test("openEventStream() takes an id from the future for that of a new follower", async () => {
  const setup = setUp();
  setup.node.publish(request(1));
  const reader = setup.open({ afterId: 5000 });
  setup.node.publish(request(2));
  assert.deepEqual(brief(await take(reader, 2)), ["100 status", "101 request"]);
  await reader.cancel();
});

Deno.test("openEventStream() sends the status of the moment and never what the event holds", async () => {
  const setup = setUp();
  const reader = setup.open();
  setup.node.snapshot = { ...setup.node.snapshot, queued_requests: 7 };
  setup.node.publish({ kind: "status", data: { token: "secret-invite-token" } });
  const [first, second] = await take(reader, 2);
  assert.equal(JSON.parse(second?.data ?? "").queued_requests, 7);
  for (const block of [first, second]) {
    assert.equal(JSON.parse(block?.data ?? "").token, null);
    assert.ok(!block?.data?.includes("secret-invite-token"));
  }
  await reader.cancel();
});

Deno.test("openEventStream() shows the invite token to those who may see it", async () => {
  const setup = setUp();
  const reader = setup.open({ maySeeToken: true });
  const [status] = await take(reader, 1);
  assert.equal(JSON.parse(status?.data ?? "").token, "secret-invite-token");
  await reader.cancel();
});

Deno.test("openEventStream() sends a comment every 15 s", async () => {
  const setup = setUp();
  const reader = setup.open();
  await take(reader, 1);
  setup.time.advance(HEARTBEAT_MS - 1);
  setup.node.publish(request(1));
  setup.time.advance(1);
  setup.time.advance(HEARTBEAT_MS);
  const blocks = await take(reader, 3);
  assert.deepEqual(brief(blocks), ["100 request", ": still here", ": still here"]);
  assert.equal(HEARTBEAT_MS, 15_000);
  await reader.cancel();
});

Deno.test("openEventStream() lets everything go when the follower leaves", async () => {
  const setup = setUp();
  const reader = setup.open();
  await take(reader, 1);
  assert.deepEqual([setup.node.listenerCount, setup.time.pendingCount], [1, 1]);
  await reader.cancel();
  assert.deepEqual([setup.node.listenerCount, setup.time.pendingCount, setup.overs], [0, 0, 1]);
  setup.closing.abort();
  assert.equal(setup.overs, 1);
});

Deno.test("openEventStream() ends with a last comment when the node stops", async () => {
  const setup = setUp();
  const reader = setup.open();
  setup.node.publish(request(1));
  setup.closing.abort();
  const blocks = await take(reader, 4);
  assert.deepEqual(brief(blocks), ["99 status", "100 request", ": the node stops", ": END"]);
  assert.deepEqual([setup.node.listenerCount, setup.time.pendingCount, setup.overs], [0, 0, 1]);
});

Deno.test("openEventStream() ends at once when the node had stopped before", async () => {
  const setup = setUp();
  setup.closing.abort();
  const reader = setup.open();
  assert.deepEqual(brief(await take(reader, 3)), ["99 status", ": the node stops", ": END"]);
  assert.deepEqual([setup.node.listenerCount, setup.overs], [0, 1]);
});

Deno.test("openEventStream() cuts off a follower that does not read, with bounded memory", async () => {
  const setup = setUp();
  const reader = setup.open();
  await take(reader, 1);
  const large = { kind: "model", data: { text: "x".repeat(10_000) } } as const;
  for (let i = 0; i <= UNSENT_BYTES_MAX / 10_000 + 1; i++) setup.node.publish(large);
  assert.equal(setup.node.listenerCount, 0, "it is told nothing more");
  const blocks: SseBlock[] = [];
  for (let b = await reader.next(); b !== undefined; b = await reader.next()) blocks.push(b);
  assert.match(blocks.at(-1)?.comment ?? "", /too slow/);
  assert.ok(blocks.length <= 2, "what was kept for it is gone");
  assert.deepEqual([setup.node.listenerCount, setup.time.pendingCount, setup.overs], [0, 0, 1]);
});

Deno.test("openEventStream() cuts off one for whom the replay alone is too much", async () => {
  const setup = setUp();
  const text = "x".repeat(UNSENT_BYTES_MAX / 2);
  for (let n = 0; n < 4; n++) setup.node.publish({ kind: "model", data: { text, n } });
  const reader = setup.open({ afterId: 0 });
  assert.match((await reader.next())?.comment ?? "", /too slow/);
  assert.equal(await reader.next(), undefined);
  assert.deepEqual([setup.node.listenerCount, setup.time.pendingCount, setup.overs], [0, 0, 1]);
});

Deno.test("EventFollower.probe() writes a comment, and nothing after the end", async () => {
  const setup = setUp();
  const follower = setup.follow();
  const reader = new SseReader(follower.stream);
  follower.probe();
  setup.closing.abort();
  follower.probe();
  const blocks = await take(reader, 4);
  assert.deepEqual(brief(blocks), ["99 status", ": still here", ": the node stops", ": END"]);
});

Deno.test("openEventStream(): ids never fall, whenever followers come, leave and return", async () => {
  const steps = fc.array(fc.constantFrom("request", "status", "reopen"), { maxLength: 40 });
  await fc.assert(fc.asyncProperty(steps, async (script) => {
    const setup = setUp();
    const seen: number[] = [];
    let reader = setup.open();
    let expected = 1;
    const drain = async (): Promise<void> => {
      for (; expected > 0; expected--) {
        const block = await reader.next();
        seen.push(Number(block?.id));
      }
    };
    for (const step of script) {
      if (step === "request") setup.node.publish(request(0));
      if (step === "status") setup.node.change({});
      if (step !== "reopen") {
        expected += 1;
        continue;
      }
      await drain();
      await reader.cancel();
      reader = setup.open({ afterId: seen.at(-1) ?? 0 });
      expected = 1;
    }
    await drain();
    await reader.cancel();
    assert.ok(seen.every((id, i) => i === 0 || id >= (seen[i - 1] ?? 0)), seen.join());
  }));
});

Deno.test("parseEventId() takes ids that we could have given and nothing else", () => {
  assert.equal(parseEventId("0"), 0);
  assert.equal(parseEventId("1700000000000"), 1_700_000_000_000);
  for (const text of [undefined, "", "-1", "1.5", "1e3", "0x10", " 1", "9999999999999999", "a"]) {
    assert.equal(parseEventId(text), undefined, text);
  }
  fc.assert(fc.property(fc.maxSafeNat(), (id) => assert.equal(parseEventId(String(id)), id)));
  fc.assert(fc.property(fc.string(), (text) => {
    const id = parseEventId(text);
    assert.ok(id === undefined || Number.isSafeInteger(id) && id >= 0);
  }));
});
