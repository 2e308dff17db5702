import assert from "node:assert/strict";
import { nowhere } from "#support/memory_upstream.ts";
import { errorOf, TestDoor } from "#support/test_door.ts";
import { ENGINE_PATHS } from "~/proxy/endpoints.ts";

const CHAT = "/v1/chat/completions";
const HI = { model: "tiny", messages: [{ role: "user", content: "hi" }] };

function jsonBytes(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value));
}

Deno.test("GET /v1/models lists what is served, in OpenAI's shape", async () => {
  const door = new TestDoor();
  for (const path of ["/v1/models", "/models"]) {
    const response = await door.fetch(path);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("x-mesh-llm-node"), "node-here");
    assert.deepEqual(await response.json(), {
      object: "list",
      data: [{
        id: "tiny",
        object: "model",
        created: 1_700_000_000,
        owned_by: "mesh-llm",
        meta: { n_ctx: 4096 },
      }],
    });
  }
});

Deno.test("GET /v1/models leaves out what only loads", async () => {
  const door = new TestDoor({ isEmpty: true });
  door.table.loadingModels = [{ id: "tiny", phase: "loading" }];
  assert.deepEqual((await (await door.fetch("/v1/models")).json()).data, []);
});

Deno.test("GET /v1/models/ID finds names with slashes, and tells unknown ones", async () => {
  const door = new TestDoor();
  door.table.serve("org/repo/file Q4.gguf", door.engine);
  for (const id of ["org/repo/file Q4.gguf", "org%2Frepo%2Ffile%20Q4.gguf", "org/repo/file%20q4"]) {
    const response = await door.fetch(`/v1/models/${id}`);
    assert.equal((await response.json()).id, "org/repo/file Q4.gguf");
  }
  const unknown = await door.fetch("/models/huge");
  assert.equal(unknown.status, 404);
  assert.equal((await errorOf(unknown)).code, "model_not_found");
});

Deno.test("HEAD /v1/models has the head of GET and no body", async () => {
  const response = await new TestDoor().fetch("/v1/models", { method: "HEAD" });
  assert.equal(response.status, 200);
  assert.equal(await response.text(), "");
});

Deno.test("GET /health tells whether any model can be answered", async () => {
  const door = new TestDoor({ isEmpty: true });
  door.table.loadingModels = [{ id: "tiny", phase: "loading", percent: 10 }];
  const loading = await door.fetch("/health");
  assert.equal(loading.status, 503);
  assert.deepEqual(await loading.json(), {
    status: "loading",
    models: [{ id: "tiny", phase: "loading", percent: 10 }],
  });
  door.table.serve("tiny", door.engine);
  const ready = await door.fetch("/health");
  assert.equal(ready.status, 200);
  assert.deepEqual(await ready.json(), { status: "ok" });
});

Deno.test("GET /metrics hands on the text of whoever counts", async () => {
  const response = await new TestDoor().fetch("/metrics");
  assert.equal(response.headers.get("content-type"), "text/plain; version=0.0.4");
  assert.equal(await response.text(), "a 1\n");
});

for (const path of ENGINE_PATHS) {
  Deno.test(`POST ${path} goes to the engine under its own path, body unchanged`, async () => {
    const door = new TestDoor();
    const seen = door.engine.script({ whole: jsonBytes({ ok: true }) });
    const body = ' { "x" : 1.50, "model":"TINY.GGUF" }\n';
    const response = await door.post(path, body);
    assert.deepEqual(await response.json(), { ok: true });
    assert.equal(response.headers.get("x-mesh-llm-node"), "node-a");
    const request = await seen;
    assert.equal(request.path, path);
    assert.equal(new TextDecoder().decode(request.body), body);
  });
}

