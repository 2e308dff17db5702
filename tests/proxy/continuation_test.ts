/** Answers that break off: whatever host dies at whatever point, the client has one whole answer. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { TestDoor, type TestDoorOptions } from "#support/test_door.ts";
import {
  type AskedOfWords,
  type Cut,
  readAnswer,
  WordEngine,
  type WordEngineOptions,
} from "#support/word_engine.ts";
import type { Target } from "~/proxy/ports.ts";

const CHAT = "/v1/chat/completions";
const TEXT = "/v1/completions";
const TOKENS = ["The", " fox", " ", "jumps", ".\n", "\n", "  It", " is", " 狐", " 🦊", " ", "."];
const WHOLE = TOKENS.join("");
const ASK = {
  model: "tiny",
  stream: true,
  "stream_options": { include_usage: true },
  messages: [{ role: "user", content: "go" }],
};

interface Hosts {
  readonly door: TestDoor;
  readonly one: WordEngine;
  readonly two: WordEngine;
}

function hosts(
  words: Partial<WordEngineOptions> = {},
  options: TestDoorOptions & { readonly second?: Partial<Target> } = {},
): Hosts {
  const one = new WordEngine({ tokens: TOKENS, id: "one", ...words });
  const two = new WordEngine({ tokens: TOKENS, id: "two", ...words });
  const door = new TestDoor({ ...options, isEmpty: true });
  const host = { slots: 4, isRemote: true, fingerprint: "same", contextTokens: 100 };
  door.table.serve("tiny", one);
  door.table.targetsOf.set("tiny", [
    { nodeId: "node-one", upstream: one, ...host },
    { nodeId: "node-two", upstream: two, rttMs: 50, ...host, ...options.second },
  ]);
  return { door, one, two };
}

async function ask(door: TestDoor, body: object = ASK, path = CHAT, init: RequestInit = {}) {
  const response = await door.post(path, body, init);
  return readAnswer(await response.text());
}

const cuts = fc.oneof(
  fc.constant<Cut>({ kind: "before the head" }),
  fc.nat(2_400).map((count): Cut => ({ kind: "after bytes", count })),
);

for (
  const [what, words] of [
    ["an engine that goes on", {}],
    ["an engine that repeats what it is given", { repeatsPrefill: true }],
    ["a template that refuses to go on", { refusesPrefill: true }],
  ] as const
) {
  Deno.test(`a chat that is cut anywhere is one answer: ${what}`, async () => {
    await fc.assert(fc.asyncProperty(
      cuts,
      fc.option(fc.integer({ min: 1, max: 20 }), { nil: undefined }),
      async (cut, limit) => {
        const { door, one } = hosts(words);
        one.cuts.push(cut);
        const body = limit === undefined ? ASK : { ...ASK, max_tokens: limit };
        const answer = await ask(door, body);
        const said = TOKENS.slice(0, limit ?? TOKENS.length);
        // The space at a cut may be a token of its own, or one with the next word.
        const lengths = limit === undefined ? [said.length] : [limit - 1, limit, limit + 1];
        const texts = lengths.map((length) => TOKENS.slice(0, Math.max(0, length)).join(""));
        assert.ok(texts.includes(answer.text), answer.text);
        assert.deepEqual(answer.errors, []);
        assert.deepEqual([answer.doneCount, answer.ids.length, answer.roleCount], [1, 1, 1]);
        assert.ok(answer.reasons.length === 1, answer.reasons.join());
        if (limit !== undefined && limit < TOKENS.length - 1) {
          assert.equal(answer.reasons[0], "length");
        }
        assert.equal(door.finished[0]?.outcome, "answered");
        for (const usage of answer.usages) {
          assert.ok(Math.abs(usage.completion_tokens - said.length) <= 2);
          assert.ok(Math.abs(usage.prompt_tokens - 10) <= 1);
          assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
        }
      },
    ));
  });
}

Deno.test("a text completion that is cut anywhere is one answer", async () => {
  await fc.assert(fc.asyncProperty(cuts, async (cut) => {
    const { door, one } = hosts();
    one.cuts.push(cut);
    const answer = await ask(door, { model: "tiny", stream: true, prompt: "Once: " }, TEXT);
    assert.deepEqual([answer.text, answer.errors, answer.doneCount], [WHOLE, [], 1]);
    assert.equal(answer.ids.length, 1);
    assert.deepEqual(answer.reasons, ["stop"]);
  }));
});

Deno.test("an answer goes on when its second host dies too, and when a broken one is back", async () => {
  const { door, one, two } = hosts();
  one.isCrash = two.isCrash = false;
  one.cuts.push({ kind: "after bytes", count: 500 });
  two.cuts.push({ kind: "after bytes", count: 400 });
  const answering = ask(door);
  while (door.finished.length === 0) {
    await new Promise((turned) => setTimeout(turned, 0));
    door.time.advance(100);
  }
  const answer = await answering;
  assert.deepEqual([answer.text, answer.errors, answer.ids], [WHOLE, [], ["one"]]);
  assert.deepEqual(one.asked.map(({ isContinuation }) => isContinuation), [false, true]);
  assert.deepEqual(door.events.filter(({ kind }) => kind === "continued").length, 2);
});

Deno.test("hosts that break off one answer after the other do not use up what is for an outage", async () => {
  const { door, one, two } = hosts();
  one.isCrash = two.isCrash = false;
  for (let i = 0; i < 300; i += 1) {
    // Whoever is asked first: the one that broke off last is avoided.
    one.cuts.splice(0, Infinity, { kind: "after bytes", count: 500 });
    two.cuts.splice(0, Infinity, ...one.cuts);
    const answering = ask(door);
    while (door.finished.length === i) {
      await new Promise((turned) => setTimeout(turned, 0));
      door.time.advance(100);
    }
    const { text, errors } = await answering;
    assert.deepEqual([text, errors], [WHOLE, []], `answer ${i}`);
  }
});

Deno.test("the client is told at the end who went on", async () => {
  const { door, one } = hosts();
  one.cuts.push({ kind: "after bytes", count: 500 });
  assert.deepEqual((await ask(door)).comments, [": continued on node-two"]);
  assert.deepEqual((await ask(door)).comments, []);
});

Deno.test("an answer is not continued a third time when engines end over it", async () => {
  const { door, one, two } = hosts();
  one.cuts.push({ kind: "after bytes", count: 500 });
  two.cuts.push({ kind: "after bytes", count: 400 });
  const answer = await ask(door);
  assert.match(answer.errors[0] ?? "", /could not be continued: engines end over it/);
  assert.deepEqual([one.asked.length, two.asked.length], [1, 1]);
  assert.ok(WHOLE.startsWith(answer.text));
});

Deno.test("a request over which two engines ended goes to no third", async () => {
  const { door, one, two } = hosts();
  const third = new WordEngine({ tokens: TOKENS });
  door.table.alsoServe("tiny", { nodeId: "node-three", upstream: third, slots: 4, rttMs: 90 });
  for (const engine of [one, two, third]) engine.cuts.push({ kind: "before the head" });
  const response = await door.post(CHAT, ASK);
  assert.equal(response.status, 502);
  assert.equal((await response.json()).error.crashed, true);
  assert.equal(one.asked.length + two.asked.length + third.asked.length, 2);
});

const REFUSED = {
  "tools": { tools: [{ type: "function" }] },
  "a grammar": { grammar: "root ::= x" },
  "a format": { response_format: { type: "json_schema" } },
  "log probabilities": { logprobs: true },
  "several choices": { n: 2 },
  "functions": { functions: [{}] },
};
for (const [what, more] of Object.entries(REFUSED)) {
  Deno.test(`an answer with ${what} that breaks off ends with an error at once`, async () => {
    const { door, one, two } = hosts();
    one.cuts.push({ kind: "after bytes", count: 700 });
    const answer = await ask(door, { ...ASK, ...more });
    assert.match(answer.errors[0] ?? "", /could not be continued: it (may|has)/);
    assert.equal(answer.doneCount, 0);
    assert.equal(two.asked.length, 0);
    assert.equal(door.finished[0]?.outcome, "broken");
  });
}

for (
  const [what, second] of Object.entries({
    "another model of the same name": { fingerprint: "other" },
    "a model that nobody looked at": { fingerprint: undefined },
    "too short a context": { contextTokens: 99 },
    "nobody who is heard": { isSuspect: true },
  })
) {
  Deno.test(`an answer is not continued by ${what}`, async () => {
    const { door, one, two } = hosts({}, { second: second as Partial<Target> });
    door.table.targetsOf.get("tiny")?.splice(0, 1, { ...door.table.targets("tiny")[0]! });
    one.cuts.push({ kind: "after bytes", count: 700 });
    const response = await door.post(CHAT, ASK);
    door.table.targetsOf.get("tiny")?.shift();
    assert.match(readAnswer(await response.text()).errors[0] ?? "", /no other node has this model/);
    assert.equal(two.asked.length, 0);
  });
}

Deno.test("continuing is off when the caller, or the node, says so", async () => {
  const off = hosts();
  off.one.cuts.push({ kind: "after bytes", count: 700 });
  const headers = { "x-mesh-llm-continue": "off" };
  assert.match((await ask(off.door, ASK, CHAT, { headers })).errors[0] ?? "", /broke off/);
  const node = hosts({}, { continuesAnswers: false });
  node.one.cuts.push({ kind: "after bytes", count: 700 });
  assert.match((await ask(node.door)).errors[0] ?? "", /broke off/);
  assert.equal(off.two.asked.length + node.two.asked.length, 0);
  assert.equal(node.one.asked[0]?.givesUp?.(), false);
});

Deno.test("what a reasoning model thought is handed on with its marks, and its thoughts go on", async () => {
  const { door, one } = hosts({ tokens: ["Fox", "."], thoughts: ["hm", " so"] });
  const raw = new WordEngine({ tokens: [" so", "\n", "</thi", "nk>", "\n\n", "Fox", "."] });
  door.table.targetsOf.get("tiny")!.splice(1, 1, {
    ...door.table.targets("tiny")[1]!,
    upstream: raw,
  });
  // After the first thought, and before the second.
  one.cuts.push({ kind: "after bytes", count: 300 });
  const answer = await ask(door);
  assert.deepEqual([answer.thoughts, answer.text, answer.errors], ["hm so\n", "Fox.", []]);
  assert.equal(raw.asked.at(-1)?.body.prompt, "<user>go<assistant><think>\nhm");
});

Deno.test("what the client gave as the beginning of the answer is given again", async () => {
  for (const repeatsPrefill of [true, false]) {
    await fc.assert(
      fc.asyncProperty(fc.nat(2_400), async (count) => {
        const { door, one } = hosts({ repeatsPrefill });
        one.cuts.push({ kind: "after bytes", count });
        const messages = [...ASK.messages, { role: "assistant", content: "The fox" }];
        const answer = await ask(door, { ...ASK, messages });
        const wanted = repeatsPrefill ? WHOLE : WHOLE.slice("The fox".length);
        assert.deepEqual([answer.text, answer.errors], [wanted, []]);
      }),
      { numRuns: 50 },
    );
  }
});

Deno.test("a link that is suspect is given up only for somebody who can go on", async () => {
  const { door, one, two } = hosts();
  const response = await door.post(CHAT, ASK);
  const { givesUp } = one.asked[0]!;
  assert.equal(givesUp?.(), true);
  door.table.targetsOf.set("tiny", door.table.targets("tiny").slice(0, 1));
  assert.equal(givesUp?.(), false);
  assert.equal(readAnswer(await response.text()).text, WHOLE);
  assert.equal(two.asked.length, 0);
});

/** A host that says nothing for a while, and the test's hold on it. */
function stall(count: number) {
  const { promise: end, resolve: finish } = Promise.withResolvers<"break" | "go on">();
  const { promise: reached, resolve: onStall } = Promise.withResolvers<void>();
  const cut: Cut = { kind: "stall", count, end, onStall };
  return { cut, reached, finish };
}

