import assert from "node:assert/strict";
import { UserError } from "~/base/errors.ts";
import { TEST_TOKEN } from "#support/managed_node.ts";
import { BARE_PAGE, JSON_TYPE, MANAGER, MemoryDoor, refusalOf } from "#support/memory_door.ts";
import { SseReader } from "#support/sse.ts";

const API_KEY = "sk-test-key";

Deno.test("GET /api/status answers the status", async () => {
  const door = new MemoryDoor();
  const answer = await door.ask("/api/status");
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), door.node.snapshot);
});

Deno.test("GET /api/status has no invite token for a page, unless it has the management token", async () => {
  const door = new MemoryDoor();
  const origin = { origin: "http://localhost:3131" };
  const plain = await door.ask("/api/status", { headers: origin });
  assert.equal((await plain.json()).token, null);
  const trusted = await door.ask("/api/status", { headers: { ...origin, ...MANAGER } });
  assert.equal((await trusted.json()).token, "secret-invite-token");
});

Deno.test("GET / answers the page with a policy that names its parts", async () => {
  const answer = await new MemoryDoor().ask("/");
  assert.equal(answer.headers.get("content-type"), "text/html; charset=UTF-8");
  assert.equal(answer.headers.get("content-security-policy"), BARE_PAGE.contentPolicy);
  assert.equal(await answer.text(), BARE_PAGE.html);
});

Deno.test("GET /metrics answers what the node measures", async () => {
  const answer = await new MemoryDoor().ask("/metrics");
  assert.equal(answer.headers.get("content-type"), "text/plain; version=0.0.4");
  assert.equal(await answer.text(), "mesh_llm_up 1\n");
});

Deno.test("POST /api/models starts a model", async () => {
  const door = new MemoryDoor();
  const headers = { ...MANAGER, ...JSON_TYPE };
  const body = '{"model":"org/repo/file.gguf"}';
  const answer = await door.ask("/api/models", { method: "POST", headers, body });
  assert.equal(answer.status, 202);
  assert.deepEqual(await answer.json(), { model: "org/repo/file.gguf" });
  assert.deepEqual(door.node.calls, ["load org/repo/file.gguf"]);
});

Deno.test.each([
  ["/api/models/SmolLM2", "SmolLM2"],
  ["/api/models/org/repo/file.gguf", "org/repo/file.gguf"],
  ["/api/models/org%2Frepo%2Ffile.gguf", "org/repo/file.gguf"],
  ["/api/models/a%20b%25c%3Fd", "a b%c?d"],
  ["/api/models/gr%C3%B6%C3%9Fe?x=1", "größe"],
])("DELETE %s drops '%s'", async (path, name) => {
  const door = new MemoryDoor();
  const answer = await door.ask(path, { method: "DELETE", headers: MANAGER });
  assert.equal(answer.status, 200);
  assert.deepEqual(await answer.json(), { model: name });
  assert.deepEqual(door.node.calls, [`drop ${name}`]);
});

Deno.test.each([["{}"], [undefined]])(
  "POST /api/shutdown with body %s begins to stop",
  async (body) => {
    const door = new MemoryDoor();
    const headers = { ...MANAGER, ...JSON_TYPE };
    const ask = { method: "POST", headers, ...(body === undefined ? {} : { body }) };
    const answer = await door.ask("/api/shutdown", ask);
    assert.equal(answer.status, 202);
    assert.deepEqual(door.node.calls, ["shutdown"]);
  },
);

const WRITES = [
  ["POST", "/api/models"],
  ["DELETE", "/api/models/a"],
  ["POST", "/api/shutdown"],
  ["POST", "/api/join"],
  ["POST", "/api/invites"],
  ["POST", "/api/revocations"],
] as const;

Deno.test.each(WRITES)("%s %s does nothing without the management token", async (method, path) => {
  for (const headers of [{}, { authorization: "Bearer wrong" }, { "x-api-key": TEST_TOKEN }]) {
    const door = new MemoryDoor();
    const body = '{"model":"a"}';
    const answer = await door.ask(path, { method, headers: { ...JSON_TYPE, ...headers }, body });
    assert.equal(await refusalOf(answer), "401 invalid_management_token");
    assert.deepEqual(door.node.calls, []);
  }
});

