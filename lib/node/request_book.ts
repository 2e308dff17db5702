/** What the node remembers of requests: how many run, how many wait, how much each model was asked. */
import type { RequestEvent } from "~/proxy/events.ts";
import type { Inflight } from "./inflight.ts";
import type { ModelUsage } from "./status.ts";

/** Models remembered: names come from what this node served, so a few; more are forgotten first. */
const MODELS_MAX = 256;

/** Follows the events of the OpenAI door. */
export class RequestBook {
  readonly #inflight: Inflight;
  readonly #wallMs: () => number;
  readonly #usage = new Map<string, ModelUsage>();
  /** Requests with a slot, by id; callers choose ids, so two may share one. */
  readonly #running = new Map<string, number>();
  #runningCount = 0;

  constructor(options: { readonly inflight: Inflight; readonly wallMs: () => number }) {
    this.#inflight = options.inflight;
    this.#wallMs = options.wallMs;
  }

  /** Takes in one event. */
  record(event: RequestEvent): void {
    if (event.kind === "received") return this.#inflight.begin();
    if (event.kind === "started") {
      this.#count(event.requestId, 1);
      return this.#touch(event.model);
    }
    if (event.kind !== "finished") return;
    this.#inflight.end();
    if (this.#running.has(event.requestId)) this.#count(event.requestId, -1);
  }

  /** Requests that are being answered or wait. */
  get openCount(): number {
    return this.#inflight.count;
  }

  /** Requests that have no slot yet. */
  get waitingCount(): number {
    return this.#inflight.count - this.#runningCount;
  }

  /** How much a model was asked. */
  usageOf(modelId: string): ModelUsage {
    return this.#usage.get(modelId) ?? { requests: 0 };
  }

  #count(requestId: string, change: 1 | -1): void {
    const count = (this.#running.get(requestId) ?? 0) + change;
    if (count === 0) this.#running.delete(requestId);
    else this.#running.set(requestId, count);
    this.#runningCount += change;
  }

  #touch(modelId: string): void {
    const { requests } = this.usageOf(modelId);
    // Taken out first, so that the map stays in the order of last use.
    this.#usage.delete(modelId);
    this.#usage.set(modelId, { requests: requests + 1, lastMs: this.#wallMs() });
    if (this.#usage.size <= MODELS_MAX) return;
    const oldest = this.#usage.keys().next().value;
    if (oldest !== undefined) this.#usage.delete(oldest);
  }
}
