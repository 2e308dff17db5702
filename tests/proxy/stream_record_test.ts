import assert from "node:assert/strict";
import { StreamRecord } from "~/proxy/stream_record.ts";

function push(record: StreamRecord, ...events: unknown[]): void {
  const text = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("");
  record.push(new TextEncoder().encode(text));
}

const HEAD = { id: "a", created: 1, model: "m" };

function delta(value: unknown, more: object = {}): unknown {
  return { choices: [{ index: 0, finish_reason: null, delta: value, ...more }], ...HEAD };
}

Deno.test("StreamRecord knows what a chat said, and by which ids", () => {
  const record = new StreamRecord("chat");
  push(record, delta({ role: "assistant", content: null }), delta({ reasoning_content: "hm" }));
  record.push(new TextEncoder().encode(": a comment\n\n"));
  push(record, delta({ content: "a" }), delta({ content: " b" }));
  assert.deepEqual(record.read(), {
    head: HEAD,
    text: "a b",
    reasoning: "hm",
    tokenCount: 3,
    hasRole: true,
    finishReason: undefined,
    isDone: false,
  });
  push(record, delta({}, { finish_reason: "stop" }), { choices: [], usage: {}, ...HEAD });
  const end = record.read();
  assert.equal("fault" in end ? end.fault : end.finishReason, "stop");
});

Deno.test("StreamRecord knows what a completion said", () => {
  const record = new StreamRecord("text");
  push(record, { choices: [{ text: "a", logprobs: null }], ...HEAD });
  const { fault, text } = { fault: undefined, text: undefined, ...record.read() };
  assert.deepEqual([fault, text], [undefined, "a"]);
});

const FAULTS: Record<string, unknown> = {
  "it calls tools": delta({ tool_calls: [{}] }),
  "it has several choices": { choices: [{ index: 1, delta: {} }] },
  "it has log probabilities": delta({ content: "a" }, { logprobs: { content: [] } }),
  "the engine reported an error in it": { error: { message: "no" } },
  "an event of it cannot be read": [],
};
for (const [fault, event] of Object.entries(FAULTS)) {
  Deno.test(`StreamRecord says that nobody can go on when ${fault}`, () => {
    const record = new StreamRecord("chat");
    push(record, delta({ content: "a" }), event, delta({ content: "b" }));
    assert.deepEqual(record.read(), { fault });
  });
}

Deno.test("StreamRecord keeps no more than a bounded text", () => {
  const record = new StreamRecord("chat");
  const long = delta({ content: "x".repeat(40_000) });
  for (let i = 0; i < 40; i += 1) push(record, long);
  assert.deepEqual(record.read(), { fault: "it is too long" });
  push(record, long);
  assert.deepEqual(record.read(), { fault: "it is too long" });
});