Deno.test("no write works with an API key beyond loopback", async () => {
  const door = new MemoryDoor({ policy: { hosts: "any" }, apiKeys: [API_KEY] });
  const key = { authorization: `Bearer ${API_KEY}`, ...JSON_TYPE };
  const answer = await door.ask("/api/shutdown", { method: "POST", headers: key });
  assert.equal(await refusalOf(answer), "401 invalid_management_token");
  const managed = await door.ask("/api/shutdown", {
    method: "POST",
    headers: { ...MANAGER, ...JSON_TYPE },
  });
  assert.equal(managed.status, 202);
});

Deno.test.each(["/", "/api/status", "/api/members", "/api/events", "/metrics", "/nowhere"])(
  "GET %s needs a key beyond loopback, on localhost too",
  async (path) => {
    const door = new MemoryDoor({ policy: { hosts: "any" }, apiKeys: [API_KEY] });
    const answer = await door.ask(path);
    assert.equal(await refusalOf(answer), "401 invalid_api_key");
    assert.match(answer.headers.get("www-authenticate") ?? "", /^Basic /);
  },
);

Deno.test.each([
  ["GET", "/", "foreign Host", { host: "evil.example" }],
  ["GET", "/metrics", "foreign Host", { host: "evil.example" }],
  ["GET", "/api/events", "foreign Origin", { origin: "http://evil.example" }],
  ["GET", "/nowhere", "foreign Host", { host: "evil.example" }],
  ["OPTIONS", "/api/models", "foreign Origin", { origin: "http://evil.example" }],
  ["POST", "/api/shutdown", "foreign Origin", { origin: "http://evil.example", ...MANAGER }],
])("%s %s with a %s is forbidden", async (method, path, _what, headers) => {
  const door = new MemoryDoor();
  const answer = await door.ask(path, { method, headers: headers as Record<string, string> });
  assert.equal(await refusalOf(answer), "403 forbidden");
  assert.deepEqual(door.node.calls, []);
});

Deno.test.each([
  ["GET", "/nowhere", "404 not_found"],
  ["GET", "/api", "404 not_found"],
  ["DELETE", "/api/models/", "404 not_found"],
  ["GET", "/v1/models", "404 not_found"],
  ["POST", "/", "405 method_not_allowed"],
  ["PUT", "/api/status", "405 method_not_allowed"],
  ["GET", "/api/models", "405 method_not_allowed"],
  ["GET", "/api/models/a/b", "405 method_not_allowed"],
  ["OPTIONS", "/api/models", "405 method_not_allowed"],
  ["GET", "/api/join", "405 method_not_allowed"],
  ["GET", "/api/invites", "405 method_not_allowed"],
  ["GET", "/api/revocations", "405 method_not_allowed"],
  ["POST", "/api/members", "405 method_not_allowed"],
  ["GET", "/api/shutdown", "405 method_not_allowed"],
  ["GET", "/api/discover", "501 not_implemented"],
])("%s %s is %s", async (method, path, expected) => {
  const answer = await new MemoryDoor().ask(path, { method });
  assert.equal(await refusalOf(answer), expected);
  if (expected.startsWith("405")) assert.match(answer.headers.get("allow") ?? "", /^[A-Z]+$/);
});

Deno.test.each([
  ["POST", "/api/models", "nonsense", JSON_TYPE, "400 invalid_json"],
  ["POST", "/api/models", "{}", JSON_TYPE, "400 model_required"],
  ["POST", "/api/models", '{"model":7}', JSON_TYPE, "400 invalid_request_error"],
  ["POST", "/api/models", '{"model":"a"}', {}, "415 unsupported_media_type"],
  ["POST", "/api/shutdown", "", { "content-type": "text/plain" }, "415 unsupported_media_type"],
  ["DELETE", "/api/models/%zz", "", {}, "400 invalid_request_error"],
])(
  "%s %s with body '%s' is refused and does nothing",
  async (method, path, body, more, expected) => {
    const door = new MemoryDoor();
    const answer = await door.ask(path, { method, body, headers: { ...MANAGER, ...more } });
    assert.equal(await refusalOf(answer), expected);
    assert.deepEqual(door.node.calls, []);
  },
);

Deno.test("what the node says no to reaches the caller in its words", async () => {
  const door = new MemoryDoor();
  door.node.failure = new UserError('Cannot find model "a": nothing here has this name');
  const load = await door.ask("/api/models", {
    method: "POST",
    headers: { ...MANAGER, ...JSON_TYPE },
    body: '{"model":"a"}',
  });
  assert.equal((await load.clone().json()).error.message, door.node.failure.message);
  assert.equal(await refusalOf(load), "400 invalid_request_error");
  const drop = await door.ask("/api/models/a", { method: "DELETE", headers: MANAGER });
  assert.equal(await refusalOf(drop), "404 model_not_found");
});

