/** Every line of the error table, without a socket. */
import assert from "node:assert/strict";
import { errorOf, TestDoor } from "#support/test_door.ts";
import { nowhere } from "#support/memory_upstream.ts";

const CHAT = "/v1/chat/completions";
const HI = { model: "tiny", messages: [{ role: "user", content: "hi" }] };

async function assertError(
  response: Response,
  expected: { status: number; code: string; type: string; param?: string | null; message?: RegExp },
): Promise<Record<string, unknown>> {
  assert.equal(response.status, expected.status);
  assert.equal(response.headers.get("content-type"), "application/json");
  assert.notEqual(response.headers.get("x-request-id"), null);
  assert.notEqual(response.headers.get("x-mesh-llm-node"), null);
  const error = await errorOf(response);
  assert.equal(error.code, expected.code);
  assert.equal(error.type, expected.type);
  assert.equal(error.param, expected.param ?? null);
  assert.match(error.message, expected.message ?? /./);
  return error;
}

for (const body of ["", "{", "hello", '{"model":"tiny",}', '{"model":"tiny"}x']) {
  Deno.test(`the door answers invalid_json to ${JSON.stringify(body)}`, async () => {
    const response = await new TestDoor().post(CHAT, body);
    await assertError(response, {
      status: 400,
      code: "invalid_json",
      type: "invalid_request_error",
      message: /at byte \d+/,
    });
  });
}

Deno.test("the door answers invalid_json to a request without a body", async () => {
  const response = await new TestDoor().fetch(CHAT, { method: "POST" });
  await assertError(response, {
    status: 400,
    code: "invalid_json",
    type: "invalid_request_error",
  });
});

for (const body of ["[]", "1", '"tiny"', "null"]) {
  Deno.test(`the door answers invalid_request_error to the body ${body}`, async () => {
    const response = await new TestDoor().post(CHAT, body);
    await assertError(response, {
      status: 400,
      code: "invalid_request_error",
      type: "invalid_request_error",
    });
  });
}

for (const model of [7, true, {}, ["tiny"], "m".repeat(10_000)]) {
  Deno.test(`the door refuses the model ${JSON.stringify(model).slice(0, 20)}`, async () => {
    const response = await new TestDoor().post(CHAT, { model });
    await assertError(response, {
      status: 400,
      code: "invalid_request_error",
      type: "invalid_request_error",
      param: "model",
    });
  });
}

Deno.test("the door answers model_required when several are served and none is named", async () => {
  const door = new TestDoor();
  door.table.serve("other", door.engine);
  for (const body of [{}, { model: null }, { model: "" }]) {
    await assertError(await door.post(CHAT, body), {
      status: 400,
      code: "model_required",
      type: "invalid_request_error",
      param: "model",
      message: /"tiny", "other"/,
    });
  }
});

Deno.test("the door answers model_not_found and names what is served", async () => {
  const response = await new TestDoor().post(CHAT, { model: "huge" });
  await assertError(response, {
    status: 404,
    code: "model_not_found",
    type: "invalid_request_error",
    param: "model",
    message: /"huge".*"tiny"/,
  });
});

Deno.test("the door says back only the beginning of a long unknown name", async () => {
  const response = await new TestDoor().post(CHAT, { model: "h".repeat(3000) });
  const { message } = await errorOf(response);
  assert.ok(message.length < 400);
});

Deno.test("the door answers not_found to unknown paths", async () => {
  const door = new TestDoor();
  for (const path of ["/", "/v1", "/v2/chat/completions", "/slots", "/props", "/mesh/drop"]) {
    await assertError(await door.post(path, HI), {
      status: 404,
      code: "not_found",
      type: "invalid_request_error",
    });
  }
  assert.equal(door.engine.seen.length, 0);
});

Deno.test("the door answers method_not_allowed and says what is allowed", async () => {
  const door = new TestDoor();
  const wrong = [["GET", CHAT], ["DELETE", CHAT], ["POST", "/v1/models"], ["PUT", "/health"]];
  for (const [method = "", path = ""] of wrong) {
    const response = await door.fetch(path, { method });
    assert.match(response.headers.get("allow") ?? "", path === CHAT ? /POST/ : /GET/);
    await assertError(response, {
      status: 405,
      code: "method_not_allowed",
      type: "invalid_request_error",
    });
  }
});

for (const headers of [{}, { authorization: "Bearer wrong" }, { "x-api-key": "wrong" }]) {
  Deno.test(`the door answers invalid_api_key to ${JSON.stringify(headers)}`, async () => {
    const door = new TestDoor({ keys: ["right"], hosts: "any" });
    for (const path of [CHAT, "/v1/models", "/metrics", "/unknown"]) {
      const method = path === CHAT ? "POST" : "GET";
      await assertError(await door.fetch(path, { method, headers }), {
        status: 401,
        code: "invalid_api_key",
        type: "authentication_error",
      });
    }
    assert.equal(door.engine.seen.length, 0);
  });
}

Deno.test("the door lets the right key in, by either header, and never passes it on", async () => {
  for (const headers of [{ authorization: "Bearer right" }, { "x-api-key": "right" }]) {
    const door = new TestDoor({ keys: ["wrong", "right"] });
    const seen = door.engine.script({ whole: new TextEncoder().encode("{}") });
    const response = await door.post(CHAT, HI, { headers: { ...headers, cookie: "a=b" } });
    assert.equal(response.status, 200);
    const sent = [...(await seen).headers].map(([name]) => name);
    assert.deepEqual(sent, ["content-type", "x-request-id"]);
  }
});

Deno.test("the door needs no key for /health", async () => {
  const response = await new TestDoor({ keys: ["right"] }).fetch("/health");
  assert.equal(response.status, 200);
});

