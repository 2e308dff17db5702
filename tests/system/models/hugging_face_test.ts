import assert from "node:assert/strict";
import { UserError } from "~/base/errors.ts";
import { stateOfFile } from "~/models/io/hugging_face.ts";
import { COMMIT, type HostedFile, serveHuggingFace, sha256 } from "#support/hugging_face.ts";

const SIGNAL = new AbortController().signal;
const FILE: HostedFile = {
  repo: "org/repo",
  revision: "v1",
  file: "sub dir/m+1.gguf",
  bytes: new Uint8Array(1_234),
};

Deno.test("stateOfFile() tells size, digest and commit without a download", async () => {
  await using source = serveHuggingFace([FILE]);
  const stated = await stateOfFile(FILE, { endpoint: `${source.endpoint}/` }, SIGNAL);
  assert.deepEqual(stated, {
    url: `${source.endpoint}/org/repo/resolve/v1/sub%20dir/m%2B1.gguf`,
    headers: {},
    sizeBytes: 1_234,
    sha256: sha256(FILE.bytes),
    commit: COMMIT,
  });
  assert.deepEqual(source.seen.map(({ host, method }) => `${host} ${method}`), ["endpoint HEAD"]);
});

Deno.test("stateOfFile() sends no empty token", async () => {
  await using source = serveHuggingFace([FILE]);
  const stated = await stateOfFile(FILE, { endpoint: source.endpoint, token: "" }, SIGNAL);
  assert.deepEqual([stated.headers, source.seen[0]?.authorization], [{}, null]);
});

Deno.test("stateOfFile() gives up on a source that never stops redirecting", async () => {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => new Response(null, { status: 307, headers: { location: "/again" } }),
  );
  try {
    const asked = stateOfFile(FILE, { endpoint: `http://127.0.0.1:${server.addr.port}` }, SIGNAL);
    await assert.rejects(asked, /redirected more than 5 times/);
  } finally {
    await server.shutdown();
  }
});

Deno.test("stateOfFile() passes on what another answer means", async () => {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const status = Number(/\/resolve\/s(\d+)\//.exec(request.url)?.[1]);
    return new Response(null, { status });
  });
  try {
    const endpoint = `http://127.0.0.1:${server.addr.port}`;
    const ask = (status: number) =>
      stateOfFile({ ...FILE, revision: `s${status}` }, { endpoint }, SIGNAL);
    await assert.rejects(ask(500), /It answered 500 for org\/repo/);
    await assert.rejects(ask(404), /There is no sub dir\/m\+1\.gguf in org\/repo at s404/);
    await assert.rejects(ask(403), /private, gated or does not exist/);
    await assert.rejects(ask(200), /states no size and SHA-256/);
  } finally {
    await server.shutdown();
  }
});

Deno.test("stateOfFile() refuses an endpoint that is no web address", async () => {
  for (const endpoint of ["ftp://host", "nonsense", "file:///etc"]) {
    await assert.rejects(stateOfFile(FILE, { endpoint }, SIGNAL), (error) => {
      assert.ok(error instanceof UserError);
      return /HF_ENDPOINT is not/.test(error.message);
    });
  }
});
