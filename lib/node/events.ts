/**
 * The node's news: who wants to know is told at once, and the last events are kept, so that a page
 * whose connection broke can catch up. Nothing here waits for a listener.
 */
import { getLogger } from "@logtape/logtape";
import type { NodeEvent, NumberedEvent, SubscribeOptions } from "~/api/ports.ts";
import { assert, messageOf } from "~/base/errors.ts";
import type { JsonObject } from "~/base/json.ts";
import type { FinishedRequest } from "~/proxy/events.ts";

const log = getLogger(["mesh-llm", "node"]);

/** Events kept for those who come back: some minutes of a busy node, some 100 kB at most. */
const REPLAY_EVENTS_MAX = 256;

/** Told of each event; must be quick. */
export type EventListener = (event: NumberedEvent) => void;

/** What an {@link EventHub} is made with. */
export interface EventHubOptions {
  /**
   * Id of the first event. Unix milliseconds of the start keep ids growing over restarts, so a page
   * that knew the former life of the node does not take new events for old ones.
   */
  readonly firstId: number;
  /** Events kept for replay. @default {256} */
  readonly replayMax?: number;
}

/** Tells events to listeners and keeps the last ones. */
export class EventHub {
  readonly #kept: NumberedEvent[] = [];
  readonly #replayMax: number;
  readonly #listeners = new Set<EventListener>();
  #lastId: number;

  constructor(options: EventHubOptions) {
    const { firstId, replayMax = REPLAY_EVENTS_MAX } = options;
    assert(Number.isSafeInteger(firstId) && firstId >= 1, "event ids are whole and start at 1");
    assert(Number.isInteger(replayMax) && replayMax >= 0, "a replay length is whole");
    this.#lastId = firstId - 1;
    this.#replayMax = replayMax;
  }

  /** Id of the newest event; one less than the first id when there was none. */
  get lastId(): number {
    return this.#lastId;
  }

  /** How many listen now. */
  get listenerCount(): number {
    return this.#listeners.size;
  }

  /** Numbers the event, keeps it and tells everybody. Never throws for a listener's fault. */
  publish(event: NodeEvent): NumberedEvent {
    this.#lastId += 1;
    const numbered: NumberedEvent = { id: this.#lastId, kind: event.kind, data: event.data };
    this.#kept.push(numbered);
    if (this.#kept.length > this.#replayMax) this.#kept.shift();
    // A copy: a listener may unsubscribe itself or others while it is told.
    for (const listener of [...this.#listeners]) {
      if (this.#listeners.has(listener)) tell(listener, numbered);
    }
    return numbered;
  }

  /**
   * Calls `listener` for each event from now on until the returned function is called. With
   * `afterId`, the kept events after that id come first, at once. An id that was never given out
   * (a clock that jumped back between two lives) replays nothing.
   */
  subscribe(listener: EventListener, options: SubscribeOptions = {}): () => void {
    // Wrapped, so that one function subscribed twice is two subscriptions.
    const own: EventListener = (event) => listener(event);
    this.#listeners.add(own);
    for (const event of this.#after(options.afterId)) {
      if (this.#listeners.has(own)) tell(own, event);
    }
    return () => void this.#listeners.delete(own);
  }

  #after(afterId: number | undefined): NumberedEvent[] {
    if (afterId === undefined || afterId >= this.#lastId) return [];
    return this.#kept.filter((event) => event.id > afterId);
  }
}

/**
 * What the live view is told about a request that ended: where it went and how long it took, nothing
 * of what was asked or answered.
 *
 * @param atUnixMs when it ended
 */
export function requestEvent(request: FinishedRequest, atUnixMs: number): NodeEvent {
  const data: JsonObject = {
    "at_unix_ms": atUnixMs,
    "request_id": request.requestId,
    "endpoint": request.endpoint,
    "model": request.model ?? null,
    "node_id": request.nodeId ?? null,
    "outcome": request.outcome,
    "status": request.status,
    "code": request.code ?? null,
    "duration_ms": request.durationMs,
    "queued_ms": request.queuedMs,
    "first_byte_ms": request.firstByteMs ?? null,
    "request_bytes": request.requestBytes,
    "response_bytes": request.responseBytes,
  };
  return { kind: "request", data };
}

function tell(listener: EventListener, event: NumberedEvent): void {
  try {
    listener(event);
  } catch (thrown) {
    log.error("A listener failed on event {id} ({kind}): {reason}", {
      id: event.id,
      kind: event.kind,
      reason: messageOf(thrown),
    });
  }
}
