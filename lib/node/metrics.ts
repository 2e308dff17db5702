/**
 * What the node measures, as Prometheus text. Counts what the OpenAI door tells about requests and
 * what the node tells about its engine; asks for the rest when somebody reads.
 *
 * The number of series is bounded: labels take values from fixed lists, and model names are those
 * that the node serves, at most {@link MODEL_LABELS_MAX} of them; more share one label.
 */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { FinishedRequest, ObserveRequest, RequestEvent } from "~/proxy/events.ts";
import { assertNever } from "~/base/errors.ts";

/** Different models told apart: more than a node serves in its life, few enough for a scraper. */
export const MODEL_LABELS_MAX = 64;
/**
 * Finished requests that are counted together: to look up their series one by one, cold, took a tenth of the time that
 * an answer spends in the node.
 */
const COUNTED_TOGETHER = 32;
/** The label of a request that was settled on no model, and of one model too many. */
const MODEL_UNKNOWN = "unknown";
const MODEL_OTHER = "other";

/** From a cached answer of some milliseconds to a long prompt on a CPU. */
const FIRST_BYTE_BUCKETS_S = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];
/** From a count of tokens to an essay on a CPU. */
const DURATION_BUCKETS_S = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
/** Zero when a slot is free; as long as the door lets requests wait otherwise. */
const QUEUE_BUCKETS_S = [0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120];
/** From the starter model on a warm disk to a hundred gigabytes over a network. */
const LOAD_BUCKETS_S = [0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800];

/** Numbers that are asked for when somebody reads the metrics. */
export interface MetricSources {
  /** Resident memory of this process, in bytes. */
  readonly residentBytes: () => number;
  /** Time since the node started, in milliseconds. */
  readonly upMs: () => number;
  /** Requests that wait for a slot. */
  readonly queuedRequests: () => number;
  /** Whether any model can be answered. */
  readonly isReady: () => boolean;
}

/** What {@link NodeMetrics} is made with. */
export interface NodeMetricsOptions {
  readonly version: string;
  readonly commit: string;
  readonly sources: MetricSources;
}

/** The node's own registry; nothing else in the process writes to it. */
export class NodeMetrics {
  /** To be given to the OpenAI door. */
  readonly observe: ObserveRequest = (event) => this.#observe(event);
  readonly #registry = new Registry();
  readonly #series: Series;
  readonly #models = new Set<string>();
  /** Requests that have a slot. As many as the door lets run. */
  readonly #running = new Set<string>();
  /** Not counted yet. */
  #finished: FinishedRequest[] = [];

  constructor(options: NodeMetricsOptions) {
    this.#series = makeSeries(this.#registry);
    addReadings(this.#registry, options);
  }

  /** The engine of a model ended by itself and is started again. */
  engineRestarted(model: string): void {
    this.#series.restarts.inc({ model: this.#modelLabel(model) });
  }

  /** A model became ready, this long after its engine was started. */
  modelLoaded(model: string, loadMs: number): void {
    this.#series.load.observe({ model: this.#modelLabel(model) }, loadMs / 1000);
  }

  /** Prometheus text, version 0.0.4. */
  async text(): Promise<{ readonly contentType: string; readonly text: string }> {
    this.#countFinished();
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  #observe(event: RequestEvent): void {
    switch (event.kind) {
      case "received":
        return this.#series.open.inc();
      case "sent":
      case "done":
        return;
      case "started":
        this.#running.add(event.requestId);
        return this.#series.running.set(this.#running.size);
      case "finished":
        return this.#finish(event);
      case "retried":
        return this.#series.retries.inc({ model: this.#modelLabel(event.model) });
      case "continued":
        return this.#series.continuations.inc({ model: this.#modelLabel(event.model) });
      case "spilled":
        return this.#series.spills.inc({ model: this.#modelLabel(event.model) });
      case "turned away":
        return this.#series.turnedAway.inc({ status: event.status, code: event.code });
      default:
        return assertNever(event);
    }
  }

  #finish(request: FinishedRequest): void {
    const { open, running } = this.#series;
    open.dec();
    if (this.#running.delete(request.requestId)) running.set(this.#running.size);
    this.#finished.push(request);
    if (this.#finished.length >= COUNTED_TOGETHER) this.#countFinished();
  }

  #countFinished(): void {
    const finished = this.#finished;
    this.#finished = [];
    for (const request of finished) this.#count(request);
  }

  #count(request: FinishedRequest): void {
    const series = this.#series;
    const { endpoint, status, firstByteMs } = request;
    const model = this.#modelLabel(request.model);
    const outcome = request.outcome.replace(" ", "_");
    series.requests.inc({ endpoint, model, status, outcome });
    series.duration.observe({ endpoint, model }, request.durationMs / 1000);
    series.queued.observe({ model }, request.queuedMs / 1000);
    if (firstByteMs !== undefined) series.firstByte.observe({ model }, firstByteMs / 1000);
    series.requestBytes.inc({ model }, request.requestBytes);
    series.responseBytes.inc({ model }, request.responseBytes);
  }

