import assert from "node:assert/strict";
import { RawClient } from "#support/raw_http.ts";
import { rawGet, serveTest } from "#support/raw_server.ts";
import { UserError } from "~/base/errors.ts";

Deno.test("serveHttp() listens on both loopback addresses, so that localhost is found", async () => {
  const server = await serveTest(() => new Response("hi"));
  for (const host of server.hosts) {
    using client = await RawClient.connect(server.port, host.replace(/[[\]]/g, ""));
    await client.send(rawGet("/"));
    assert.equal((await client.readAnswer()).body, "hi");
  }
  assert.equal(server.hosts[0], "127.0.0.1");
  await server.close({ graceMs: 0 });
});

Deno.test("serveHttp() on all addresses answers on 127.0.0.1 too", async () => {
  const server = await serveTest(() => new Response("hi"), { listen: "all" });
  using client = await RawClient.connect(server.port);
  await client.send(rawGet("/"));
  assert.equal((await client.readAnswer()).status, 200);
  await server.close({ graceMs: 0 });
});

for (const listen of ["loopback", "all"] as const) {
  Deno.test(`serveHttp() on ${listen} names a taken port and the flag that changes it`, async () => {
    const server = await serveTest(() => new Response("hi"), { listen });
    await assert.rejects(
      serveTest(() => new Response("hi"), { listen, port: server.port }),
      (error) =>
        error instanceof UserError && error.message.includes(String(server.port)) &&
        error.message.includes("--port") && error.message.includes("another program"),
    );
    await server.close({ graceMs: 0 });
  });
}

Deno.test("serveHttp() closes idle connections after their time", async () => {
  const server = await serveTest(() => new Response("hi", { headers: { "content-length": "2" } }), {
    limits: { idleMs: 1_000 },
  });
  using client = await RawClient.connect(server.port);
  await client.send(rawGet("/"));
  assert.equal((await client.readAnswer()).body, "hi");
  assert.equal(await client.readToEnd(), "", "idle for too long");
  await server.close({ graceMs: 0 });
});

Deno.test("serveHttp() beyond its limit closes the idle for the new, and no one who waits", async () => {
  const answer = Promise.withResolvers<Response>();
  const asked = Promise.withResolvers<void>();
  const server = await serveTest(() => {
    asked.resolve();
    return answer.promise;
  }, { limits: { connectionsMax: 1 } });
  using halfHead = await RawClient.connect(server.port);
  await halfHead.send("GET / HTTP/1.1\r\nhost: loc");
  using waiting = await RawClient.connect(server.port);
  assert.equal(await halfHead.readToEnd(), "", "it kept others out");
  await waiting.send(rawGet("/"));
  await asked.promise;
  using tooMany = await RawClient.connect(server.port);
  assert.equal(await tooMany.readToEnd(), "");
  answer.resolve(new Response("hi"));
  assert.equal((await waiting.readAnswer()).body, "hi");
  await server.close({ graceMs: 0 });
});

Deno.test("serveHttp() cuts who sends thousands of requests and reads no answer", async () => {
  let asked = 0;
  const server = await serveTest(() => {
    asked += 1;
    return new Promise(() => {});
  });
  using greedy = await RawClient.connect(server.port);
  await greedy.send(rawGet("/").repeat(2000)).catch(() => {});
  assert.equal(await greedy.readToEnd().catch(() => ""), "");
  assert.ok(asked > 1 && asked <= 32, `${asked} at once`);
  assert.equal(server.exchangeCount, 0);
  await server.close({ graceMs: 0 });
});
