import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type HttpScript, ScriptedHttp } from "#support/scripted_http.ts";
import {
  downloadFile,
  type DownloadPorts,
  type DownloadRequest,
  REAL_DOWNLOAD_PORTS,
} from "~/base/io/download.ts";
import type { TransferProgress } from "~/base/progress.ts";
import { DownloadError, type DownloadFailure } from "~/base/transfer.ts";

const CONTENT = Uint8Array.from(
  { length: 300_000 },
  (_, index) => (index * 31 + index / 256) & 255,
);
const DIGEST = createHash("sha256").update(CONTENT).digest("hex");
const HALF = 150_000;
/** Only there so that a download that never ends fails the test instead of hanging it. */
const DEADLINE_MS = 60_000;
/** The real world without its pauses between tries. */
const HASTY: DownloadPorts = { ...REAL_DOWNLOAD_PORTS, wait: () => Promise.resolve() };

interface Scene {
  readonly server: ScriptedHttp;
  readonly dir: string;
  readonly path: string;
  readonly reports: TransferProgress[];
  request(more?: Partial<DownloadRequest>): DownloadRequest;
}

async function play(script: HttpScript, run: (scene: Scene) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-download-" });
  await using server = new ScriptedHttp(script);
  const path = join(dir, "models", "file.gguf");
  const reports: TransferProgress[] = [];
  const request = (more: Partial<DownloadRequest> = {}): DownloadRequest => ({
    url: `${server.url}/file?token=secret`,
    destination: path,
    maxBytes: 1_000_000,
    what: "model file",
    source: "a server",
    report: (progress) => void reports.push(progress),
    signal: AbortSignal.timeout(DEADLINE_MS),
    ...more,
  });
  try {
    await run({ server, dir, path, reports, request });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function failsAs(failure: DownloadFailure): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof DownloadError, String(error));
    assert.equal(error.failure, failure);
    assert.ok(!error.message.includes("secret"));
    return true;
  };
}

async function namesIn(path: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(join(path, "..")));
  return entries.map((entry) => entry.name).sort();
}

/** Sends the first half of a whole answer and then hangs up. */
const cutAtHalf: HttpScript = async (_request, reply) => {
  await reply.head(200, { "content-length": String(CONTENT.byteLength), etag: '"v1"' });
  await reply.body(CONTENT.subarray(0, HALF));
};
const sendAll: HttpScript = (_request, reply) => reply.file(CONTENT, { etag: '"v1"' });

Deno.test("downloadFile() gives the whole file, its digest, progress, and leaves no trace", async () => {
  await play(sendAll, async ({ path, reports, request }) => {
    const result = await downloadFile(request({ expectedSha256: DIGEST }));
    assert.deepEqual(result, { path, sizeBytes: 300_000, sha256: DIGEST, resumedBytes: 0 });
    assert.deepEqual(await Deno.readFile(path), CONTENT);
    assert.deepEqual(await namesIn(path), ["file.gguf"]);
    assert.deepEqual(reports.at(-1), {
      what: "model file",
      source: "a server",
      doneBytes: 300_000,
      totalBytes: 300_000,
      isDone: true,
    });
  });
});

Deno.test("downloadFile() does not ask again for a file that is there", async () => {
  await play(sendAll, async ({ server, request }) => {
    await downloadFile(request());
    const again = await downloadFile(request({ expectedBytes: 300_000 }));
    assert.equal(again.sizeBytes, 300_000);
    assert.equal(server.requests.length, 1);
  });
});

Deno.test("downloadFile() replaces a file of another size", async () => {
  await play(sendAll, async ({ dir, path, request }) => {
    await Deno.mkdir(join(dir, "models"));
    await Deno.writeTextFile(path, "an older file");
    await downloadFile(request({ expectedBytes: 300_000 }));
    assert.deepEqual(await Deno.readFile(path), CONTENT);
  });
});