  #modelLabel(model: string | undefined): string {
    if (model === undefined) return MODEL_UNKNOWN;
    if (this.#models.has(model)) return model;
    if (this.#models.size >= MODEL_LABELS_MAX) return MODEL_OTHER;
    this.#models.add(model);
    return model;
  }
}

interface Series {
  readonly requests: Counter<"endpoint" | "model" | "status" | "outcome">;
  readonly turnedAway: Counter<"status" | "code">;
  readonly requestBytes: Counter<"model">;
  readonly responseBytes: Counter<"model">;
  readonly restarts: Counter<"model">;
  readonly retries: Counter<"model">;
  readonly continuations: Counter<"model">;
  readonly spills: Counter<"model">;
  readonly open: Gauge;
  readonly running: Gauge;
  readonly duration: Histogram<"endpoint" | "model">;
  readonly firstByte: Histogram<"model">;
  readonly queued: Histogram<"model">;
  readonly load: Histogram<"model">;
}

function makeSeries(registry: Registry): Series {
  const registers = [registry];
  const model = ["model"] as const;
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter({ name: `mesh_llm_${name}`, help, labelNames: [...labelNames], registers });
  const gauge = (name: string, help: string) =>
    new Gauge({ name: `mesh_llm_${name}`, help, registers });
  const histogram = <L extends string>(name: string, help: string, more: {
    readonly labelNames: readonly L[];
    readonly buckets: readonly number[];
  }) => {
    const [labelNames, buckets] = [[...more.labelNames], [...more.buckets]];
    return new Histogram({ name: `mesh_llm_${name}`, help, labelNames, buckets, registers });
  };
  return {
    requests: counter(
      "requests_total",
      "Requests for a model that ended, by how they ended",
      ["endpoint", "model", "status", "outcome"],
    ),
    turnedAway: counter(
      "requests_turned_away_total",
      "Requests refused for their Host, Origin, key, path or method",
      ["status", "code"],
    ),
    requestBytes: counter("request_bytes_total", "Bytes of request bodies", model),
    responseBytes: counter("response_bytes_total", "Bytes of answer bodies", model),
    restarts: counter("engine_restarts_total", "Engines that ended by themselves", model),
    retries: counter("retries_total", "Requests asked anew before their answer had begun", model),
    continuations: counter(
      "continuations_total",
      "Answers that broke off and were continued by another host",
      model,
    ),
    spills: counter(
      "spills_total",
      "Turns of conversations sent elsewhere because the host with their beginning was busy",
      model,
    ),
    open: gauge("requests_open", "Requests received and not ended"),
    running: gauge("requests_running", "Requests that the engine works on"),
    duration: histogram(
      "request_duration_seconds",
      "Time from a request's head to its end",
      { labelNames: ["endpoint", "model"], buckets: DURATION_BUCKETS_S },
    ),
    firstByte: histogram(
      "request_first_byte_seconds",
      "Time from a request's head to the first byte of the answer, the first token of a stream",
      { labelNames: model, buckets: FIRST_BYTE_BUCKETS_S },
    ),
    queued: histogram(
      "request_queue_seconds",
      "Time that a request waited for a slot",
      { labelNames: model, buckets: QUEUE_BUCKETS_S },
    ),
    load: histogram(
      "model_load_seconds",
      "Time from the start of an engine until its model was ready",
      { labelNames: model, buckets: LOAD_BUCKETS_S },
    ),
  };
}

/** Gauges that have no state: they ask when they are read. */
function addReadings(registry: Registry, options: NodeMetricsOptions): void {
  const { version, commit, sources } = options;
  const reading = (name: string, help: string, read: () => number): void => {
    // Registered by being made; `collect` runs with the gauge as `this`.
    new Gauge({
      name: `mesh_llm_${name}`,
      help,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  };
  reading(
    "resident_memory_bytes",
    "Resident memory of the node, without its engine",
    () => sources.residentBytes(),
  );
  reading("uptime_seconds", "Time since the node started", () => sources.upMs() / 1000);
  reading("requests_waiting", "Requests that wait for a slot", () => sources.queuedRequests());
  reading("ready", "1 when any model can be answered", () => sources.isReady() ? 1 : 0);
  new Gauge({
    name: "mesh_llm_build_info",
    help: "Always 1; the labels say which build runs",
    labelNames: ["version", "commit"],
    registers: [registry],
  }).set({ version, commit }, 1);
}
