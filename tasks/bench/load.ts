/**
 * The load generator: a process of its own that takes jobs as JSON lines on stdin and answers each with one
 * JSON line on stdout. It ends when its stdin does.
 *
 * @module
 */
import { HttpConnection } from "./http_client.ts";
import type {
  DecodeJob,
  DecodeResult,
  DecodeSample,
  Job,
  LatencyJob,
  LatencyResult,
  LatencySamples,
  ProbeJob,
  ProbeResult,
  Results,
  SlowJob,
  SlowResult,
  ThroughputJob,
  ThroughputResult,
  TransferJob,
  TransferResult,
} from "./jobs.ts";
import { cpuMsBetween, readThreadTimes } from "./proc.ts";
import {
  chatRequest,
  downloadRequest,
  EventCounter,
  getRequest,
  postRequest,
  sentTimes,
  type Shape,
  STREAM_CHUNKS,
  type Target,
  uploadRequest,
} from "./requests.ts";
import { percentile } from "./stats.ts";

/** A run with that many errors is worth nothing: it ends at once. */
const ERRORS_MAX = 100;
/** A slow reader takes this much at a time. */
const SLOW_READ_BYTES = 1024;

/** One kept-alive client; connects when it must. */
class Client implements Disposable {
  readonly #port: number;
  #connection: HttpConnection | undefined;

  constructor(target: Target) {
    this.#port = target.port;
  }

  async exchange(request: Uint8Array, onBody: (part: Uint8Array) => void): Promise<void> {
    if (this.#connection?.isUsable !== true) {
      this[Symbol.dispose]();
      this.#connection = await HttpConnection.open(this.#port);
    }
    const status = await this.#connection.exchange(request, onBody);
    if (status !== 200) throw new Error(`Status ${status}, wanted 200`);
  }

  [Symbol.dispose](): void {
    this.#connection?.[Symbol.dispose]();
    this.#connection = undefined;
  }
}

function complain(counter: EventCounter, shape: Shape): void {
  const wanted = shape === "small" ? 0 : STREAM_CHUNKS + 1;
  if (counter.count !== wanted) throw new Error(`${counter.count} events, wanted ${wanted}`);
}

interface Timing {
  readonly firstMs: number;
  readonly totalMs: number;
  readonly lagMs: readonly number[];
}

/** Sends one request at a time to one target and times it. */
class Stopwatch implements Disposable {
  readonly #client: Client;
  readonly #request: Uint8Array;
  readonly #shape: Shape;
  readonly #counter = new EventCounter();
  readonly #decoder = new TextDecoder();

  constructor(target: Target, shape: Shape) {
    this.#client = new Client(target);
    this.#request = chatRequest(target, shape);
    this.#shape = shape;
  }

  async run(): Promise<Timing> {
    let firstMs = 0;
    const lagMs: number[] = [];
    this.#counter.reset();
    const startMs = performance.now();
    await this.#client.exchange(this.#request, (part) => {
      if (firstMs === 0) firstMs = performance.now() - startMs;
      this.#counter.add(part);
      if (this.#shape === "paced") lagMs.push(...this.#lags(part));
    });
    const totalMs = performance.now() - startMs;
    complain(this.#counter, this.#shape);
    return { firstMs, totalMs, lagMs };
  }

  #lags(part: Uint8Array): number[] {
    const nowMs = performance.timeOrigin + performance.now();
    return sentTimes(this.#decoder.decode(part)).map((sentMs) => nowMs - sentMs);
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }
}

async function measureLatency(job: LatencyJob): Promise<LatencyResult> {
  using stack = new DisposableStack();
  const watches = job.targets.map((target) => stack.use(new Stopwatch(target, job.shape)));
  await runRound(watches, job.warmupRequests);
  const rounds: LatencySamples[][] = [];
  for (let round = 0; round < job.rounds; round += 1) {
    rounds.push(await runRound(watches, job.requests));
  }
  return { rounds };
}

