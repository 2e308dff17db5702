import assert from "node:assert/strict";
import { RawClient } from "#support/raw_http.ts";
import { rawGet, serveTest } from "#support/raw_server.ts";

function hi(): Response {
  return new Response("hi", { headers: { "content-length": "2" } });
}

Deno.test("a connection refuses rubbish in words and closes, also while more of it comes", async () => {
  const server = await serveTest(hi);
  using client = await RawClient.connect(server.port);
  await client.send(`rubbish\r\n\r\n${"more of it ".repeat(50_000)}`);
  const { status, headers, body } = await client.readAnswer();
  assert.deepEqual([status, headers.get("connection")], [400, "close"]);
  assert.equal(body, "Cannot read this request: it does not begin like HTTP/1.1\n");
  assert.equal(await client.readToEnd(), "");
  await server.close({ graceMs: 0 });
});

Deno.test("a connection answers what came before the rubbish first", async () => {
  const first = Promise.withResolvers<Response>();
  const asked = Promise.withResolvers<void>();
  const server = await serveTest(() => {
    asked.resolve();
    return first.promise;
  });
  using client = await RawClient.connect(server.port);
  await client.send(`${rawGet("/")}rubbish\r\n\r\n`);
  await asked.promise;
  first.resolve(hi());
  assert.equal((await client.readAnswer()).status, 200);
  assert.equal((await client.readAnswer()).status, 400);
  assert.equal(await client.readToEnd(), "");
  await server.close({ graceMs: 0 });
});

Deno.test("a connection tells a client that closed its half within a head", async () => {
  const server = await serveTest(hi);
  using client = await RawClient.connect(server.port);
  await client.send("GET / HTTP/1.1\r\nho");
  await client.endSending();
  assert.equal((await client.readAnswer()).status, 400);
  assert.equal(await client.readToEnd(), "");
  await server.close({ graceMs: 0 });
});

Deno.test("a connection looks at nothing that follows a request with Connection: close", async () => {
  const asked: string[] = [];
  const server = await serveTest((request) => {
    asked.push(new URL(request.url).pathname);
    return hi();
  });
  using client = await RawClient.connect(server.port);
  const last = "GET /last HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
  await client.send(rawGet("/first") + last + rawGet("/never"));
  assert.equal((await client.readAnswer()).headers.get("connection"), null);
  assert.equal((await client.readAnswer()).headers.get("connection"), "close");
  assert.equal(await client.readToEnd(), "");
  assert.deepEqual(asked, ["/first", "/last"]);
  await server.close({ graceMs: 0 });
});

Deno.test("a connection begins pipelined requests at once and answers them in order", async () => {
  const answers = new Map<string, PromiseWithResolvers<Response>>();
  const all = Promise.withResolvers<void>();
  const server = await serveTest((request) => {
    const answer = Promise.withResolvers<Response>();
    answers.set(new URL(request.url).pathname, answer);
    if (answers.size === 3) all.resolve();
    return answer.promise;
  });
  using client = await RawClient.connect(server.port);
  await client.send(rawGet("/1") + rawGet("/2") + rawGet("/3"));
  // All that it wanted to say: the connection ends after the third answer, not before.
  await client.endSending();
  await all.promise;
  for (const path of ["/3", "/2", "/1"]) {
    answers.get(path)?.resolve(new Response(path, { headers: { "content-length": "2" } }));
  }
  for (const path of ["/1", "/2", "/3"]) assert.equal((await client.readAnswer()).body, path);
  assert.equal(await client.readToEnd(), "");
  await server.close({ graceMs: 0 });
});

Deno.test("a connection asks for a pipelined body only after the answer before it", async () => {
  const first = Promise.withResolvers<Response>();
  const reading = Promise.withResolvers<void>();
  const server = await serveTest((request, { body }) => {
    if (request.method === "GET") return first.promise;
    return new Promise((resolve) => {
      body.read({ chunk: () => {}, end: () => resolve(hi()), fail: () => {} });
      reading.resolve();
    });
  });
  using client = await RawClient.connect(server.port);
  const expecting = "POST / HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n";
  await client.send(rawGet("/") + expecting);
  await reading.promise;
  first.resolve(hi());
  assert.deepEqual((await client.readAnswer()).informational, []);
  await client.send("x");
  assert.deepEqual((await client.readAnswer()).informational, [100]);
  await server.close({ graceMs: 0 });
});

