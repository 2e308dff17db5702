import assert from "node:assert/strict";
import { RawClient } from "#support/raw_http.ts";
import { rawGet, serveTest } from "#support/raw_server.ts";

Deno.test("An exchange gives answers of known length in one piece, others in chunks", async () => {
  const server = await serveTest((request) =>
    new URL(request.url).pathname === "/whole"
      ? new Response("four", { headers: { "content-length": "4" } })
      : new Response(ReadableStream.from([new TextEncoder().encode("four")]))
  );
  using client = await RawClient.connect(server.port);
  await client.send(rawGet("/whole") + rawGet("/stream"));
  const whole = await client.readAnswer();
  const stream = await client.readAnswer();
  assert.deepEqual([whole.body, stream.body], ["four", "four"]);
  assert.equal(whole.headers.get("content-length"), "4");
  assert.equal(stream.headers.get("transfer-encoding"), "chunked");
  await server.close({ graceMs: 0 });
});

Deno.test("An exchange sends the head of a stream at once, before its first bytes", async () => {
  const first = Promise.withResolvers<void>();
  const server = await serveTest(() =>
    new Response(
      new ReadableStream({
        async pull(controller) {
          await first.promise;
          controller.enqueue(new TextEncoder().encode("late"));
          controller.close();
        },
      }),
    )
  );
  using client = await RawClient.connect(server.port);
  await client.send(rawGet("/"));
  assert.match(await client.readSome(), /^HTTP\/1\.1 200 OK\r\n/);
  first.resolve();
  assert.match(await client.readToEndOf("late"), /late/);
  await server.close({ graceMs: 0 });
});

Deno.test("An exchange gives empty answers a length, and none to 204", async () => {
  const server = await serveTest((request) =>
    new Response(null, { status: request.url.endsWith("/none") ? 204 : 200 })
  );
  using client = await RawClient.connect(server.port);
  await client.send(rawGet("/none") + rawGet("/empty"));
  assert.equal((await client.readAnswer()).headers.get("content-length"), null);
  assert.equal((await client.readAnswer()).headers.get("content-length"), "0");
  await server.close({ graceMs: 0 });
});

Deno.test("An exchange cuts the connection when the app fails, and serves the next", async () => {
  const server = await serveTest((request) => {
    if (request.url.endsWith("/bad")) throw new Error("defect");
    return new Response("hi");
  });
  using bad = await RawClient.connect(server.port);
  await bad.send(rawGet("/bad"));
  assert.equal(await bad.readToEnd(), "");
  using good = await RawClient.connect(server.port);
  await good.send(rawGet("/"));
  assert.equal((await good.readAnswer()).body, "hi");
  await server.close({ graceMs: 0 });
});

Deno.test("An exchange never aborts clientGone after a complete answer", async () => {
  const aborted: string[] = [];
  const server = await serveTest((request, env) => {
    env.clientGone.addEventListener("abort", () => aborted.push(request.url));
    return new Response("hi", { headers: { "content-length": "2" } });
  });
  const client = await RawClient.connect(server.port);
  for (const path of ["/1", "/2"]) {
    await client.send(rawGet(path));
    await client.readAnswer();
  }
  client.close();
  await server.close({ graceMs: 0 });
  assert.deepEqual(aborted, []);
});