/** An answer whose first host is not heard after so many bytes; the test says how that ends. */
async function stalled(
  count: number,
  options: { readonly words?: Partial<WordEngineOptions>; readonly isTwoDead?: boolean } = {},
) {
  const { door, one, two } = hosts(options.words);
  const { cut, reached, finish } = stall(count);
  one.isCrash = false;
  one.cuts.push(cut);
  const response = await door.post(CHAT, ASK);
  const reading = response.text();
  await reached;
  if (options.isTwoDead === true) two.cuts.push({ kind: "before the head" });
  one.asked[0]?.onQuiet?.();
  one.asked[0]?.onQuiet?.();
  await passed();
  const ended = async (how: "break" | "go on") => {
    finish(how);
    return readAnswer(await reading);
  };
  return { door, one, two, finish: ended };
}

const isRest = ({ isContinuation }: AskedOfWords): boolean => isContinuation;

/** Turns of the loop, so that whatever can go on has gone on. */
async function passed(turns = 20): Promise<void> {
  for (let i = 0; i < turns; i += 1) await new Promise((turned) => setTimeout(turned, 0));
}

/** How many more requests would be answered at once. */
async function freeSlots({ door, one, two }: Hosts): Promise<number> {
  const { promise: end, resolve } = Promise.withResolvers<"go on">();
  const before = door.events.filter(({ kind }) => kind === "started").length;
  const asking = Array.from({ length: 10 }, async () => {
    for (const { cuts } of [one, two]) cuts.push({ kind: "stall", count: 100, end });
    return await (await door.post(CHAT, ASK)).text();
  });
  await passed();
  const started = door.events.filter(({ kind }) => kind === "started").length - before;
  resolve("go on");
  await Promise.all(asking);
  return started;
}

