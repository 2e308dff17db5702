import assert from "node:assert/strict";
import fc from "fast-check";
import {
  atTokenEnd,
  type ContinuableRequest,
  continuableRequest,
  isUsedUp,
  rawRestRequest,
  restRequest,
  streamKindOf,
  templateRequest,
} from "~/proxy/continue_request.ts";
import type { SoFar, StreamKind } from "~/proxy/stream_record.ts";

const SO_FAR: SoFar = {
  head: {},
  text: "The fox ",
  reasoning: "",
  tokenCount: 3,
  hasRole: true,
  finishReason: undefined,
  isDone: false,
};
const ASKED = { role: "user", content: "go" };

function bytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

function read(kind: StreamKind, body: unknown): ContinuableRequest {
  const request = continuableRequest(kind, bytes(body));
  assert.ok("kind" in request, JSON.stringify(request));
  return request;
}

Deno.test("a chat goes on behind what was said, with fewer tokens and no slot of the other host", () => {
  const body = { messages: [ASKED], "max_tokens": 10, "n_predict": -1, seed: 5, "id_slot": 2 };
  assert.deepEqual(restRequest(read("chat", body), SO_FAR), {
    body: {
      messages: [ASKED, { role: "assistant", content: "The fox" }],
      "max_tokens": 7,
      "n_predict": -1,
      seed: 5,
    },
    given: "The fox",
    surplus: " ",
  });
});

Deno.test("a text goes on behind its prompt, in each shape that a prompt has", () => {
  const prompts = [["Once: ", "Once: The fox"], [["Once"], "OnceThe fox"], [[1, 2], [
    1,
    2,
    "The fox",
  ]]];
  for (const [prompt, wanted] of prompts) {
    const rest = restRequest(read("text", { prompt }), SO_FAR);
    assert.deepEqual("body" in rest && rest.body["prompt"], wanted);
  }
  for (const prompt of [["a", "b"], [[1]], undefined, 7, ["a", 1]]) {
    assert.ok("why" in continuableRequest("text", bytes({ prompt })), JSON.stringify(prompt));
  }
});

Deno.test("a chat whose template refuses is completed as text", () => {
  const body = { model: "m", messages: [ASKED, { role: "assistant", content: "The" }] };
  const request = read("chat", { ...body, chat_template_kwargs: { a: 1 } });
  assert.deepEqual(templateRequest(request), {
    model: "m",
    messages: [ASKED],
    chat_template_kwargs: { a: 1 },
  });
  const raw = (text: string) =>
    rawRestRequest(request, { soFar: { ...SO_FAR, text }, prompt: "P:" }).body;
  assert.deepEqual(raw("The fox"), { model: "m", prompt: "P:The fox" });
  assert.deepEqual(raw(" fox"), { model: "m", prompt: "P:The fox" });
});

Deno.test("thoughts stand before the answer, with the marks that the prompt lacks", () => {
  const request = read("chat", { messages: [ASKED] });
  const thinking = { ...SO_FAR, reasoning: "hm", text: "" };
  const promptOf = (soFar: SoFar, prompt: string) =>
    rawRestRequest(request, { soFar, prompt }).body["prompt"];
  assert.equal(promptOf(thinking, "P:"), "P:<think>\nhm");
  assert.equal(promptOf(thinking, "P:<think>\n"), "P:<think>\nhm");
  assert.equal(
    promptOf({ ...thinking, text: "Fox" }, "P:"),
    "P:<think>\nhm\n</think>\n\nFox",
  );
  assert.deepEqual(restRequest(request, thinking), { why: "it has thought aloud" });
});