Deno.test("a connection sends HEAD the length and no body", async () => {
  const server = await serveTest(hi);
  using client = await RawClient.connect(server.port);
  await client.send("HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n" + rawGet("/"));
  const head = await client.readAnswer({ isHead: true });
  assert.equal(head.headers.get("content-length"), "2");
  assert.equal((await client.readAnswer()).body, "hi");
  await server.close({ graceMs: 0 });
});

Deno.test("a connection tells the time, and nothing of its own twice", async () => {
  const server = await serveTest(() =>
    new Response("hi", { headers: { "content-length": "2", "date": "x", "set-cookie": "a=b" } })
  );
  using client = await RawClient.connect(server.port);
  await client.send(rawGet("/"));
  const { headers } = await client.readAnswer();
  assert.ok(!Number.isNaN(Date.parse(headers.get("date") ?? "")));
  assert.deepEqual(headers.getSetCookie(), ["a=b"]);
  await server.close({ graceMs: 0 });
});

Deno.test("a connection sends a large whole answer to its last byte", async () => {
  const body = "x".repeat(3_000_000);
  const server = await serveTest(() =>
    new Response(body, { headers: { "content-length": String(body.length) } })
  );
  using client = await RawClient.connect(server.port);
  await client.send(rawGet("/"));
  assert.equal((await client.readAnswer()).body.length, body.length);
  await server.close({ graceMs: 0 });
});

Deno.test("a connection is cut when its client takes nothing of a whole answer for long", async () => {
  const gone = Promise.withResolvers<void>();
  const sizeBytes = 64 * 1024 * 1024;
  const server = await serveTest((_request, { clientGone }) => {
    clientGone.addEventListener("abort", () => gone.resolve());
    const headers = { "content-length": String(sizeBytes) };
    return new Response(new Uint8Array(sizeBytes), { headers });
  }, { limits: { stalledReaderMs: 100 } });
  using client = await RawClient.connect(server.port);
  await client.send(rawGet("/"));
  await gone.promise;
  assert.equal(server.connectionCount, 0);
  await server.close({ graceMs: 0 });
});

Deno.test("a connection whose next head drips is cut like a new one", async () => {
  const server = await serveTest(hi, { limits: { headMs: 200 } });
  using client = await RawClient.connect(server.port);
  await client.send(rawGet("/"));
  assert.equal((await client.readAnswer()).body, "hi");
  await client.send("GET / HT");
  assert.equal((await client.readAnswer()).status, 408);
  assert.equal(await client.readToEnd(), "");
  await server.close({ graceMs: 0 });
});

Deno.test("a connection is not read while nobody wants the body, and then it is", async () => {
  const started = Promise.withResolvers<void>();
  const wanted = Promise.withResolvers<void>();
  const server = await serveTest(async (_request, { body }) => {
    started.resolve();
    await wanted.promise;
    const { promise, resolve } = Promise.withResolvers<Response>();
    let sizeBytes = 0;
    body.read({
      chunk: (bytes) => void (sizeBytes += bytes.length),
      end: () => resolve(new Response(String(sizeBytes))),
      fail: () => resolve(new Response("failed")),
    });
    return await promise;
  });
  using client = await RawClient.connect(server.port);
  const body = "x".repeat(1_000_000);
  const sent = client.send(
    `POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  await started.promise;
  wanted.resolve();
  await sent;
  assert.equal((await client.readAnswer()).body, String(body.length));
  await server.close({ graceMs: 0 });
});

/** A client in a process of its own that sends rubbish until it is cut. */
const FLOODER = `
const socket = await Deno.connect({ hostname: "127.0.0.1", port: Number(Deno.args[0]) });
const rubbish = new Uint8Array(1024 * 1024).fill(13);
try {
  for (;;) await socket.write(rubbish);
} catch {
  console.log("cut");
}
`;

Deno.test("a connection that is flooded after its refusal is cut all the same, and others are served", async () => {
  const server = await serveTest(hi);
  const flooding = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-config", FLOODER, String(server.port)],
    stdin: "null",
    stdout: "piped",
  }).output();
  using other = await RawClient.connect(server.port);
  await other.send(rawGet("/"));
  assert.equal((await other.readAnswer()).body, "hi");
  const { stdout } = await flooding;
  assert.equal(new TextDecoder().decode(stdout), "cut\n");
  await server.close({ graceMs: 0 });
});
