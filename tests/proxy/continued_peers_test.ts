/** Three doors joined by streams in memory: a client asks the near one, and one of two far ones is lost. */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { JsonObject } from "~/base/json.ts";
import { FarNode, nearDoorTo, type TestPeerUpstream, turns } from "#support/peer_pair.ts";
import { SseReader } from "#support/sse.ts";
import type { TestDoor } from "#support/test_door.ts";
import { type Cut, readAnswer, WordEngine } from "#support/word_engine.ts";

const CHAT = "/v1/chat/completions";
const TOKENS = Array.from({ length: 20 }, (_, i) => i === 0 ? "w0" : ` w${i}`);
const WHOLE = TOKENS.join("");
const ASK = { model: "tiny", stream: true, messages: [{ role: "user", content: "go" }] };
const TEXT = { model: "tiny", messages: ASK.messages };

interface Mesh {
  readonly near: TestDoor;
  readonly far: readonly [FarNode, FarNode];
  readonly engines: readonly [WordEngine, WordEngine];
  readonly ways: readonly [TestPeerUpstream, TestPeerUpstream];
}

function mesh(): Mesh {
  const engines = [
    new WordEngine({ tokens: TOKENS, id: "one" }),
    new WordEngine({ tokens: TOKENS }),
  ];
  const far = engines.map((engine) => {
    const node = new FarNode();
    const target = { nodeId: "far", upstream: engine, slots: 4, fingerprint: "same" };
    node.door.localTable.targetsOf.set("tiny", [target]);
    return node;
  });
  const ways = far.map((node) => node.upstream());
  const near = nearDoorTo(ways[0]!);
  near.table.targetsOf.set(
    "tiny",
    ways.map((upstream, i) => ({
      nodeId: `far-${i}`,
      upstream,
      slots: 4,
      isRemote: true,
      fingerprint: "same",
      rttMs: i * 50,
    })),
  );
  return { near, far, engines, ways } as unknown as Mesh;
}

const cuts = fc.oneof(
  fc.constant<Cut>({ kind: "before the head" }),
  fc.nat(3_000).map((count): Cut => ({ kind: "after bytes", count })),
);

Deno.test("a far engine may end at any point, and the client has one whole answer", async () => {
  await fc.assert(fc.asyncProperty(cuts, async (cut) => {
    const { near, engines: [engine] } = mesh();
    engine.cuts.push(cut);
    const answer = readAnswer(await (await near.post(CHAT, ASK)).text());
    assert.deepEqual([answer.text, answer.errors, answer.doneCount], [WHOLE, [], 1]);
    assert.equal(answer.ids.length, 1);
  }));
});

for (const how of ["is cut off", "is suspect", "is quiet, then suspect"] as const) {
  Deno.test(`a link that ${how} after any event costs the client nothing of its answer`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(24), async (events) => {
        const { near, far: [far, other], engines: [, second], ways: [way] } = mesh();
        const response = await near.post(CHAT, ASK);
        const reader = new SseReader(response.body);
        const blocks: string[] = [];
        const take = async (): Promise<boolean> => {
          const block = await reader.next();
          if (block?.data !== undefined) blocks.push(`data: ${block.data}`);
          return block !== undefined;
        };
        for (let i = 0; i < events; i += 1) await take();
        if (how === "is quiet, then suspect") {
          way.suspect("quiet");
          // Whoever goes on may have begun, or not.
          if (events % 2 === 0) await turns(50);
        }
        if (how === "is cut off") far.streams[0]?.cutOff();
        else way.suspect();
        while (await take());
        const answer = readAnswer(blocks.join("\n\n"));
        assert.deepEqual([answer.text, answer.errors, answer.doneCount], [WHOLE, [], 1]);
        assert.equal(way.listenerCount, 0);
        for (const { isContinuation } of second.asked) assert.equal(isContinuation, false);
        // What was on its way to the client when it became quiet may still come: then it is asked anew.
        assert.ok(other.streams.length <= (how === "is quiet, then suspect" ? 2 : 1));
      }),
      { numRuns: 40 },
    );
  });
}

