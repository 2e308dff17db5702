import assert from "node:assert/strict";
import { RawClient } from "#support/raw_http.ts";
import { UserError } from "~/base/errors.ts";
import type { DoorEnv } from "~/base/http_door.ts";
import { type HttpServer, serveHttp, type ServeOptions } from "~/base/io/http_server.ts";

type Fetch = (request: Request, env: DoorEnv) => Response | Promise<Response>;

function serve(fetch: Fetch, options: Partial<ServeOptions> = {}): Promise<HttpServer> {
  return serveHttp({
    listen: "loopback",
    port: 0,
    purpose: "test",
    portFlag: "--port",
    fetch,
    ...options,
  });
}

function get(path: string): string {
  return `GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`;
}

Deno.test("serveHttp() listens on both loopback addresses, so that localhost is found", async () => {
  const server = await serve(() => new Response("hi"));
  for (const host of server.hosts) {
    using client = await RawClient.connect(server.port, host.replace(/[[\]]/g, ""));
    await client.send(get("/"));
    assert.equal((await client.readAnswer()).body, "hi");
  }
  assert.equal(server.hosts[0], "127.0.0.1");
  await server.close({ graceMs: 0 });
});

Deno.test("serveHttp() on all addresses answers on 127.0.0.1 too", async () => {
  const server = await serve(() => new Response("hi"), { listen: "all" });
  using client = await RawClient.connect(server.port);
  await client.send(get("/"));
  assert.equal((await client.readAnswer()).status, 200);
  await server.close({ graceMs: 0 });
});

for (const listen of ["loopback", "all"] as const) {
  Deno.test(`serveHttp() on ${listen} names a taken port and the flag that changes it`, async () => {
    const server = await serve(() => new Response("hi"), { listen });
    await assert.rejects(
      serve(() => new Response("hi"), { listen, port: server.port }),
      (error) =>
        error instanceof UserError && error.message.includes(String(server.port)) &&
        error.message.includes("--port") && error.message.includes("another program"),
    );
    await server.close({ graceMs: 0 });
  });
}

Deno.test("serveHttp() gives answers of known length in one piece, others in chunks", async () => {
  const server = await serve((request) =>
    new URL(request.url).pathname === "/whole"
      ? new Response("four", { headers: { "content-length": "4" } })
      : new Response(ReadableStream.from([new TextEncoder().encode("four")]))
  );
  using client = await RawClient.connect(server.port);
  await client.send(get("/whole") + get("/stream"));
  const whole = await client.readAnswer();
  const stream = await client.readAnswer();
  assert.deepEqual([whole.body, stream.body], ["four", "four"]);
  assert.equal(whole.headers.get("content-length"), "4");
  assert.equal(stream.headers.get("transfer-encoding"), "chunked");
  await server.close({ graceMs: 0 });
});

Deno.test("serveHttp() sends the head of a stream at once, before its first bytes", async () => {
  const first = Promise.withResolvers<void>();
  const server = await serve(() =>
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
  await client.send(get("/"));
  assert.match(await client.readSome(), /^HTTP\/1\.1 200 OK\r\n/);
  first.resolve();
  assert.match(await client.readToEndOf("late"), /late/);
  await server.close({ graceMs: 0 });
});

Deno.test("serveHttp() gives empty answers a length, and none to 204", async () => {
  const server = await serve((request) =>
    new Response(null, { status: request.url.endsWith("/none") ? 204 : 200 })
  );
  using client = await RawClient.connect(server.port);
  await client.send(get("/none") + get("/empty"));
  assert.equal((await client.readAnswer()).headers.get("content-length"), null);
  assert.equal((await client.readAnswer()).headers.get("content-length"), "0");
  await server.close({ graceMs: 0 });
});

Deno.test("serveHttp() cuts the connection when the app fails, and serves the next", async () => {
  const server = await serve((request) => {
    if (request.url.endsWith("/bad")) throw new Error("defect");
    return new Response("hi");
  });
  using bad = await RawClient.connect(server.port);
  await bad.send(get("/bad"));
  assert.equal(await bad.readToEnd(), "");
  using good = await RawClient.connect(server.port);
  await good.send(get("/"));
  assert.equal((await good.readAnswer()).body, "hi");
  await server.close({ graceMs: 0 });
});

Deno.test("serveHttp() never aborts clientGone after a complete answer", async () => {
  const aborted: string[] = [];
  const server = await serve((request, env) => {
    env.clientGone.addEventListener("abort", () => aborted.push(request.url));
    return new Response("hi", { headers: { "content-length": "2" } });
  });
  const client = await RawClient.connect(server.port);
  for (const path of ["/1", "/2"]) {
    await client.send(get(path));
    await client.readAnswer();
  }
  client.close();
  await server.close({ graceMs: 0 });
  assert.deepEqual(aborted, []);
});

Deno.test("serveHttp() throws an unread body away and keeps the connection", async () => {
  const server = await serve(() => new Response("no", { headers: { "content-length": "2" } }));
  using client = await RawClient.connect(server.port);
  const body = "x".repeat(3_000_000);
  await client.send(
    `POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
  assert.equal((await client.readAnswer()).body, "no");
  await client.send(get("/"));
  assert.equal((await client.readAnswer()).body, "no");
  await server.close({ graceMs: 0 });
});

Deno.test("serveHttp() cuts a client that goes on sending an unread body for long", async () => {
  const server = await serve(() => new Response("no", { headers: { "content-length": "2" } }), {
    limits: { lingerMs: 100 },
  });
  using client = await RawClient.connect(server.port);
  await client.send("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\nabc");
  assert.equal((await client.readAnswer()).body, "no");
  assert.equal(await client.readToEnd(), "");
  await server.close({ graceMs: 0 });
});

Deno.test("serveHttp() closes connections beyond its limit and idle ones after their time", async () => {
  const server = await serve(() => new Response("hi", { headers: { "content-length": "2" } }), {
    limits: { connectionsMax: 1, idleMs: 200 },
  });
  const hosts = server.hosts.length;
  using first = await RawClient.connect(server.port);
  await first.send(get("/"));
  assert.equal((await first.readAnswer()).body, "hi");
  using second = await RawClient.connect(server.port);
  assert.equal(await second.readToEnd(), "");
  assert.equal(await first.readToEnd(), "", "idle for too long");
  using third = await RawClient.connect(server.port);
  await third.send(get("/"));
  assert.equal((await third.readAnswer()).body, "hi");
  assert.ok(hosts >= 1);
  await server.close({ graceMs: 0 });
});

Deno.test("serveHttp() answers HTTP/1.0 clients and closes", async () => {
  const server = await serve(() => new Response(ReadableStream.from([new Uint8Array([104, 105])])));
  using client = await RawClient.connect(server.port);
  await client.send("GET / HTTP/1.0\r\nhost: localhost\r\n\r\n");
  const answer = await client.readAnswer();
  assert.equal(answer.headers.get("transfer-encoding"), null);
  assert.equal(answer.body, "hi");
  await server.close({ graceMs: 0 });
});
