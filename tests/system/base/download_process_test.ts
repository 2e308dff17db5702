import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { runCommand } from "~/base/io/command.ts";
import { downloadFile, type DownloadRequest } from "~/base/io/download.ts";
import { DownloadError } from "~/base/transfer.ts";
import { type HttpScript, ScriptedHttp } from "#support/scripted_http.ts";

const CONTENT = Uint8Array.from(
  { length: 2_000_000 },
  (_, index) => (index * 7 + index / 99) & 255,
);
const DIGEST = createHash("sha256").update(CONTENT).digest("hex");
const HALF = 1_000_000;
/** Only there so that a download that never ends fails the test instead of hanging it. */
const DEADLINE_MS = 60_000;

async function inTempDir(run: (dir: string) => Promise<void>): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "mesh-llm-download-" });
  try {
    await run(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function requestOf(url: string, destination: string): DownloadRequest {
  return {
    url,
    destination,
    expectedSha256: DIGEST,
    maxBytes: 10_000_000,
    what: "engine",
    source: "a server",
    report: () => {},
    signal: AbortSignal.timeout(DEADLINE_MS),
  };
}

/** Another process that downloads the same thing. */
function spawnDownload(url: string, destination: string): Deno.ChildProcess {
  const config = new URL("../../../deno.json", import.meta.url).pathname;
  const module = new URL("../../../lib/base/io/download.ts", import.meta.url).href;
  const code = `
    const { downloadFile } = await import(${JSON.stringify(module)});
    const request = ${JSON.stringify(requestOf(url, destination))};
    const signal = AbortSignal.timeout(${DEADLINE_MS});
    const result = await downloadFile({ ...request, report: () => {}, signal });
    console.log(JSON.stringify(result));
    Deno.exit(0);`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", "--config", config, "--ext=ts", "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  void writer.write(new TextEncoder().encode(code)).then(() => writer.close());
  return child;
}

Deno.test("downloadFile() goes on after its process was killed", async () => {
  const halfWay = Promise.withResolvers<void>();
  const script: HttpScript = async (_request, reply, index) => {
    if (index > 0) return await reply.file(CONTENT);
    await reply.head(200, { "content-length": String(CONTENT.byteLength) });
    await reply.body(CONTENT.subarray(0, HALF));
    halfWay.resolve();
    await reply.hang();
  };
  await inTempDir(async (dir) => {
    await using server = new ScriptedHttp(script);
    const path = join(dir, "file");
    const child = spawnDownload(`${server.url}/a`, path);
    await halfWay.promise;
    await sizeReached(`${path}.part`, HALF);
    child.kill("SIGKILL");
    await child.output();

    const result = await downloadFile(requestOf(`${server.url}/b`, path));
    assert.equal(result.resumedBytes, HALF);
    assert.equal(server.requests[1]?.headers.get("range"), `bytes=${HALF}-`);
    assert.deepEqual(await Deno.readFile(path), CONTENT);
  });
});

Deno.test("downloadFile() asks once when several processes want the same file", async () => {
  const script: HttpScript = (_request, reply) => reply.file(CONTENT);
  await inTempDir(async (dir) => {
    await using server = new ScriptedHttp(script);
    const path = join(dir, "file");
    const children = [1, 2, 3].map(() => spawnDownload(server.url, path));
    const outputs = await Promise.all(children.map((child) => child.output()));
    for (const output of outputs) {
      assert.equal(JSON.parse(new TextDecoder().decode(output.stdout)).sizeBytes, 2_000_000);
    }
    assert.equal(server.requests.length, 1);
  });
});

Deno.test("downloadFile() fills a real disk, says so, and goes on when there is room", async () => {
  const script: HttpScript = (_request, reply) => reply.file(CONTENT);
  await inTempDir(async (dir) => {
    await using server = new ScriptedHttp(script);
    const path = join(dir, "disk", "file");
    await Deno.mkdir(join(dir, "disk"));
    // Only root may mount; without it, download_test.ts has the same case with a refused write.
    if (!await mount(["-t", "tmpfs", "-o", "size=1m", "tmpfs", join(dir, "disk")])) return;
    try {
      const isFull = (error: unknown) =>
        error instanceof DownloadError && error.failure === "disk-full";
      await assert.rejects(downloadFile(requestOf(server.url, path)), isFull);
      await mount(["-o", "remount,size=8m", join(dir, "disk")]);
      const result = await downloadFile(requestOf(server.url, path));
      assert.ok(result.resumedBytes > 500_000, `${result.resumedBytes}`);
      assert.equal(result.sha256, DIGEST);
    } finally {
      await runCommand({
        command: "umount",
        args: [join(dir, "disk")],
        timeoutMs: DEADLINE_MS,
      });
    }
  });
});

async function mount(args: string[]): Promise<boolean> {
  try {
    return (await runCommand({ command: "mount", args, timeoutMs: DEADLINE_MS })).code === 0;
  } catch {
    return false;
  }
}

async function sizeReached(path: string, sizeBytes: number): Promise<void> {
  for (;;) {
    const info = await Deno.stat(path).catch(() => undefined);
    if (info !== undefined && info.size >= sizeBytes) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
