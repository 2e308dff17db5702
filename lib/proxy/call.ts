import type { CancelTimer, Clock, Timers } from "../base/clock.ts";
import { formatMs } from "../base/units.ts";
import type { Ticket } from "./admission_desk.ts";
import type { ByteBudget } from "./body.ts";
import { type Dialect, DoorError, type ErrorCode } from "./errors.ts";
import type { ObserveRequest, RequestOutcome } from "./events.ts";

/** How long the engine may be silent. */
export interface PatienceLimits {
  /** Until the head of the answer: a long prompt on a slow machine takes many minutes. */
  readonly firstByteMs: number;
  /** Between two pieces of a stream. */
  readonly silenceMs: number;
}

/** What a {@link Call} is made from. */
export interface CallOptions {
  readonly requestId: string;
  readonly endpoint: string;
  readonly dialect: Dialect;
  readonly clientGone: AbortSignal;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly patience: PatienceLimits;
  readonly budget: ByteBudget;
  readonly observe: ObserveRequest;
  /** True for a request of another node, which goes on elsewhere by itself. @default {false} */
  readonly isForPeer?: boolean;
}

/** Why the upstream was cancelled: the client left. */
export class ClientGoneError extends Error {
  override readonly name = "ClientGoneError";

  constructor() {
    super("The client closed the connection");
  }
}

/**
 * One request for a model, from its head to the end of its answer. Owns what must be given back
 * exactly once however it ends: the slot, the memory of the body, the timer, the listener.
 */
export class Call {
  readonly requestId: string;
  readonly endpoint: string;
  readonly dialect: Dialect;
  readonly isForPeer: boolean;
  /** Engines that ended while they worked on it. It may be the cause: after the second nobody is asked any more. */
  crashCount = 0;
  readonly #options: CallOptions;
  readonly #cancel = new AbortController();
  readonly #receivedMs: number;
  #ticket: Ticket | undefined;
  #model: string | undefined;
  #nodeId: string | undefined;
  #sentMs = 0;
  #budgetedBytes = 0;
  #requestBytes = 0;
  #responseBytes = 0;
  #firstByteMs: number | undefined;
  #waitsSinceMs: number | undefined;
  #hasHead = false;
  #cancelTimer: CancelTimer | undefined;
  #onEnd: () => void = () => {};
  #isOver = false;