for (const words of [{}, { refusesPrefill: true }]) {
  Deno.test(`while nothing is heard somebody else has begun with the rest: ${JSON.stringify(words)}`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 200, max: 1_500 }), async (count) => {
        const { two, door, finish } = await stalled(count, { words });
        const asked = two.asked.length;
        assert.ok(asked > 0 && two.asked.every(({ isContinuation }) => isContinuation));
        const answer = await finish("break");
        assert.deepEqual([answer.text, answer.errors, answer.doneCount], [WHOLE, [], 1]);
        assert.equal(two.asked.length, asked, "it is not asked again");
        assert.deepEqual(answer.comments, [": continued on node-two"]);
        assert.equal(door.events.filter(({ kind }) => kind === "continued").length, 1);
      }),
      { numRuns: 15 },
    );
  });
}

Deno.test("what somebody else has begun with is given up when the host is heard again", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 200, max: 1_500 }), async (count) => {
      const { one, two, door, finish } = await stalled(count);
      assert.equal(two.asked.length, 1);
      const answer = await finish("go on");
      assert.deepEqual([answer.text, answer.errors, answer.comments], [WHOLE, [], []]);
      assert.equal(two.asked[0]?.signal.aborted, true);
      assert.deepEqual([one.asked.length, two.asked.length], [1, 1]);
      assert.deepEqual(door.events.filter(({ kind }) => kind === "continued"), []);
    }),
    { numRuns: 15 },
  );
});