Deno.test("a link that is quiet and heard again costs the second host what it began, and the client nothing", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 15 }), fc.boolean(), async (events, hasBegun) => {
      const { near, far: [, other], ways } = mesh();
      const reader = new SseReader((await near.post(CHAT, ASK)).body);
      const blocks: string[] = [];
      for (let count = 0;; count += 1) {
        if (count === events) {
          ways[0].suspect("quiet");
          ways[0].suspect("quiet");
          if (hasBegun) await turns(50);
        }
        const block = await reader.next();
        if (block === undefined) break;
        blocks.push(block.data === undefined ? `: ${block.comment}` : `data: ${block.data}`);
      }
      const answer = readAnswer(blocks.join("\n\n"));
      assert.deepEqual([answer.text, answer.errors, answer.comments], [WHOLE, [], []]);
      assert.deepEqual(near.events.filter(({ kind }) => kind === "continued"), []);
      assert.ok(other.streams.length <= 1, "it is asked once for each silence");
      if (hasBegun) assert.equal(other.streams.length, 1);
      await Promise.all(other.served);
      assert.deepEqual(ways.map(({ listenerCount }) => listenerCount), [0, 0]);
    }),
    { numRuns: 40 },
  );
});

Deno.test("a far node says when an engine ended over a request, also in the middle", async () => {
  const { near, engines } = mesh();
  for (const engine of engines) engine.cuts.push({ kind: "after bytes", count: 900 });
  const answer = readAnswer(await (await near.post(CHAT, ASK)).text());
  assert.match(answer.errors[0] ?? "", /engines end over it/);

  const early = mesh();
  for (const engine of early.engines) engine.cuts.push({ kind: "before the head" });
  const response = await early.near.post(CHAT, ASK);
  assert.equal(response.status, 502);
  await response.body?.cancel();
});

for (const isEnding of [false, true]) {
  Deno.test(`a far node ${isEnding ? "does not call its own end" : "calls an engine's end"} a crash`, async () => {
    const { far: [far], engines: [engine] } = mesh();
    engine.cuts.push({ kind: "after bytes", count: 900 });
    const stream = far.open();
    const body = new TextEncoder().encode(JSON.stringify(ASK));
    const headers = [["content-type", "application/json"]];
    const head = { t: "request", method: "POST", path: CHAT, headers, bytes: body.length, hops: 0 };
    await stream.write({ kind: "head", head });
    await stream.write({ kind: "data", bytes: body });
    await stream.end();
    let last: JsonObject = {};
    for (let frame = await stream.read(); frame !== undefined; frame = await stream.read()) {
      if (frame.kind === "head") last = frame.head;
      if (isEnding) far.peers.stop();
    }
    assert.deepEqual([last["t"], last["crashed"]], ["broken", isEnding ? undefined : true]);
  });
}

Deno.test("an unstreamed request is asked again until somebody has answered it", async () => {
  const far = [new FarNode(), new FarNode()] as const;
  const near = nearDoorTo(far[0].upstream());
  const second = { nodeId: "second", upstream: far[1].upstream(), slots: 4, isRemote: true };
  near.table.alsoServe("tiny", { ...second, rttMs: 50 });
  const headers = { "content-type": "application/json" };
  const pieces = async function* () {
    await Promise.resolve();
    yield new TextEncoder().encode('{"a":');
  };
  void far[0].door.engine.script({ headers, pieces, cut: "after the pieces" });
  void far[1].door.engine.script({ headers, whole: new TextEncoder().encode('{"a":1}') });
  const response = await near.post(CHAT, TEXT);
  assert.deepEqual([response.status, await response.json()], [200, { a: 1 }]);
  assert.deepEqual(near.events.filter(({ kind }) => kind === "retried").length, 1);
});