  constructor(options: CallOptions) {
    this.requestId = options.requestId;
    this.endpoint = options.endpoint;
    this.dialect = options.dialect;
    this.isForPeer = options.isForPeer ?? false;
    this.#options = options;
    this.#receivedMs = options.clock.nowMs();
    if (options.clientGone.aborted) this.#leave();
    else options.clientGone.addEventListener("abort", this.#leave, { once: true });
    options.observe({ kind: "received", requestId: this.requestId, endpoint: this.endpoint });
  }

  /** Aborted when nobody wants the answer any more, or the engine was silent for too long. */
  get signal(): AbortSignal {
    return this.#cancel.signal;
  }

  /** The clock that it goes by. */
  get nowMs(): number {
    return this.#options.clock.nowMs();
  }

  /** Its timers. */
  get timers(): Timers {
    return this.#options.timers;
  }

  /** Tells what became of it on the way. */
  tell(kind: "retried" | "continued" | "spilled", model: string): void {
    this.#options.observe({ kind, requestId: this.requestId, model });
  }

  /** True after {@link finish}. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The model whose answer it will be. */
  onModel(modelId: string): void {
    this.#model = modelId;
  }

  /** The body is here. */
  onBody(sizes: { readonly sizeBytes: number; readonly budgetedBytes: number }): void {
    this.#requestBytes = sizes.sizeBytes;
    this.#budgetedBytes = sizes.budgetedBytes;
  }

  /** It may go to the engine. */
  onAdmitted(modelId: string, ticket: Ticket): void {
    this.#ticket = ticket;
    this.#options.observe({
      kind: "started",
      requestId: this.requestId,
      endpoint: this.endpoint,
      model: modelId,
      queuedMs: ticket.waitedMs,
    });
  }

  /** It gives its slot back before it has another one. */
  onLeft(): void {
    this.#ticket?.release();
  }

  /** It goes to another pool of slots than it was admitted to. */
  onMoved(ticket: Ticket): void {
    this.#ticket?.release();
    if (this.#isOver) ticket.release();
    else this.#ticket = ticket;
  }

  /** It was sent to a target. `onEnd` is called once, when that target is done with it. */
  onSent(nodeId: string, onEnd: () => void): void {
    this.#onEnd();
    const { clock, observe } = this.#options;
    const { requestId } = this;
    const sentMs = this.#sentMs = clock.nowMs();
    this.#nodeId = nodeId;
    observe({ kind: "sent", requestId, nodeId });
    let isDone = false;
    this.#onEnd = () => {
      if (isDone) return;
      isDone = true;
      onEnd();
      observe({ kind: "done", requestId, nodeId, durationMs: clock.nowMs() - sentMs });
    };
    this.onWait();
  }

  /** The node that works on it, and since when; undefined before it was sent. */
  get work(): { readonly nodeId: string; readonly sinceMs: number } | undefined {
    return this.#nodeId === undefined ? undefined : { nodeId: this.#nodeId, sinceMs: this.#sentMs };
  }

  /** The answer's head arrived. */
  onHead(): void {
    this.#hasHead = true;
    this.#waitsSinceMs = undefined;
    // From now on another limit holds: the timer is set anew when somebody waits.
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** Now it is the engine's turn to say something. */
  onWait(): void {
    this.#waitsSinceMs = this.#options.clock.nowMs();
    if (this.#cancelTimer === undefined && !this.#isOver) this.#arm();
  }

  /** A piece of the answer's body arrived. */
  onBytes(sizeBytes: number): void {
    this.#waitsSinceMs = undefined;
    this.#responseBytes += sizeBytes;
    this.#firstByteMs ??= this.#options.clock.nowMs() - this.#receivedMs;
  }

  /** Stops the engine's work on it. */
  abort(reason: Error): void {
    this.#cancel.abort(reason);
  }

  /** Ends it; only the first call counts. */
  finish(
    outcome: RequestOutcome,
    result: { readonly status: number; readonly code?: ErrorCode | undefined },
  ): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelTimer?.();
    this.#onEnd();
    this.#ticket?.release();
    this.#options.budget.give(this.#budgetedBytes);
    this.#options.clientGone.removeEventListener("abort", this.#leave);
    this.#options.observe({
      kind: "finished",
      requestId: this.requestId,
      endpoint: this.endpoint,
      outcome,
      status: result.status,
      durationMs: this.#options.clock.nowMs() - this.#receivedMs,
      queuedMs: this.#ticket?.waitedMs ?? 0,
      requestBytes: this.#requestBytes,
      responseBytes: this.#responseBytes,
      ...(this.#model === undefined ? {} : { model: this.#model }),
      ...(this.#nodeId === undefined ? {} : { nodeId: this.#nodeId }),
      ...(this.#firstByteMs === undefined ? {} : { firstByteMs: this.#firstByteMs }),
      ...(result.code === undefined ? {} : { code: result.code }),
    });
  }

  readonly #leave = (): void => {
    this.abort(new ClientGoneError());
  };

  /** One timer that is set anew only when it runs, not with every piece of a stream. */
  #arm(): void {
    const { timers, clock, patience } = this.#options;
    const limitMs = this.#hasHead ? patience.silenceMs : patience.firstByteMs;
    const sinceMs = this.#waitsSinceMs ?? clock.nowMs();
    this.#cancelTimer = timers.after(Math.max(0, sinceMs + limitMs - clock.nowMs()), () => {
      const waitedMs = clock.nowMs() - (this.#waitsSinceMs ?? clock.nowMs());
      if (waitedMs < limitMs) return this.#arm();
      this.abort(
        new DoorError("upstream_timeout", `The engine said nothing for ${formatMs(waitedMs)}`),
      );
    });
  }
}