Deno.test("silences that mean nothing use up neither slots nor the reserve for an outage", async () => {
  const { door, one, two } = hosts();
  for (let i = 0; i < 500; i += 1) {
    const { cut, reached, finish } = stall(400);
    for (const { cuts } of [one, two]) cuts.splice(0, Infinity, cut);
    const reading = (await door.post(CHAT, ASK)).text();
    await reached;
    const asked = () => [one, two].flatMap((engine) => engine.asked);
    asked().find((one) => !isRest(one))?.onQuiet?.();
    // What is begun ahead is given up after it was asked for, or before.
    if (i % 10 === 0) {
      await passed(3);
      assert.ok(asked().some(isRest), `answer ${i} is begun ahead`);
    }
    finish("go on");
    assert.equal(readAnswer(await reading).text, WHOLE, `answer ${i}`);
    for (const engine of [one, two]) engine.asked.splice(0);
  }
  for (const { cuts } of [one, two]) cuts.splice(0);
  one.isCrash = false;
  // Until the one that breaks off is asked first.
  while (!door.events.some(({ kind }) => kind === "continued")) {
    one.cuts.splice(0, Infinity, { kind: "after bytes", count: 500 });
    assert.deepEqual((await ask(door)).errors, []);
  }
  assert.equal(await freeSlots({ door, one, two }), 8);
});

Deno.test("when nobody could begin ahead, the rest is asked for when the answer breaks off", async () => {
  const { two, finish } = await stalled(700, { isTwoDead: true });
  assert.equal(two.asked.length, 1);
  const answer = await finish("break");
  assert.deepEqual([answer.text, answer.errors], [WHOLE, []]);
  assert.equal(two.asked.length, 2);
});

Deno.test("a client that leaves while somebody begins ahead leaves nothing behind", async () => {
  const { door, one, two } = hosts();
  const { cut, reached } = stall(700);
  one.cuts.push(cut);
  const leave = new AbortController();
  const { body } = await door.post(CHAT, ASK, { signal: leave.signal });
  const reader = body!.getReader();
  const reading = (async () => {
    while (!(await reader.read()).done);
  })();
  await reached;
  one.asked[0]?.onQuiet?.();
  await passed();
  leave.abort();
  await reader.cancel();
  await reading;
  assert.equal(two.asked[0]?.signal.aborted, true);
  assert.equal(await freeSlots({ door, one, two }), 8);
});

Deno.test("the rest of an answer waits for a host that is being started again", async () => {
  const { door, one } = hosts();
  one.cuts.push({ kind: "after bytes", count: 700 });
  const targets = [...door.table.targets("tiny")];
  const response = await door.post(CHAT, ASK);
  door.table.targetsOf.set("tiny", []);
  door.table.loadingModels = [{ id: "tiny", phase: "restarting" }];
  const reading = response.text();
  while (door.time.pendingCount < 1) await new Promise((turned) => setTimeout(turned, 0));
  door.time.advance(1_000);
  door.table.targetsOf.set("tiny", targets.slice(1));
  while (door.finished.length === 0) {
    await new Promise((turned) => setTimeout(turned, 0));
    door.time.advance(100);
  }
  assert.equal(readAnswer(await reading).text, WHOLE);
});