Deno.test("downloadFile() goes on where the connection was cut", async () => {
  const script: HttpScript = (request, reply, index) =>
    index === 0 ? cutAtHalf(request, reply, index) : sendAll(request, reply, index);
  await play(script, async ({ server, path, request }) => {
    await downloadFile(request({ expectedSha256: DIGEST }), HASTY);
    assert.deepEqual(await Deno.readFile(path), CONTENT);
    assert.deepEqual(server.requests.map((it) => it.headers.get("range")), [
      null,
      `bytes=${HALF}-`,
    ]);
    assert.equal(server.requests[1]?.headers.get("if-range"), '"v1"');
  });
});

Deno.test("downloadFile() goes on after a silence", async () => {
  const script: HttpScript = async (request, reply, index) => {
    if (index > 0) return await sendAll(request, reply, index);
    await cutAtHalf(request, reply, index);
    await reply.hang();
  };
  await play(script, async ({ server, path, request }) => {
    await downloadFile(request({ idleTimeoutMs: 1_500 }), HASTY);
    assert.deepEqual(await Deno.readFile(path), CONTENT);
    assert.equal(server.requests.length, 2);
  });
});

Deno.test("downloadFile() begins again when the server ignores the range", async () => {
  const script: HttpScript = async (request, reply, index) => {
    if (index === 0) return await cutAtHalf(request, reply, index);
    await reply.head(200, { "content-length": String(CONTENT.byteLength) });
    await reply.body(CONTENT);
  };
  await play(script, async ({ path, request }) => {
    await downloadFile(request({ expectedSha256: DIGEST }), HASTY);
    assert.deepEqual(await Deno.readFile(path), CONTENT);
  });
});

Deno.test("downloadFile() begins again when a part comes from elsewhere in the file", async () => {
  const script: HttpScript = async (request, reply, index) => {
    if (index === 0) return await cutAtHalf(request, reply, index);
    if (index > 1) return await sendAll(request, reply, index);
    await reply.head(206, { "content-range": "bytes 7-299999/300000" });
    await reply.body(CONTENT.subarray(7));
  };
  await play(script, async ({ path, request }) => {
    await downloadFile(request(), HASTY);
    assert.deepEqual(await Deno.readFile(path), CONTENT);
  });
});

Deno.test("downloadFile() uses what an earlier call left, for the same file only", async () => {
  const script: HttpScript = (request, reply, index) =>
    index === 0 ? cutAtHalf(request, reply, index) : sendAll(request, reply, index);
  await play(script, async ({ path, request }) => {
    await assert.rejects(downloadFile(request({ fruitlessTriesMax: 1 }), {
      ...HASTY,
      wait: () => Promise.reject(new Error("killed here")),
    }));
    assert.deepEqual(await namesIn(path), ["file.gguf.part", "file.gguf.part.json"]);
    const result = await downloadFile(request(), HASTY);
    assert.equal(result.resumedBytes, HALF);
    assert.equal(result.sha256, DIGEST);
  });
});

Deno.test("downloadFile() does not mix two files with one name", async () => {
  const script: HttpScript = (request, reply, index) =>
    index === 0 ? cutAtHalf(request, reply, index) : sendAll(request, reply, index);
  await play(script, async ({ server, path, request }) => {
    const stop = { ...HASTY, wait: () => Promise.reject(new Error("killed here")) };
    await assert.rejects(downloadFile(request(), stop));
    const result = await downloadFile(request({ url: `${server.url}/other` }), HASTY);
    assert.equal(result.resumedBytes, 0);
    assert.equal(server.requests[1]?.headers.get("range"), null);
    assert.deepEqual(await Deno.readFile(path), CONTENT);
  });
});

Deno.test("downloadFile() finishes a file that is all there but was never named", async () => {
  await play(sendAll, async ({ dir, path, server, request }) => {
    await Deno.mkdir(join(dir, "models"));
    await Deno.writeFile(`${path}.part`, CONTENT);
    const record = { url: "https://elsewhere.example/", sha256: DIGEST, totalBytes: 300_000 };
    await Deno.writeTextFile(`${path}.part.json`, JSON.stringify(record));
    const result = await downloadFile(request({ expectedSha256: DIGEST }));
    assert.equal(result.resumedBytes, 300_000);
    assert.equal(server.requests.length, 0);
    assert.deepEqual(await namesIn(path), ["file.gguf"]);
  });
});

