import { ByteBudget } from "~/proxy/body.ts";
import { Call, type CallOptions } from "~/proxy/call.ts";
import type { FinishedRequest, RequestEvent } from "~/proxy/events.ts";
import { VirtualTime } from "./virtual_time.ts";

/** A {@link Call} with twins around it, whose client may leave. */
export class TestCall {
  readonly time = new VirtualTime();
  readonly budget = new ByteBudget(1_000);
  readonly events: RequestEvent[] = [];
  readonly #client = new AbortController();
  readonly call: Call;

  constructor(options: Partial<CallOptions> = {}) {
    this.call = new Call({
      requestId: "r1",
      endpoint: "/v1/chat/completions",
      dialect: "openai",
      clientGone: this.#client.signal,
      clock: this.time,
      timers: this.time,
      patience: { firstByteMs: 1_000, silenceMs: 100 },
      budget: this.budget,
      observe: (event) => this.events.push(event),
      ...options,
    });
  }

  /** How it ended; undefined while it has not. */
  get finished(): FinishedRequest | undefined {
    return this.events.find((event) => event.kind === "finished");
  }

  leave(): void {
    this.#client.abort();
  }
}
