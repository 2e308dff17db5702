import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { freePorts } from "~/engine/io/free_port.ts";
import { httpHealthProbe } from "~/engine/io/health.ts";

/** Lets a server listen; the port that it got. */
async function listenAnywhere(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

/** Runs `use` with the port of a server that answers as told. */
async function withServer(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  use: (port: number) => Promise<void>,
): Promise<void> {
  const server = createServer(answer);
  try {
    await use(await listenAnywhere(server));
  } finally {
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

function statuses(byPath: Readonly<Record<string, number>>) {
  return (request: IncomingMessage, response: ServerResponse) => {
    response.writeHead(byPath[request.url ?? ""] ?? 404).end("{}");
  };
}

const CASES = [
  [{ "/health": 200, "/v1/models": 200 }, "ok"],
  [{ "/health": 503 }, "loading"],
  [{ "/health": 500 }, "failed"],
  [{ "/health": 404 }, "failed"],
  [{ "/health": 200, "/v1/models": 401 }, "foreign"],
  [{ "/health": 200, "/v1/models": 404 }, "foreign"],
  [{ "/health": 200, "/v1/models": 503 }, "loading"],
] as const;

for (const [byPath, wanted] of CASES) {
  Deno.test(`check() finds ${wanted} behind ${JSON.stringify(byPath)}`, async () => {
    await withServer(statuses(byPath), async (port) => {
      const probe = httpHealthProbe();
      assert.equal(await probe.check({ port, apiKey: "k" }, true), wanted);
    });
  });
}

Deno.test("check() shows the key, and asks for nothing but the health once it knows", async () => {
  const seen: string[] = [];
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    seen.push(`${request.url} ${request.headers.authorization}`);
    response.writeHead(200).end("{}");
  };
  await withServer(answer, async (port) => {
    const probe = httpHealthProbe();
    await probe.check({ port, apiKey: "k" }, true);
    await probe.check({ port, apiKey: "k" }, false);
  });
  assert.deepEqual(seen, ["/health Bearer k", "/v1/models Bearer k", "/health Bearer k"]);
});

Deno.test("check() fails within its limit when a server is silent", async () => {
  await withServer(() => {}, async (port) => {
    const probe = httpHealthProbe({ timeoutMs: 50 });
    assert.equal(await probe.check({ port, apiKey: "k" }, false), "failed");
  });
});

Deno.test("check() fails when nothing listens", async () => {
  const port = await freePorts.take();
  assert.equal(await httpHealthProbe().check({ port, apiKey: "k" }, false), "failed");
});

Deno.test("check() fails on a server that does not speak HTTP", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const talk = (async () => {
    const connection = await listener.accept();
    await connection.write(new TextEncoder().encode("SSH-2.0-OpenSSH\r\n"));
    connection.close();
  })();
  const probe = httpHealthProbe();
  assert.equal(await probe.check({ port: listener.addr.port, apiKey: "k" }, false), "failed");
  await talk;
});

Deno.test("check() keeps no connection that would hold a thread of the server", async () => {
  let open = 0;
  const server = createServer((_request, response) => response.writeHead(200).end("{}"));
  const closed = Promise.withResolvers<void>();
  server.on("connection", (socket) => {
    open += 1;
    socket.on("close", () => {
      open -= 1;
      if (open === 0) closed.resolve();
    });
  });
  const port = await listenAnywhere(server);
  await httpHealthProbe().check({ port, apiKey: "k" }, false);
  await closed.promise;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  assert.equal(open, 0);
});

Deno.test("take() gives ports that can be listened on", async () => {
  const ports = [await freePorts.take(), await freePorts.take()];
  for (const port of ports) {
    using listener = Deno.listen({ hostname: "127.0.0.1", port });
    assert.equal(listener.addr.port, port);
  }
});