Deno.test("the door keeps the query, X-Conversation-Id and hop-by-hop headers from the engine", async () => {
  const door = new TestDoor();
  const seen = door.engine.script({ whole: jsonBytes({}) });
  await door.post(`${CHAT}?api_key=secret`, HI, {
    headers: {
      "x-conversation-id": "abc",
      "connection": "x-a",
      "x-a": "1",
      "te": "trailers",
      "x-forwarded-for": "1.2.3.4",
      "accept": "text/event-stream",
      "anthropic-version": "2023-06-01",
    },
  });
  const { headers, path } = await seen;
  assert.equal(path, CHAT);
  assert.deepEqual(
    [...headers].map(([name]) => name).sort(),
    ["accept", "anthropic-version", "content-type", "x-request-id"],
  );
});

Deno.test("the engine is told JSON whatever the client called it, and no odd letters", async () => {
  for (const type of ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]) {
    const door = new TestDoor();
    const seen = door.engine.script({ whole: jsonBytes({}) });
    await door.post(CHAT, HI, { headers: { "content-type": type, "accept": "\u00ff" } });
    const { headers } = await seen;
    assert.equal(headers.get("content-type"), "application/json");
    assert.equal(headers.get("accept"), null);
  }
});

Deno.test("a missing model means the only one there is", async () => {
  const door = new TestDoor();
  for (const body of [{}, { model: null }, { model: "" }]) {
    void door.engine.script({ whole: jsonBytes({}) });
    assert.equal((await door.post("/tokenize", body)).status, 200);
  }
});

Deno.test("an exact name beats one that differs in case", async () => {
  const door = new TestDoor({ isEmpty: true });
  door.table.serve("TINY", nowhere);
  door.table.serve("tiny", door.engine);
  void door.engine.script({ whole: jsonBytes({}) });
  assert.equal((await door.post(CHAT, HI)).status, 200);
});

Deno.test("every answer repeats the caller's request id, and the engine gets it too", async () => {
  const door = new TestDoor();
  const seen = door.engine.script({ whole: jsonBytes({}) });
  const response = await door.post(CHAT, HI, { headers: { "x-request-id": "mine-1" } });
  assert.equal(response.headers.get("x-request-id"), "mine-1");
  assert.equal((await seen).headers.get("x-request-id"), "mine-1");
});

Deno.test("a request id that is empty, long or odd is replaced by ours", async () => {
  const door = new TestDoor();
  for (const id of ["", "a b", "ü", "x".repeat(129)]) {
    const response = await door.fetch("/health", { headers: { "x-request-id": id } });
    assert.match(response.headers.get("x-request-id") ?? "", /^made-\d+$/);
  }
});

Deno.test("a page of localhost gets CORS headers on answers, errors and preflights", async () => {
  const door = new TestDoor();
  const origin = "http://localhost:3000";
  void door.engine.script({ whole: jsonBytes({}) });
  const answers = [
    await door.post(CHAT, HI, { headers: { origin } }),
    await door.post(CHAT, "{", { headers: { origin } }),
    await door.fetch("/nowhere", { headers: { origin } }),
  ];
  for (const { headers } of answers) {
    assert.equal(headers.get("access-control-allow-origin"), origin);
    assert.match(headers.get("access-control-expose-headers") ?? "", /x-request-id/);
  }
  const preflight = await door.fetch(CHAT, {
    method: "OPTIONS",
    headers: { origin, "access-control-request-headers": "authorization,x-stainless-os" },
  });
  assert.equal(preflight.status, 204);
  assert.equal(
    preflight.headers.get("access-control-allow-headers"),
    "authorization,x-stainless-os",
  );
  assert.match(preflight.headers.get("vary") ?? "", /Access-Control-Request-Headers/);
});

Deno.test("a preflight needs no key, because browsers send none with it", async () => {
  const door = new TestDoor({ keys: ["right"] });
  const response = await door.fetch(CHAT, {
    method: "OPTIONS",
    headers: { origin: "http://127.0.0.1:8080" },
  });
  assert.equal(response.status, 204);
});

