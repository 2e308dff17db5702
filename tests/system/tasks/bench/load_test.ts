import assert from "node:assert/strict";
import { LoadProcess } from "../../../../tasks/bench/load_process.ts";
import { readMemory } from "../../../../tasks/bench/proc.ts";
import { STREAM_CHUNKS, type Target } from "../../../../tasks/bench/requests.ts";

const UPSTREAM = new URL("../../../../tasks/bench/upstream.ts", import.meta.url).pathname;
const KEY = "secret-of-this-test";

/** The bench's own engine, started the way the program starts one. */
class Upstream implements AsyncDisposable {
  readonly target: Target;
  readonly pid: number;
  readonly #child: Deno.ChildProcess;
  readonly #errors: Promise<void>;

  private constructor(child: Deno.ChildProcess, port: number, errors: Promise<void>) {
    this.#child = child;
    this.pid = child.pid;
    this.target = { port, key: KEY, model: "tiny" };
    this.#errors = errors;
  }

  static async start(): Promise<Upstream> {
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "-A", UPSTREAM, "--host", "127.0.0.1", "--port", "0"],
      env: { LLAMA_API_KEY: KEY },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const port = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(text)?.[1];
      if (port !== undefined) return new Upstream(child, Number(port), reader.cancel());
      const part = await reader.read();
      assert.ok(!part.done, `The upstream ended: ${text}`);
      text += part.value;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.status;
    await this.#errors;
  }
}

Deno.test("LoadProcess times small answers and streams of each target, round by round", async () => {
  await using upstream = await Upstream.start();
  await using load = new LoadProcess();
  for (const shape of ["small", "stream", "paced"] as const) {
    const { rounds } = await load.run({
      kind: "latency",
      targets: [upstream.target, upstream.target],
      shape,
      warmupRequests: 1,
      rounds: 2,
      requests: 3,
    });
    assert.equal(rounds.length, 2);
    for (const series of rounds.flat()) {
      assert.equal(series.totalMs.length, 3);
      assert.equal(series.lagMs.length, shape === "paced" ? 3 * STREAM_CHUNKS : 0);
      for (const [index, totalMs] of series.totalMs.entries()) {
        assert.ok(series.firstMs[index]! > 0 && series.firstMs[index]! <= totalMs);
      }
    }
  }
});

Deno.test("LoadProcess keeps clients busy and counts what they got", async () => {
  await using upstream = await Upstream.start();
  await using load = new LoadProcess();
  const result = await load.run({
    kind: "throughput",
    target: upstream.target,
    shape: "small",
    clients: 4,
    // Long enough for a system that counts a program's time in ticks of 10 ms to see some of it.
    durationMs: 1_000,
    cpuPids: [upstream.pid],
  });
  assert.equal(result.errors, 0);
  assert.ok(result.requests >= 4);
  assert.ok(result.cpuMs.every((cpuMs) => cpuMs > 0) && result.tookMs >= 1_000);
  assert.ok(result.p50Ms <= result.p99Ms);
});

Deno.test("LoadProcess counts refused requests as errors and ends early", async () => {
  await using upstream = await Upstream.start();
  await using load = new LoadProcess();
  const result = await load.run({
    kind: "throughput",
    target: { ...upstream.target, key: "wrong" },
    shape: "small",
    clients: 2,
    durationMs: 60_000,
    cpuPids: [upstream.pid],
  });
  assert.equal(result.requests, 0);
  assert.ok(result.errors >= 100);
  assert.match(result.firstError ?? "", /Status 401/);
});

Deno.test("LoadProcess says why a job cannot be done, and takes the next one", async () => {
  await using upstream = await Upstream.start();
  await using load = new LoadProcess();
  const job = {
    kind: "probe",
    pages: [{ target: upstream.target, path: "/nothing-here" }],
    durationMs: 1_000,
    pauseMs: 1,
  } as const;
  await assert.rejects(load.run(job), /Cannot measure: Error: Status 404/);
  const { pagesMs } = await load.run({
    ...job,
    pages: [{ target: upstream.target, path: "/health" }],
  });
  assert.ok(pagesMs[0]!.length > 0);
});

Deno.test("LoadProcess refuses a stream without tokens", async () => {
  await using upstream = await Upstream.start();
  await using load = new LoadProcess();
  const answer = load.run({
    kind: "decode",
    ways: [{ target: upstream.target, cpuPid: upstream.pid }],
    body: { stream: true, max_tokens: 3 },
    warmupRounds: 0,
    rounds: 1,
  });
  await assert.rejects(answer, /no tokens/);
});

Deno.test("readMemory() reads a running process", async () => {
  await using upstream = await Upstream.start();
  const { residentBytes, peakBytes } = await readMemory(upstream.pid);
  assert.ok(residentBytes > 1024 * 1024 && residentBytes <= peakBytes);
});

Deno.test("upstream answers the flags that only ask, in llama-server's words", async () => {
  const ask = async (flag: string) => {
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "-A", UPSTREAM, flag],
    }).output();
    return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  };
  const [version, help, devices] = await Promise.all(
    ["--version", "--help", "--list-devices"].map(ask),
  );
  assert.match(version!, /version: 0\.7\.0 \(build 11669/);
  assert.match(help!, /--port PORT/);
  assert.match(devices!, /Available devices:/);
});