Deno.test("the door names loading models under /health only to who has a key", async () => {
  const door = new TestDoor({ keys: ["right"], hosts: "any", isEmpty: true });
  door.table.loadingModels = [{ id: "secret-model", phase: "loading" }];
  const stranger = await door.fetch("/health");
  assert.equal(stranger.status, 503);
  assert.deepEqual(await stranger.json(), { status: "loading" });
  const known = await door.fetch("/health", { headers: { "x-api-key": "right" } });
  assert.deepEqual((await known.json()).models.length, 1);
});

for (const host of ["evil.example", "evil.example:9337", "localhost.evil.example"]) {
  Deno.test(`the door answers forbidden to the Host ${host}`, async () => {
    const door = new TestDoor();
    const response = await door.post(CHAT, HI, { headers: { host } });
    await assertError(response, { status: 403, code: "forbidden", type: "permission_error" });
    assert.equal(door.engine.seen.length, 0);
  });
}

for (const origin of ["https://evil.example", "null"]) {
  Deno.test(`the door answers forbidden to the Origin ${origin}`, async () => {
    const door = new TestDoor();
    const response = await door.post(CHAT, HI, { headers: { origin } });
    assert.equal(response.headers.get("access-control-allow-origin"), null);
    await assertError(response, { status: 403, code: "forbidden", type: "permission_error" });
    const preflight = await door.fetch(CHAT, { method: "OPTIONS", headers: { origin } });
    assert.equal(preflight.status, 403);
    assert.equal(door.engine.seen.length, 0);
  });
}

Deno.test("the door answers body_too_large by Content-Length, reading nothing", async () => {
  const door = new TestDoor();
  const response = await door.post(CHAT, HI, {
    headers: { "content-length": String(65 * 1024 * 1024) },
  });
  await assertError(response, {
    status: 413,
    code: "body_too_large",
    type: "invalid_request_error",
    message: /64\.0 MiB/,
  });
});

Deno.test("the door answers model_loading with phase and percent", async () => {
  const door = new TestDoor({ isEmpty: true });
  door.table.loadingModels = [{ id: "tiny", phase: "downloading model", percent: 41.7 }];
  for (const body of [HI, {}, { model: "TINY.gguf" }]) {
    const response = await door.post(CHAT, body);
    assert.ok(Number(response.headers.get("retry-after")) >= 1);
    const error = await assertError(response, {
      status: 503,
      code: "model_loading",
      type: "server_error",
      param: "model",
      message: /downloading model \(41 %\)/,
    });
    assert.deepEqual([error["phase"], error["percent"]], ["downloading model", 41]);
  }
});

Deno.test("the door answers model_loading without a percent that is not known", async () => {
  const door = new TestDoor({ isEmpty: true });
  door.table.loadingModels = [{ id: "tiny", phase: "restarting" }];
  const error = await errorOf(await door.post(CHAT, HI));
  assert.match(error.message, /restarting; ask again/);
  assert.equal("percent" in error, false);
});

Deno.test("the door answers no_host when nothing is served and nothing loads", async () => {
  const door = new TestDoor({ isEmpty: true });
  for (const body of [HI, {}]) {
    const response = await door.post(CHAT, body);
    assert.ok(Number(response.headers.get("retry-after")) >= 1);
    await assertError(response, { status: 503, code: "no_host", type: "server_error" });
  }
});

Deno.test("the door answers upstream_failed and says each cause", async () => {
  const door = new TestDoor({ isEmpty: true });
  door.table.serve("tiny", nowhere, { nodeId: "node-b" });
  door.table.alsoServe("tiny", { nodeId: "node-a", upstream: door.engine, slots: 1 });
  void door.engine.script({ cut: "before the head" });
  await assertError(await door.post(CHAT, HI), {
    status: 502,
    code: "upstream_failed",
    type: "server_error",
    message: /node-b: Cannot connect.*; node-a: The engine gave no answer/,
  });
});

Deno.test("the door answers model_loading when the engine says so itself", async () => {
  const door = new TestDoor();
  const loading = { error: { message: "Loading model", type: "unavailable_error", code: 503 } };
  void door.engine.script({ status: 503, whole: bytesOf(loading) });
  const response = await door.post(CHAT, HI);
  assert.notEqual(response.headers.get("retry-after"), null);
  await assertError(response, {
    status: 503,
    code: "model_loading",
    type: "server_error",
    param: "model",
  });
});

Deno.test("the door speaks Anthropic's error shape under /v1/messages", async () => {
  const door = new TestDoor({ keys: ["right"] });
  const noKey = await door.post("/v1/messages", HI);
  assert.equal((await noKey.clone().json()).type, "error");
  assert.equal((await errorOf(noKey)).type, "authentication_error");
  const headers = { "x-api-key": "right" };
  const unknown = await door.post("/v1/messages", { model: "huge" }, { headers });
  assert.equal((await errorOf(unknown)).type, "not_found_error");
  const broken = await door.post("/v1/messages/count_tokens", "{", { headers });
  assert.equal((await errorOf(broken)).type, "invalid_request_error");
});

Deno.test("the door answers internal_error to a defect of its own and stays usable", async () => {
  const door = new TestDoor();
  const served = door.table.served.bind(door.table);
  door.table.served = () => {
    throw new Error("secret detail");
  };
  const response = await door.post(CHAT, HI);
  const error = await assertError(response, {
    status: 500,
    code: "internal_error",
    type: "server_error",
  });
  assert.doesNotMatch(String(error["message"]), /secret/);
  door.table.served = served;
  assert.equal((await door.fetch("/v1/models")).status, 200);
});

function bytesOf(value: unknown): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(value));
}