Deno.test("the client's own beginning is not lost, and a cut within its echo is no guess", () => {
  const request = read("chat", { messages: [ASKED, { role: "assistant", content: "The fox" }] });
  const contentOf = (text: string) => {
    const rest = restRequest(request, { ...SO_FAR, text });
    const messages = "body" in rest ? rest.body["messages"] : undefined;
    return JSON.parse(JSON.stringify(messages ?? null))?.at(-1).content;
  };
  assert.equal(contentOf(""), "The fox");
  assert.equal(contentOf(" runs"), "The fox runs");
  assert.equal(contentOf("The fox runs"), "The fox runs");
  assert.ok("why" in restRequest(request, { ...SO_FAR, text: "The" }));
});

Deno.test("what cannot go on exactly is refused, and what can is not", () => {
  const chat = { messages: [ASKED] };
  const fine = [
    { tools: [] },
    { tools: [{}], tool_choice: "none" },
    { response_format: { type: "text" } },
    { n: 1, logprobs: false, top_logprobs: 0, grammar: "", stop: ["x"], temperature: 1 },
  ];
  for (const more of fine) read("chat", { ...chat, ...more });
  const refused = [
    { tools: [{}] },
    { tools: [{}], tool_choice: "auto" },
    { n: 2 },
    { best_of: 3 },
    { json_schema: {} },
    { echo: true },
    { logprobs: 1 },
    { messages: "x" },
    { messages: [{ role: "assistant", content: [] }] },
  ];
  for (const more of refused) {
    const said = continuableRequest("chat", bytes({ ...chat, ...more }));
    assert.ok("why" in said, JSON.stringify(more));
  }
  assert.ok("why" in continuableRequest("chat", new TextEncoder().encode("{")));
  assert.ok("why" in continuableRequest("chat", new Uint8Array(3 * 1024 * 1024)));
});

Deno.test("an answer that used its tokens has no rest", () => {
  const isUsed = (body: object) => isUsedUp(read("chat", { messages: [], ...body }), SO_FAR);
  assert.deepEqual(
    [{ "max_tokens": 3 }, { "max_tokens": 4 }, { "n_predict": -1 }, {}].map(isUsed),
    [
      true,
      false,
      false,
      false,
    ],
  );
});

Deno.test("atTokenEnd() cuts a word's space and broken characters, and nothing else", () => {
  fc.assert(fc.property(fc.string({ unit: "binary" }), (text) => {
    const { given, surplus } = atTokenEnd(text);
    assert.equal(given + surplus, text);
    assert.match(surplus, /^(?: |\uFFFD*)$/);
  }));
  assert.deepEqual(atTokenEnd("a  "), { given: "a  ", surplus: "" });
  assert.deepEqual(atTokenEnd("a\n"), { given: "a\n", surplus: "" });
  assert.deepEqual(atTokenEnd("a\uFFFD"), { given: "a", surplus: "\uFFFD" });
});

Deno.test("only streams of chats and texts can be continued", () => {
  assert.deepEqual(
    ["/v1/chat/completions", "/v1/completions", "/v1/messages", "/completion"].map(streamKindOf),
    ["chat", "text", undefined, undefined],
  );
});

Deno.test("any request is either refused with a reason, or can be asked for the rest of its answer", () => {
  const body = fc.record({
    messages: fc.jsonValue({ maxDepth: 3 }),
    prompt: fc.jsonValue({ maxDepth: 2 }),
    "max_tokens": fc.jsonValue({ maxDepth: 1 }),
    tools: fc.jsonValue({ maxDepth: 1 }),
    "response_format": fc.jsonValue({ maxDepth: 1 }),
  }, { requiredKeys: [] });
  fc.assert(fc.property(body, fc.constantFrom("chat" as const, "text" as const), (asked, kind) => {
    const request = continuableRequest(kind, bytes(asked));
    if ("why" in request) return assert.notEqual(request.why, "");
    const rest = restRequest(request, SO_FAR);
    if ("body" in rest) JSON.stringify(rest.body);
    rawRestRequest(request, { soFar: SO_FAR, prompt: "" });
    templateRequest(request);
    isUsedUp(request, SO_FAR);
  }));
});