/** Each request goes to each target in turn; who is first changes. */
async function runRound(
  watches: readonly Stopwatch[],
  requests: number,
): Promise<LatencySamples[]> {
  const series = watches.map(() => ({
    firstMs: [] as number[],
    totalMs: [] as number[],
    lagMs: [] as number[],
  }));
  for (let request = 0; request < requests; request += 1) {
    for (let turn = 0; turn < watches.length; turn += 1) {
      const index = (request + turn) % watches.length;
      const timing = await watches[index]!.run();
      series[index]!.firstMs.push(timing.firstMs);
      series[index]!.totalMs.push(timing.totalMs);
      series[index]!.lagMs.push(...timing.lagMs);
    }
  }
  return series;
}

async function measureThroughput(job: ThroughputJob): Promise<ThroughputResult> {
  const totals = {
    latencies: [] as number[],
    errors: 0,
    firstError: undefined as string | undefined,
    longestGapMs: 0,
  };
  const before = job.cpuPids.map(readThreadTimes);
  const startMs = performance.now();
  const endMs = startMs + job.durationMs;
  let lastMs = startMs;
  await Promise.all(Array.from({ length: job.clients }, async () => {
    using watch = new Stopwatch(job.target, job.shape);
    while (performance.now() < endMs && totals.errors < ERRORS_MAX) {
      try {
        totals.latencies.push((await watch.run()).totalMs);
        const nowMs = performance.now();
        totals.longestGapMs = Math.max(totals.longestGapMs, nowMs - lastMs);
        lastMs = nowMs;
      } catch (error) {
        totals.errors += 1;
        totals.firstError ??= String(error);
      }
    }
  }));
  const tookMs = performance.now() - startMs;
  const { latencies, errors, firstError } = totals;
  // Silence at the end counts, too.
  const longestGapMs = Math.max(totals.longestGapMs, performance.now() - lastMs);
  return {
    requests: latencies.length,
    errors,
    ...(firstError === undefined ? {} : { firstError }),
    tookMs,
    p50Ms: latencies.length === 0 ? 0 : percentile(latencies, 0.5),
    p99Ms: latencies.length === 0 ? 0 : percentile(latencies, 0.99),
    longestGapMs,
    cpuMs: job.cpuPids.map((pid, index) => cpuMsBetween(before[index]!, readThreadTimes(pid))),
  };
}

async function measureProbes(job: ProbeJob): Promise<ProbeResult> {
  using stack = new DisposableStack();
  const pages = job.pages.map(({ target, path }) => ({
    client: stack.use(new Client(target)),
    request: getRequest(target, path),
    timesMs: [] as number[],
  }));
  const endMs = performance.now() + job.durationMs;
  for (let turn = 0; performance.now() < endMs; turn += 1) {
    const { client, request, timesMs } = pages[turn % pages.length]!;
    const startMs = performance.now();
    await client.exchange(request, () => {});
    timesMs.push(performance.now() - startMs);
    await new Promise((resolve) => setTimeout(resolve, job.pauseMs));
  }
  return { pagesMs: pages.map(({ timesMs }) => timesMs) };
}

async function measureDecode(job: DecodeJob): Promise<DecodeResult> {
  const lanes = job.ways.map(({ target, cpuPid }) => ({
    target,
    cpuPid,
    request: postRequest(target, { model: target.model, ...job.body }),
    samples: [] as DecodeSample[],
  }));
  for (let round = -job.warmupRounds; round < job.rounds; round += 1) {
    for (let turn = 0; turn < lanes.length; turn += 1) {
      // Each round begins with another way: what warms up or slows down hits all alike.
      const { target, cpuPid, request, samples } = lanes[(Math.abs(round) + turn) % lanes.length]!;
      const before = readThreadTimes(cpuPid);
      const sample = await takeDecode(target, request);
      const cpuMs = cpuMsBetween(before, readThreadTimes(cpuPid));
      if (round >= 0) samples.push({ ...sample, cpuMs });
    }
  }
  return { samples: lanes.map(({ samples }) => samples) };
}

