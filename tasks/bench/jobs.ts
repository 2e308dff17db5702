/** What the bench asks of a load generator, and what it gets back. Only types: the generator is `load.ts`. */
import type { Shape, Target } from "./requests.ts";

/** Sends requests one after another to each target in turn, several rounds. */
export interface LatencyJob {
  readonly kind: "latency";
  readonly targets: readonly Target[];
  readonly shape: Shape;
  readonly warmupRequests: number;
  readonly rounds: number;
  readonly requests: number;
}

/** One series per target for one round, in milliseconds. */
export interface LatencySamples {
  /** From the request's first byte to the first byte of the answer's body. */
  readonly firstMs: readonly number[];
  /** From the request's first byte to the answer's last. */
  readonly totalMs: readonly number[];
  /** From the sending of each event to its arrival; paced streams only. */
  readonly lagMs: readonly number[];
}

/** `rounds[round][target]`. */
export interface LatencyResult {
  readonly rounds: readonly (readonly LatencySamples[])[];
}

/** Keeps some clients busy for a while. */
export interface ThroughputJob {
  readonly kind: "throughput";
  readonly target: Target;
  readonly shape: Shape;
  readonly clients: number;
  readonly durationMs: number;
  /** Processes whose CPU time is taken over the run. */
  readonly cpuPids: readonly number[];
}

/** What came of it. */
export interface ThroughputResult {
  readonly requests: number;
  readonly errors: number;
  /** The first error, for people. */
  readonly firstError?: string;
  readonly tookMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Longest time in which no request was answered. */
  readonly longestGapMs: number;
  /** By process, in the order of the job. */
  readonly cpuMs: readonly number[];
}

/** Asks for pages now and then, while others keep the program busy. */
export interface ProbeJob {
  readonly kind: "probe";
  readonly pages: readonly { readonly target: Target; readonly path: string }[];
  readonly durationMs: number;
  readonly pauseMs: number;
}

/** `pagesMs[page]`: times to the whole answer. */
export interface ProbeResult {
  readonly pagesMs: readonly (readonly number[])[];
}

/** A way to the engine. */
export interface DecodeWay {
  readonly target: Target;
  /** Process whose CPU time is taken over each request. */
  readonly cpuPid: number;
}

/** Sends one streaming body each way in turn, many rounds. */
export interface DecodeJob {
  readonly kind: "decode";
  readonly ways: readonly DecodeWay[];
  /** Members of the body besides `model`. */
  readonly body: Readonly<Record<string, unknown>>;
  readonly warmupRounds: number;
  readonly rounds: number;
}

/** One stream of tokens. */
export interface DecodeSample {
  readonly tokens: number;
  readonly firstMs: number;
  readonly totalMs: number;
  /** From the first event to the last. */
  readonly decodeMs: number;
  readonly cpuMs: number;
}

/** What came of it: `samples[way][round]`. */
export interface DecodeResult {
  readonly samples: readonly (readonly DecodeSample[])[];
}

/** Moves one large body at a time, to or from each target in turn. */
export interface TransferJob {
  readonly kind: "transfer";
  readonly targets: readonly Target[];
  /** `up`: as a request, `down`: as an answer. */
  readonly direction: "up" | "down";
  readonly sizeBytes: number;
  readonly warmupRounds: number;
  readonly rounds: number;
}

/** `roundsMs[round][target]`: from the request's first byte to the answer's last. */
export interface TransferResult {
  readonly roundsMs: readonly (readonly number[])[];
}

/** Asks for large answers and hardly reads them. */
export interface SlowJob {
  readonly kind: "slow";
  readonly target: Target;
  readonly readers: number;
  readonly sizeBytes: number;
  /** Between two reads of one reader. */
  readonly pauseMs: number;
  readonly durationMs: number;
}

/** What came of it. */
export interface SlowResult {
  /** Read by all together: far less than was asked for. */
  readonly readBytes: number;
}

/** A job with its answer. */
export type Job = LatencyJob | ThroughputJob | ProbeJob | DecodeJob | TransferJob | SlowJob;
/** What each kind of job gives. */
export interface Results {
  readonly latency: LatencyResult;
  readonly throughput: ThroughputResult;
  readonly probe: ProbeResult;
  readonly decode: DecodeResult;
  readonly transfer: TransferResult;
  readonly slow: SlowResult;
}