Deno.test("An exchange throws an unread body away and keeps the connection", async () => {
  const server = await serveTest(() => new Response("no", { headers: { "content-length": "2" } }));
  using client = await RawClient.connect(server.port);
  const body = "x".repeat(3_000_000);
  await client.send(
    `POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  assert.equal((await client.readAnswer()).body, "no");
  await client.send(rawGet("/"));
  assert.equal((await client.readAnswer()).body, "no");
  await server.close({ graceMs: 0 });
});

Deno.test("An exchange cuts off a client that goes on sending an unread body for long", async () => {
  const server = await serveTest(() => new Response("no", { headers: { "content-length": "2" } }), {
    limits: { lingerMs: 100 },
  });
  using client = await RawClient.connect(server.port);
  await client.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nabc");
  assert.equal((await client.readAnswer()).body, "no");
  assert.equal(await client.readToEnd(), "");
  await server.close({ graceMs: 0 });
});

Deno.test("An exchange with an HTTP/1.0 client ends and closes", async () => {
  const server = await serveTest(() =>
    new Response(ReadableStream.from([new Uint8Array([104, 105])]))
  );
  using client = await RawClient.connect(server.port);
  await client.send("GET / HTTP/1.0\r\nhost: localhost\r\n\r\n");
  const answer = await client.readAnswer();
  assert.equal(answer.headers.get("transfer-encoding"), null);
  assert.equal(answer.body, "hi");
  await server.close({ graceMs: 0 });
});

Deno.test("An exchange aborts clientGone when its client is really gone", async () => {
  const gone = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  const server = await serveTest((_request, env) => {
    env.clientGone.addEventListener("abort", () => gone.resolve());
    asked.resolve();
    return new Promise(() => {});
  });
  const client = await RawClient.connect(server.port);
  await client.send(rawGet("/"));
  await asked.promise;
  client.close();
  await gone.promise;
  assert.equal(server.exchangeCount, 0);
  await server.close({ graceMs: 0 });
});

Deno.test("An exchange delivers a body in pieces, its declared size first", async () => {
  const server = await serveTest((_request, env) =>
    new Promise((resolve) => {
      let sizeBytes = 0;
      env.body.read({
        chunk: (bytes) => void (sizeBytes += bytes.length),
        end: () => resolve(new Response(`${env.body.declaredBytes} ${sizeBytes}`)),
        fail: () => resolve(new Response("failed", { status: 400 })),
      });
    })
  );
  using client = await RawClient.connect(server.port);
  const head = "POST / HTTP/1.1\r\nhost: localhost\r\n";
  await client.send(`${head}content-length: 100000\r\n\r\n${"x".repeat(100_000)}`);
  assert.equal((await client.readAnswer()).body, "100000 100000");
  await client.send(`${head}transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n`);
  assert.equal((await client.readAnswer()).body, "undefined 2");
  await client.send(`${head}content-length: 10\r\n\r\nabc`);
  await client.endSending();
  assert.equal((await client.readAnswer()).body, "failed");
  await server.close({ graceMs: 0 });
});

Deno.test("An exchange stops delivering when it is told to, and answers all the same", async () => {
  const server = await serveTest((_request, env) =>
    new Promise((resolve) => {
      const stop = env.body.read({
        chunk: () => {
          stop();
          resolve(new Response("enough", { headers: { "content-length": "6" } }));
        },
        end: () => {},
        fail: () => {},
      });
    })
  );
  using client = await RawClient.connect(server.port);
  const body = "x".repeat(500_000);
  await client.send(
    `POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  assert.equal((await client.readAnswer()).body, "enough");
  await server.close({ graceMs: 0 });
});

/** A client in a process of its own, which always has more to send than the server takes. */
const UPLOADER = `
const socket = await Deno.connect({ hostname: "127.0.0.1", port: Number(Deno.args[0]) });
const bytes = new Uint8Array(Number(Deno.args[1]));
const head = "POST /big HTTP/1.1\\r\\nhost: localhost\\r\\ncontent-length: " + bytes.length + "\\r\\n\\r\\n";
await socket.write(new TextEncoder().encode(head));
for (let at = 0; at < bytes.length;) at += await socket.write(bytes.subarray(at));
await socket.read(new Uint8Array(1024));
socket.close();
`;

function spin(spinMs: number): void {
  const untilMs = performance.now() + spinMs;
  while (performance.now() < untilMs);
}

Deno.test("An exchange that reads a large body lets others have their answers meanwhile", async () => {
  const sizeBytes = 32 * 1024 * 1024;
  const order: string[] = [];
  const begun = Promise.withResolvers<void>();
  const server = await serveTest((request, { body }) => {
    if (request.method === "GET") {
      order.push("small");
      return new Response("hi");
    }
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    body.read({
      chunk() {
        begun.resolve();
        spin(1);
      },
      end() {
        order.push("large");
        resolve(new Response("done"));
      },
      fail: reject,
    });
    return promise;
  });
  const uploader = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-config", UPLOADER, String(server.port), String(sizeBytes)],
    stdin: "null",
    stdout: "null",
  }).spawn();
  using other = await RawClient.connect(server.port);
  await begun.promise;
  await other.send(rawGet("/"));
  assert.equal((await other.readAnswer()).body, "hi");
  assert.equal((await uploader.status).code, 0);
  assert.deepEqual(order, ["small", "large"]);
  await server.close({ graceMs: 0 });
});