Deno.test("downloadFile() throws a wrong file away and says what came", async () => {
  await play(sendAll, async ({ path, request }) => {
    const wrong = downloadFile(request({ expectedSha256: "0".repeat(64) }));
    await assert.rejects(wrong, (error) => failsAs("digest")(error) && `${error}`.includes(DIGEST));
    assert.deepEqual(await namesIn(path), []);
  });
});

Deno.test("downloadFile() refuses a size that is not the stated one, before reading it", async () => {
  await play(sendAll, async ({ path, request }) => {
    await assert.rejects(downloadFile(request({ expectedBytes: 299_999 })), failsAs("size"));
    await assert.rejects(downloadFile(request({ maxBytes: 299_999 })), failsAs("size"));
    assert.deepEqual(await namesIn(path), []);
  });
});

Deno.test("downloadFile() ends a stream without a stated size at the limit", async () => {
  const endless: HttpScript = async (_request, reply) => {
    await reply.head(200);
    for (;;) await reply.body(CONTENT);
  };
  await play(endless, async ({ path, request }) => {
    await assert.rejects(downloadFile(request()), failsAs("size"));
    assert.deepEqual(await namesIn(path), []);
  });
});

Deno.test("downloadFile() takes a stream without a stated size that ends", async () => {
  const script: HttpScript = async (_request, reply) => {
    await reply.head(200);
    await reply.body(CONTENT);
  };
  await play(script, async ({ path, request }) => {
    assert.equal((await downloadFile(request({ expectedSha256: DIGEST }))).sizeBytes, 300_000);
    assert.deepEqual(await Deno.readFile(path), CONTENT);
  });
});

Deno.test("downloadFile() takes an empty file", async () => {
  await play((_request, reply) => reply.file(new Uint8Array()), async ({ path, request }) => {
    assert.equal((await downloadFile(request())).sizeBytes, 0);
    assert.equal((await Deno.stat(path)).size, 0);
  });
});

Deno.test("downloadFile() gives up at once on a refusal", async () => {
  await play((_request, reply) => reply.head(404), async ({ server, request }) => {
    const isNotFound = (error: unknown) =>
      failsAs("status")(error) && (error as DownloadError).status === 404;
    await assert.rejects(downloadFile(request(), HASTY), isNotFound);
    assert.equal(server.requests.length, 1);
  });
});

Deno.test("downloadFile() waits as long as a busy server wishes, and gives up in the end", async () => {
  const script: HttpScript = (_request, reply) => reply.head(503, { "retry-after": "9" });
  await play(script, async ({ server, request }) => {
    const waits: number[] = [];
    const ports = { ...HASTY, wait: (ms: number) => Promise.resolve(void waits.push(ms)) };
    await assert.rejects(downloadFile(request(), ports), failsAs("status"));
    assert.equal(server.requests.length, 5);
    assert.ok(waits.every((ms) => ms === 9000), String(waits));
  });
});

Deno.test("downloadFile() gives up at once on a place that nobody answers at", async () => {
  await play(sendAll, async ({ request }) => {
    const closed = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const url = `http://127.0.0.1:${(closed.addr as Deno.NetAddr).port}/`;
    closed.close();
    const ports = { ...HASTY, wait: () => Promise.reject(new Error("tried again")) };
    await assert.rejects(downloadFile(request({ url }), ports), failsAs("unreachable"));
  });
});

Deno.test("downloadFile() does not wait for a head that never comes", async () => {
  await play((_request, reply) => reply.hang(), async ({ request }) => {
    const never = downloadFile(request({ answerTimeoutMs: 100 }), HASTY);
    await assert.rejects(never, failsAs("unreachable"));
  });
});