/** On a new connection: llama-server closes idle ones after 5 s, less than an answer may take. */
async function takeDecode(
  target: Target,
  request: Uint8Array,
): Promise<Omit<DecodeSample, "cpuMs">> {
  using client = new Client(target);
  const decoder = new TextDecoder();
  const texts: string[] = [];
  let firstMs = 0;
  let lastMs = 0;
  const startMs = performance.now();
  await client.exchange(request, (part) => {
    lastMs = performance.now() - startMs;
    if (firstMs === 0) firstMs = lastMs;
    texts.push(decoder.decode(part, { stream: true }));
  });
  const totalMs = performance.now() - startMs;
  const tokens = Number(/"predicted_n":(\d+)/.exec(texts.join(""))?.[1] ?? 0);
  if (tokens < 2) throw new Error("The engine streamed no tokens, or did not say how many");
  return { tokens, firstMs, totalMs, decodeMs: lastMs - firstMs };
}

/** One body at a time; who is first changes. */
async function measureTransfers(job: TransferJob): Promise<TransferResult> {
  const request = job.direction === "up" ? uploadRequest : downloadRequest;
  const requests = job.targets.map((target) => request(target, job.sizeBytes));
  const roundsMs: number[][] = [];
  for (let round = -job.warmupRounds; round < job.rounds; round += 1) {
    const timesMs: number[] = [];
    for (let turn = 0; turn < job.targets.length; turn += 1) {
      const index = (Math.abs(round) + turn) % job.targets.length;
      timesMs[index] = await timeTransfer(job, job.targets[index]!, requests[index]!);
    }
    if (round >= 0) roundsMs.push(timesMs);
  }
  return { roundsMs };
}

async function timeTransfer(
  { direction, sizeBytes }: TransferJob,
  target: Target,
  request: Uint8Array,
): Promise<number> {
  using client = new Client(target);
  let receivedBytes = 0;
  const startMs = performance.now();
  await client.exchange(request, (part) => receivedBytes += part.length);
  const tookMs = performance.now() - startMs;
  if (direction === "down" && receivedBytes !== sizeBytes) {
    throw new Error(`${receivedBytes} bytes came, wanted ${sizeBytes}`);
  }
  return tookMs;
}

/** Small reads with pauses: what is not read fills the buffers of everybody on the way. */
async function readSlowly(job: SlowJob): Promise<SlowResult> {
  const endMs = performance.now() + job.durationMs;
  const request = downloadRequest(job.target, job.sizeBytes);
  const counts = await Promise.all(Array.from({ length: job.readers }, async () => {
    using conn = await Deno.connect({ hostname: "127.0.0.1", port: job.target.port });
    await conn.write(request);
    const buffer = new Uint8Array(SLOW_READ_BYTES);
    let readBytes = 0;
    while (performance.now() < endMs) {
      const count = await conn.read(buffer);
      if (count === null) throw new Error("A slow reader was cut off");
      readBytes += count;
      await new Promise((resolve) => setTimeout(resolve, job.pauseMs));
    }
    return readBytes;
  }));
  return { readBytes: counts.reduce((sum, count) => sum + count, 0) };
}

function runJob(job: Job): Promise<Results[Job["kind"]]> {
  switch (job.kind) {
    case "latency":
      return measureLatency(job);
    case "throughput":
      return measureThroughput(job);
    case "probe":
      return measureProbes(job);
    case "decode":
      return measureDecode(job);
    case "transfer":
      return measureTransfers(job);
    case "slow":
      return readSlowly(job);
  }
}

async function main(): Promise<void> {
  const encoder = new TextEncoder();
  let text = "";
  for await (const part of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    text += part;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      const job: Job = JSON.parse(text.slice(0, end));
      text = text.slice(end + 1);
      const answer = await runJob(job).catch((error) => ({ error: String(error) }));
      let line = encoder.encode(JSON.stringify(answer) + "\n");
      while (line.length > 0) line = line.subarray(await Deno.stdout.write(line));
    }
  }
}

if (import.meta.main) await main();
