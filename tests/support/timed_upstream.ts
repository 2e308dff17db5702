import { setImmediate } from "node:timers";
import {
  type Upstream,
  UpstreamError,
  type UpstreamRequest,
  type UpstreamResponse,
} from "~/proxy/ports.ts";
import type { VirtualTime } from "./virtual_time.ts";

/** Lets everything run that waits for nothing from outside. */
export async function turn(): Promise<void> {
  for (let i = 0; i < 2; i += 1) await new Promise<void>((turned) => setImmediate(turned));
}

/** Moves time forward, event by event, so that whoever is woken acts in its moment. */
export async function pass(
  time: VirtualTime,
  byMs: number,
  onEvent: () => void = () => {},
): Promise<void> {
  const untilMs = time.nowMs() + byMs;
  await turn();
  for (let next = time.nextMs; next !== undefined && next <= untilMs; next = time.nextMs) {
    onEvent();
    time.advance(next - time.nowMs());
    await turn();
    onEvent();
  }
  time.advance(untilMs - time.nowMs());
  onEvent();
}

/** A host on virtual time: so many requests at once, the same time for each, and a line without a bound for the rest. */
export class TimedUpstream implements Upstream {
  readonly slots: number;
  readonly #time: VirtualTime;
  readonly #serviceMs: number;
  readonly #waiting: (() => void)[] = [];
  #workingCount = 0;
  /** Every request that it began with, by its id. */
  readonly started: string[] = [];

  constructor(
    time: VirtualTime,
    options: { readonly slots: number; readonly serviceMs: number },
  ) {
    this.#time = time;
    this.slots = options.slots;
    this.#serviceMs = options.serviceMs;
  }

  /** Requests that it could begin with at once. */
  get freeCount(): number {
    return this.slots - this.#workingCount;
  }

  async send(request: UpstreamRequest, signal: AbortSignal): Promise<UpstreamResponse> {
    if (this.freeCount <= 0) await new Promise<void>((free) => this.#waiting.push(free));
    if (signal.aborted) throw new UpstreamError("The request was cancelled", false);
    this.#workingCount += 1;
    this.started.push(request.headers.get("x-request-id") ?? "");
    await new Promise<void>((done) => this.#time.after(this.#serviceMs, done));
    this.#workingCount -= 1;
    this.#waiting.shift()?.();
    const headers = new Headers({ "content-type": "application/json" });
    return { status: 200, headers, body: new TextEncoder().encode("{}") };
  }
}
