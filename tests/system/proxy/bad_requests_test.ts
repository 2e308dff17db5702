/** Requests as they should not be, over real connections. After each, others are still served. */
import assert from "node:assert/strict";
import type { RawAnswer } from "#support/raw_http.ts";
import { headOf, postOf, SocketDoor, type SocketDoorOptions } from "#support/socket_door.ts";

const CHAT = "/v1/chat/completions";
const HI = '{"model":"tiny"}';
const BODY_LIMITS = {
  sizeBytesMax: 64 * 1024 * 1024,
  graceMs: 150,
  bytesPerSecondMin: 1_000_000,
  silenceMs: 10_000,
  totalMs: 60_000,
};

function codeOf(answer: RawAnswer): unknown {
  return JSON.parse(answer.body).error.code;
}

/** Sends raw bytes, expects an answer, and sees that the door still serves. */
function testRaw(
  name: string,
  text: string,
  expected: { readonly status: number; readonly code?: string },
  options: SocketDoorOptions = {},
): void {
  Deno.test(`the door answers ${expected.status} to ${name}`, async () => {
    await using door = await SocketDoor.open(options);
    using client = await door.connect();
    await client.send(text);
    const answer = await client.readAnswer();
    assert.equal(answer.status, expected.status);
    if (expected.code !== undefined) {
      assert.equal(codeOf(answer), expected.code);
      assert.notEqual(answer.headers.get("x-request-id"), null);
      assert.equal(answer.headers.get("x-mesh-llm-node"), "node-here");
    }
    await door.assertServing();
  });
}

testRaw("malformed JSON", postOf(CHAT, '{"model":'), { status: 400, code: "invalid_json" });
testRaw("no body", postOf(CHAT, ""), { status: 400, code: "invalid_json" });
testRaw("a POST without any length", headOf(CHAT), { status: 400, code: "invalid_json" });
testRaw("an unknown path", postOf("/v1/nothing", HI), { status: 404, code: "not_found" });
testRaw("a wrong method", `GET ${CHAT} HTTP/1.1\r\nhost: localhost\r\n\r\n`, {
  status: 405,
  code: "method_not_allowed",
});
testRaw("an unknown model", postOf(CHAT, '{"model":"huge"}'), {
  status: 404,
  code: "model_not_found",
});
testRaw("a foreign Host", postOf(CHAT, HI).replace("localhost", "evil.example"), {
  status: 403,
  code: "forbidden",
});
testRaw("a missing Host", "GET /v1/models HTTP/1.1\r\n\r\n", { status: 403, code: "forbidden" });
testRaw("an empty Host", "GET /v1/models HTTP/1.1\r\nhost:\r\n\r\n", {
  status: 403,
  code: "forbidden",
});
testRaw("a foreign Origin", postOf(CHAT, HI, "origin: https://evil.example\r\n"), {
  status: 403,
  code: "forbidden",
});
testRaw("two Hosts", postOf(CHAT, HI, "host: evil.example\r\n"), { status: 400 });
testRaw(
  "a length and chunks at once",
  headOf(CHAT, "content-length: 5\r\ntransfer-encoding: chunked\r\n") + "0\r\n\r\n",
  { status: 400 },
);
testRaw("two lengths", headOf(CHAT, "content-length: 5\r\ncontent-length: 6\r\n") + "abcdef", {
  status: 400,
});
testRaw("a negative length", headOf(CHAT, "content-length: -1\r\n"), { status: 400 });
testRaw("chunks that are none", headOf(CHAT, "transfer-encoding: chunked\r\n") + "xyz\r\n", {
  status: 400,
});
testRaw("an unknown transfer encoding", headOf(CHAT, "transfer-encoding: xchunked\r\n") + HI, {
  status: 400,
});
testRaw("a folded header", headOf(CHAT, "x-a: b\r\n c\r\n"), { status: 400 });
testRaw("bytes that are not HTTP", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", { status: 400 });
testRaw("a path that is no path", "GET nonsense HTTP/1.1\r\nhost: localhost\r\n\r\n", {
  status: 400,
});
testRaw("an unknown expectation", headOf(CHAT, "expect: 200-maybe\r\n"), { status: 417 });
testRaw("a wrong key", postOf(CHAT, HI, "authorization: Bearer wrong\r\n"), {
  status: 401,
  code: "invalid_api_key",
}, { keys: ["engine-key-of-somebody"] });

Deno.test("the door gives a plain 400 to headers of 70 KiB", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  await client.send(postOf(CHAT, HI, `x-long: ${"a".repeat(70 * 1024)}\r\n`));
  const answer = await client.readAnswer();
  assert.equal(answer.status, 400);
  assert.equal(answer.headers.get("connection"), "close");
  assert.equal(await client.readToEnd(), "");
  await door.assertServing();
});

Deno.test("the door answers a missing model with the only one served", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  void door.engine.script({ whole: new TextEncoder().encode("{}") });
  await client.send(postOf(CHAT, '{"messages":[]}'));
  assert.equal((await client.readAnswer()).status, 200);
});

Deno.test("the door answers 413 to a body of 65 MiB at once, by its length", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  await client.send(headOf(CHAT, `content-length: ${65 * 1024 * 1024}\r\n`));
  const answer = await client.readAnswer();
  assert.equal(answer.status, 413);
  assert.equal(codeOf(answer), "body_too_large");
  // The client may send it all the same, and then ask again on the same connection.
  const piece = new Uint8Array(1024 * 1024);
  for (let i = 0; i < 65; i += 1) await client.sendBytes(piece);
  await client.send(postOf("/v1/nothing", ""));
  assert.equal((await client.readAnswer()).status, 404);
  await door.assertServing();
});