Deno.test("a defect of the node is a 500 that tells nothing about it", async () => {
  const door = new MemoryDoor();
  door.node.failure = new TypeError("secret detail");
  const answer = await door.ask("/api/models/a", { method: "DELETE", headers: MANAGER });
  assert.ok(!(await answer.clone().text()).includes("secret detail"));
  assert.equal(await refusalOf(answer), "500 internal_error");
});

Deno.test("every answer carries the headers that keep browsers in check, and no CORS", async () => {
  const door = new MemoryDoor();
  const paths = ["/", "/api/status", "/metrics", "/nowhere", "/api/models", "/api/discover"];
  const answers = [...paths.map((path) => door.ask(path))];
  answers.push(door.ask("/", { headers: { host: "evil.example" } }));
  answers.push(door.ask("/api/status", { headers: { origin: "http://localhost:8080" } }));
  for (const answer of await Promise.all(answers)) {
    const header = (name: string): string => answer.headers.get(name) ?? "absent";
    assert.equal(header("x-content-type-options"), "nosniff");
    assert.equal(header("referrer-policy"), "no-referrer");
    assert.equal(header("cache-control"), "no-store");
    assert.equal(header("cross-origin-resource-policy"), "same-origin");
    assert.match(header("content-security-policy"), /default-src 'none'.*frame-ancestors 'none'/);
    assert.equal(header("access-control-allow-origin"), "absent");
    await answer.body?.cancel();
  }
});

Deno.test("GET /api/events follows, and comes back where it left by Last-Event-ID or ?after", async () => {
  const door = new MemoryDoor();
  for (let n = 1; n <= 3; n++) door.node.publish({ kind: "request", data: { n } });
  const byHeader = await door.ask("/api/events", { headers: { "last-event-id": "1" } });
  assert.equal(byHeader.headers.get("content-type"), "text/event-stream; charset=utf-8");
  const byQuery = await door.ask("/api/events?after=1");
  // What the browser says by itself when it comes back is newer than the address of the page.
  const byBoth = await door.ask("/api/events?after=0", { headers: { "last-event-id": "1" } });
  for (const answer of [byHeader, byQuery, byBoth]) {
    const reader = new SseReader(answer.body);
    assert.equal((await reader.next())?.event, "status");
    assert.deepEqual(await reader.next(), { id: "2", event: "request", data: '{"n":2}' });
    await reader.cancel();
  }
  assert.equal(door.node.listenerCount, 0);
});

Deno.test("GET /api/events takes a bounded number of followers, and a place that is left is free", async () => {
  const door = new MemoryDoor({ followersMax: 2 });
  const first = await door.ask("/api/events");
  const second = await door.ask("/api/events");
  const third = await door.ask("/api/events");
  assert.equal(third.headers.get("retry-after"), "5");
  assert.equal(await refusalOf(third), "503 too_many_followers");
  await first.body?.cancel();
  const fourth = await door.ask("/api/events");
  assert.equal(fourth.status, 200);
  await Promise.all([second.body?.cancel(), fourth.body?.cancel()]);
});

Deno.test("HEAD /api/events does not take a follower's place", async () => {
  const door = new MemoryDoor({ followersMax: 1 });
  const answer = await door.ask("/api/events", { method: "HEAD" });
  assert.deepEqual([answer.status, answer.body], [200, null]);
  assert.equal(door.node.listenerCount, 0);
});

Deno.test("GET /api/events ends for a client that is gone and for a node that stops", async () => {
  const closing = new AbortController();
  const gone = new AbortController();
  const door = new MemoryDoor({ closing: closing.signal });
  const left = await door.ask("/api/events", { clientGone: gone.signal });
  const stayed = await door.ask("/api/events");
  gone.abort();
  await left.text();
  assert.equal(door.node.listenerCount, 1);
  closing.abort();
  assert.match(await stayed.text(), /: the node stops\n\n$/);
  assert.equal(door.node.listenerCount, 0);
  assert.equal(door.time.pendingCount, 0);
});

Deno.test("createManagementApp() refuses a token that no header can carry", () => {
  assert.throws(() => new MemoryDoor({ managementToken: "two words" }), UserError);
});