Deno.test("an error of the engine keeps its words and gets OpenAI's shape", async () => {
  const door = new TestDoor();
  void door.engine.script({
    status: 501,
    headers: { "content-type": "application/json; charset=utf-8" },
    whole: jsonBytes({
      error: { code: 501, message: "no embeddings here", type: "not_supported_error" },
    }),
  });
  const response = await door.post("/v1/embeddings", { model: "tiny", input: "x" });
  assert.equal(response.status, 501);
  assert.deepEqual(await errorOf(response), {
    code: "not_supported_error",
    message: "no embeddings here",
    type: "not_supported_error",
    param: null,
  });
});

Deno.test("an error of the engine gets Anthropic's shape under /v1/messages", async () => {
  const door = new TestDoor();
  void door.engine.script({
    status: 400,
    whole: jsonBytes({ error: { code: 400, message: "bad", type: "invalid_request_error" } }),
  });
  const response = await door.post("/v1/messages", HI);
  const body = await response.json();
  assert.equal(body.type, "error");
  assert.deepEqual([body.error.type, body.error.message], ["invalid_request_error", "bad"]);
});

Deno.test("an engine's error that is no JSON is described", async () => {
  const door = new TestDoor();
  void door.engine.script({ status: 500, whole: new TextEncoder().encode("<html>") });
  const response = await door.post(CHAT, HI);
  assert.equal(response.status, 500);
  assert.match((await errorOf(response)).message, /status 500/);
});

Deno.test("an engine's refusal of our own key is no 401 for the client", async () => {
  const door = new TestDoor();
  void door.engine.script({ status: 401, whole: jsonBytes({ error: { message: "Invalid key" } }) });
  const response = await door.post(CHAT, HI);
  assert.equal(response.status, 502);
  assert.equal((await errorOf(response)).code, "upstream_failed");
});

Deno.test("a target that fails before its first byte is followed by the next one", async () => {
  const door = new TestDoor({ isEmpty: true });
  door.table.serve("tiny", nowhere, { nodeId: "node-b" });
  door.table.alsoServe("tiny", { nodeId: "node-c", upstream: door.engine, slots: 1 });
  void door.engine.script({ whole: jsonBytes({ ok: true }) });
  const response = await door.post(CHAT, HI);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get("x-mesh-llm-node"), "node-c");
});

Deno.test("at most three targets are tried", async () => {
  const door = new TestDoor({ isEmpty: true });
  door.table.serve("tiny", nowhere, { nodeId: "n1" });
  for (const nodeId of ["n2", "n3", "n4"]) {
    door.table.alsoServe("tiny", { nodeId, upstream: nowhere, slots: 1 });
  }
  const { message } = await errorOf(await door.post(CHAT, HI));
  assert.match(message, /n1: .*n2: .*n3: /);
  assert.doesNotMatch(message, /n4/);
});

Deno.test("a model that goes away while a request waits is answered as for a new request", async () => {
  const door = new TestDoor();
  door.table.targetsOf.set("tiny", []);
  door.table.served = () => [];
  const response = await door.post(CHAT, HI);
  assert.equal((await errorOf(response)).code, "no_host");
});

Deno.test("the door tells how each request ended, and nothing of what it said", async () => {
  const door = new TestDoor();
  void door.engine.script({ whole: jsonBytes({ ok: true }) });
  await door.post(CHAT, { ...HI, secret: "prompt words" });
  await door.post(CHAT, { model: "huge" });
  await door.fetch("/nowhere");
  assert.deepEqual(door.events.map((event) => event.kind), [
    "received",
    "started",
    "sent",
    "done",
    "finished",
    "received",
    "finished",
    "turned away",
  ]);
  const [good, bad] = door.finished;
  assert.deepEqual(
    [good?.outcome, good?.status, good?.model, good?.nodeId, good?.endpoint, good?.responseBytes],
    ["answered", 200, "tiny", "node-a", CHAT, 11],
  );
  assert.deepEqual([bad?.outcome, bad?.status, bad?.code, bad?.model], [
    "refused",
    404,
    "model_not_found",
    undefined,
  ]);
  assert.doesNotMatch(JSON.stringify(door.events), /prompt words|huge|\/nowhere/);
});