Deno.test("downloadFile() follows redirects without handing on secrets", async () => {
  await using storage = new ScriptedHttp(sendAll);
  const script: HttpScript = (_request, reply) =>
    reply.head(302, { location: `${storage.url}/blob`, "content-length": "0" });
  await play(script, async ({ server, path, request }) => {
    await downloadFile(request({ headers: { authorization: "Bearer x", "user-agent": "us" } }));
    assert.deepEqual(await Deno.readFile(path), CONTENT);
    assert.equal(server.requests[0]?.headers.get("authorization"), "Bearer x");
    assert.equal(storage.requests[0]?.headers.get("authorization"), null);
    assert.equal(storage.requests[0]?.headers.get("user-agent"), "us");
  });
});

Deno.test("downloadFile() ends a ring of redirects", async () => {
  const script: HttpScript = (request, reply) => reply.head(302, { location: request.path });
  await play(script, async ({ server, request }) => {
    await assert.rejects(downloadFile(request(), HASTY), failsAs("redirect"));
    assert.equal(server.requests.length, 11);
  });
});

Deno.test("downloadFile() stops when told to and keeps what has arrived", async () => {
  const script: HttpScript = async (request, reply, index) => {
    if (index > 0) return await sendAll(request, reply, index);
    await cutAtHalf(request, reply, index);
    await reply.hang();
  };
  await play(script, async ({ path, request }) => {
    const stop = new AbortController();
    // The first report comes with the first bytes.
    const report = () => stop.abort(new Error("stopped by the user"));
    await assert.rejects(downloadFile(request({ signal: stop.signal, report })), /stopped by/);
    assert.deepEqual(await namesIn(path), ["file.gguf.part", "file.gguf.part.json"]);
    const result = await downloadFile(request());
    assert.ok(result.resumedBytes > 0);
    assert.equal(result.sha256, DIGEST);
  });
});

Deno.test("downloadFile() asks once when two calls want the same file", async () => {
  await play(sendAll, async ({ server, request }) => {
    const both = await Promise.all([downloadFile(request()), downloadFile(request())]);
    assert.deepEqual(both.map((result) => result.sizeBytes), [300_000, 300_000]);
    assert.equal(server.requests.length, 1);
  });
});

Deno.test("downloadFile() says that the disk is full and keeps what has arrived", async () => {
  await play(sendAll, async ({ request }) => {
    let roomBytes = 100_000;
    const writeSome = async (file: Deno.FsFile, bytes: Uint8Array) => {
      if (roomBytes === 0) {
        // A real refusal, as every full disk gives it.
        using full = await Deno.open("/dev/full", { write: true });
        return await full.write(bytes);
      }
      const part = bytes.subarray(0, roomBytes);
      roomBytes -= part.byteLength;
      return await file.write(part);
    };
    const full = downloadFile(request(), { ...HASTY, writeSome });
    await assert.rejects(
      full,
      (error) => failsAs("disk-full")(error) && /is full/.test(`${error}`),
    );
    const result = await downloadFile(request());
    assert.equal(result.resumedBytes, 100_000);
    assert.equal(result.sha256, DIGEST);
  });
});

Deno.test("downloadFile() says that a folder cannot be written", async () => {
  await play(sendAll, async ({ dir, request }) => {
    await Deno.mkdir(join(dir, "models", "file.gguf.part"), { recursive: true });
    await assert.rejects(downloadFile(request()), failsAs("disk"));
  });
});

Deno.test("downloadFile() tells all that has arrived when the server falls silent", async () => {
  const script: HttpScript = async (request, reply, index) => {
    await cutAtHalf(request, reply, index);
    await reply.hang();
  };
  await play(script, async ({ request }) => {
    const stop = new AbortController();
    // It used to go on showing what came with the first bytes.
    const report = ({ doneBytes }: TransferProgress): void => {
      if (doneBytes === HALF) stop.abort(new Error("half of it was told"));
    };
    const signal = AbortSignal.any([stop.signal, AbortSignal.timeout(DEADLINE_MS)]);
    await assert.rejects(downloadFile(request({ signal, report })), /half of it was told/);
  });
});