Deno.test("the door answers 413 to 65 MiB that no length announced", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  await client.send(headOf(CHAT, "transfer-encoding: chunked\r\n"));
  const answered = client.readAnswer();
  const chunk = new TextEncoder().encode(`100000\r\n${" ".repeat(1024 * 1024)}\r\n`);
  for (let i = 0; i < 65; i += 1) await client.sendBytes(chunk);
  const answer = await answered;
  assert.equal(answer.status, 413);
  assert.equal(codeOf(answer), "body_too_large");
  await door.assertServing();
});

Deno.test("a client that expects 100 Continue is spared sending a body that is too large", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  const length = 65 * 1024 * 1024;
  await client.send(headOf(CHAT, `expect: 100-continue\r\ncontent-length: ${length}\r\n`));
  const answer = await client.readAnswer();
  assert.deepEqual([answer.status, answer.informational], [413, []]);
});

Deno.test("a client that expects 100 Continue gets it, and then its answer", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  void door.engine.script({ whole: new TextEncoder().encode("{}") });
  await client.send(headOf(CHAT, `expect: 100-continue\r\ncontent-length: ${HI.length}\r\n`));
  assert.match(await client.readSome(), /^HTTP\/1\.1 100 Continue\r\n\r\n$/);
  await client.send(HI);
  assert.equal((await client.readAnswer()).status, 200);
});

Deno.test("the door answers 408 to a body that drips, closes, and serves others meanwhile", async () => {
  await using door = await SocketDoor.open({ limits: { body: BODY_LIMITS } });
  using client = await door.connect();
  await client.send(headOf(CHAT, "content-length: 1000\r\n") + "{");
  const answered = client.readAnswer();
  await door.assertServing();
  const answer = await answered;
  assert.equal(answer.status, 408);
  assert.equal(codeOf(answer), "request_timeout");
  assert.equal(await client.readToEnd(), "");
});

Deno.test("headers that drip are cut off, and others are served meanwhile", async () => {
  await using door = await SocketDoor.open({ http: { headMs: 300 } });
  using client = await door.connect();
  await client.send("POST /v1/completions HTTP/1.1\r\nho");
  await door.assertServing();
  const answer = await client.readAnswer();
  assert.equal(answer.status, 408);
  assert.equal(await client.readToEnd(), "");
});

Deno.test("a body that comes 300 ms after its headers is served", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  void door.engine.script({ whole: new TextEncoder().encode("{}") });
  const received = door.next("received");
  await client.send(headOf(CHAT, `content-length: ${HI.length}\r\n`));
  // The door has begun to read when it says so; the delay itself is proven on virtual time.
  await received;
  await client.send(HI);
  assert.equal((await client.readAnswer()).status, 200);
});

Deno.test("a chunked body is served", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  const seen = door.engine.script({ whole: new TextEncoder().encode("{}") });
  const chunks = [...HI].map((letter) => `1\r\n${letter}\r\n`).join("");
  await client.send(`${headOf(CHAT, "transfer-encoding: chunked\r\n")}${chunks}0\r\n\r\n`);
  assert.equal((await client.readAnswer()).status, 200);
  const { body, headers } = await seen;
  assert.equal(new TextDecoder().decode(body), HI);
  assert.equal(headers.get("transfer-encoding"), null);
  assert.equal(headers.get("content-length"), String(HI.length));
});

Deno.test("pipelined requests are answered in order", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  await client.send(postOf(CHAT, "{") + postOf("/v1/nothing", "") + postOf(CHAT, '{"model":"x"}'));
  const codes = [];
  for (let i = 0; i < 3; i += 1) codes.push(codeOf(await client.readAnswer()));
  assert.deepEqual(codes, ["invalid_json", "not_found", "model_not_found"]);
});

Deno.test("a request id cannot smuggle headers into an answer or to the engine", async () => {
  await using door = await SocketDoor.open();
  for (const id of ["a\tb", "a b", "ä", "x".repeat(200)]) {
    using client = await door.connect();
    const seen = door.engine.script({ whole: new TextEncoder().encode("{}") });
    await client.send(postOf(CHAT, HI, `x-request-id: ${id}\r\n`));
    const answer = await client.readAnswer();
    const ours = answer.headers.get("x-request-id") ?? "";
    assert.match(ours, /^[0-9a-f-]{36}$/);
    assert.equal((await seen).headers.get("x-request-id"), ours);
  }
});

Deno.test("a body that breaks off is told to a client that only closed its sending half", async () => {
  await using door = await SocketDoor.open();
  using client = await door.connect();
  await client.send(headOf(CHAT, "content-length: 100\r\n") + "{");
  await client.endSending();
  const answer = await client.readAnswer();
  assert.equal(answer.status, 400);
  assert.equal(codeOf(answer), "invalid_request_error");
  assert.equal(await client.readToEnd(), "");
});

Deno.test("a client that leaves in the middle of its body leaves nothing behind", async () => {
  await using door = await SocketDoor.open();
  const client = await door.connect();
  const received = door.next("received");
  const finished = door.next("finished");
  await client.send(headOf(CHAT, "content-length: 100\r\n") + "{");
  await received;
  client.close();
  await finished;
  await door.assertServing();
});

Deno.test("500 idle connections hold nobody up and are not closed", async () => {
  await using door = await SocketDoor.open();
  const idle = [];
  for (let i = 0; i < 500; i += 1) idle.push(await door.connect());
  await door.assertServing();
  await idle[499]!.send("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n");
  assert.equal((await idle[499]!.readAnswer()).status, 200);
  await idle[0]!.send("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n");
  assert.equal((await idle[0]!.readAnswer()).status, 200);
  assert.ok(door.server.connectionCount >= 500);
  for (const client of idle) client.close();
});
