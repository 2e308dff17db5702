import assert from "node:assert/strict";
import fc from "fast-check";
import { lastEvents, RestWriter, type RestWriterOptions } from "~/proxy/continue_answer.ts";
import { type SoFar, StreamRecord } from "~/proxy/stream_record.ts";

const HEAD = { id: "first", created: 1, model: "m", object: "chat.completion.chunk" };
const SO_FAR: SoFar = {
  head: HEAD,
  text: "a",
  reasoning: "",
  tokenCount: 4,
  hasRole: true,
  finishReason: undefined,
  isDone: false,
};
const OPTIONS: RestWriterOptions = {
  kind: "chat",
  restKind: "chat",
  soFar: SO_FAR,
  given: "",
  surplus: "",
  wantsUsage: true,
  isThinking: false,
  nodeId: "two",
};
const USAGE = { "prompt_tokens": 14, "completion_tokens": 6, "total_tokens": 20 };

function write(options: Partial<RestWriterOptions>, ...events: unknown[]): string[] {
  const writer = new RestWriter({ ...OPTIONS, ...options });
  const text = events.map((event) =>
    `data: ${typeof event === "string" ? event : JSON.stringify(event)}\n\n`
  );
  const out = new TextDecoder().decode(writer.push(new TextEncoder().encode(text.join(""))));
  return out.split("\n\n").slice(0, -1).map((block) => block.replace(/^data: /, ""));
}

const other = { id: "second", created: 2, model: "x" };

Deno.test("RestWriter says the rest by the ids of the beginning, and no second role", () => {
  const out = write(
    {},
    { choices: [{ index: 0, delta: { role: "assistant", content: null } }], ...other },
    { choices: [{ index: 0, delta: { content: "b" } }], ...other },
    { choices: [{ index: 0, delta: {}, finish_reason: "stop" }], ...other },
    { choices: [], usage: USAGE, timings: { x: 1 }, ...other },
    "[DONE]",
  );
  assert.deepEqual(out.slice(0, 3).map((text) => JSON.parse(text)), [
    { choices: [{ index: 0, finish_reason: null, delta: { content: "b" } }], ...HEAD },
    { choices: [{ index: 0, finish_reason: "stop", delta: {} }], ...HEAD },
    {
      choices: [],
      ...HEAD,
      usage: { "prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20 },
      timings: { x: 1 },
    },
  ]);
  assert.deepEqual(out.slice(3), [": continued on two", "[DONE]"]);
});

Deno.test("RestWriter makes a chat of a text that was completed", () => {
  const end = { choices: [{ text: "", finish_reason: "stop" }], usage: USAGE, ...other };
  const events = [{ choices: [{ text: "b", finish_reason: null }], ...other }, end];
  const written = (wantsUsage: boolean) =>
    write({ restKind: "text", wantsUsage }, ...events).map((text) => JSON.parse(text));
  const [said, ended, used] = written(true);
  assert.equal(said.choices[0].delta.content, "b");
  assert.deepEqual([ended.usage, ended.choices[0].finish_reason], [undefined, "stop"]);
  assert.deepEqual([used.choices, used.usage.completion_tokens], [[], 10]);
  assert.equal(written(false).length, 2);
});

Deno.test("RestWriter gives a text completion its usage in the last event", () => {
  const end = { choices: [{ text: "", finish_reason: "length" }], usage: USAGE, ...other };
  const [last] = write({ kind: "text", restKind: "text" }, end);
  const { usage, choices } = JSON.parse(last ?? "");
  assert.deepEqual([usage.completion_tokens, choices[0].finish_reason], [10, "length"]);
});

Deno.test("RestWriter passes on an engine's error and comments as they are", () => {
  assert.deepEqual(write({}, { error: { message: "no" } }, "not JSON"), [
    '{"error":{"message":"no"}}',
    "not JSON",
  ]);
  const comment = new TextEncoder().encode(": ping\n\n");
  assert.deepEqual(new RestWriter(OPTIONS).push(comment), comment);
});

Deno.test("RestWriter takes the ids of the rest when nothing was said before", () => {
  const soFar = { ...SO_FAR, head: {}, hasRole: false, tokenCount: 0 };
  const role = { choices: [{ index: 0, delta: { role: "assistant" } }], ...other };
  const [first] = write({ soFar }, role);
  const { id, choices } = JSON.parse(first ?? "");
  assert.deepEqual([id, choices[0].delta.role], ["second", "assistant"]);
});

Deno.test("lastEvents() ends an answer that has all its tokens, once", () => {
  const text = (soFar: SoFar, kind: "chat" | "text" = "chat") =>
    new TextDecoder().decode(lastEvents(soFar, kind));
  assert.match(text(SO_FAR), /"finish_reason":"length","delta":\{\}.*\n\ndata: \[DONE\]\n\n$/);
  assert.match(text(SO_FAR, "text"), /"finish_reason":"length","text":""/);
  assert.equal(text({ ...SO_FAR, finishReason: "stop" }), "data: [DONE]\n\n");
  assert.equal(text({ ...SO_FAR, finishReason: "stop", isDone: true }), "");
});

Deno.test("RestWriter and StreamRecord stand whatever a host may send", () => {
  const event = fc.oneof(fc.json(), fc.string(), fc.constant("[DONE]"));
  const line = fc.oneof(event.map((data) => `data: ${data}\n\n`), fc.string());
  fc.assert(fc.property(fc.array(line), fc.boolean(), (lines, isThinking) => {
    const bytes = new TextEncoder().encode(lines.join(""));
    for (const restKind of ["chat", "text"] as const) {
      const written = new RestWriter({ ...OPTIONS, restKind, isThinking }).push(bytes);
      const record = new StreamRecord(restKind);
      record.push(bytes);
      record.push(written);
      record.read();
    }
  }));
});
