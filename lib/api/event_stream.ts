/**
 * One follower of the node's events, as server-sent events (WHATWG HTML, section 9.2).
 *
 * The whole status comes first, always: who follows needs no second request, and nothing that was
 * missed matters for it. Then, for one that comes back with an id, the kept events after that id;
 * then what happens. A follower that reads slower than things happen is cut off at a fixed amount of
 * unsent bytes; it comes back by itself and is told the whole status again.
 *
 * @module
 */
import type { CancelTimer, Timers } from "../base/clock.ts";
import { MIB } from "../base/units.ts";
import { Outbox } from "./outbox.ts";
import type { ManagedNode, NumberedEvent, StatusSnapshot } from "./ports.ts";

/** A comment this often tells both ends, and proxies between them, that the link lives. */
export const HEARTBEAT_MS = 15_000;
/** Unsent bytes at which a follower is cut off: hundreds of events, or a few large statuses. */
export const UNSENT_BYTES_MAX = MIB;
/** How long a browser waits before it comes back. */
const RETRY_MS = 1000;

/** What {@link openEventStream} needs. */
export interface EventStreamOptions {
  readonly node: ManagedNode;
  readonly timers: Timers;
  /** Whether this follower may see the invite token. */
  readonly maySeeToken: boolean;
  /** Id of the last event that the follower knows; absent for a new one. */
  readonly afterId?: number;
  /** Any of these ends the stream: the follower left, the node stops. */
  readonly endSignals: readonly AbortSignal[];
  /** Called once, when nothing is held for this follower any more. */
  readonly onOver: () => void;
}

/** Starts following. The stream ends when it is cancelled, or by itself for the reasons above. */
export function openEventStream(options: EventStreamOptions): ReadableStream<Uint8Array> {
  return new Follower(options).begin();
}

/** The status as a caller may see it. */
export function statusFor(
  node: ManagedNode,
  caller: { readonly maySeeToken: boolean },
): StatusSnapshot {
  const status = node.status();
  return caller.maySeeToken ? status : { ...status, token: null };
}

/**
 * The event id in a `Last-Event-ID` header or `after` parameter; undefined when absent or not an id
 * that we could have given.
 */
export function parseEventId(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined;
  const id = Number(text);
  return Number.isSafeInteger(id) ? id : undefined;
}

class Follower {
  readonly #options: EventStreamOptions;
  readonly #outbox: Outbox;
  readonly #end = (): void => this.#outbox.end(": the node stops\n\n");
  #unsubscribe: () => void = () => {};
  #cancelHeartbeat: CancelTimer = () => {};

  constructor(options: EventStreamOptions) {
    this.#options = options;
    this.#outbox = new Outbox({
      timers: options.timers,
      unsentBytesMax: UNSENT_BYTES_MAX,
      tooSlowText: ": too slow to follow, come back\n\n",
      onOver: () => this.#release(),
    });
  }

  begin(): ReadableStream<Uint8Array> {
    const { node, endSignals, afterId } = this.#options;
    for (const signal of endSignals) signal.addEventListener("abort", this.#end);
    // Numbered so that ids never fall within one stream, replayed events included.
    const lastId = node.lastEventId();
    const firstId = afterId === undefined ? lastId : Math.min(afterId, lastId);
    this.#outbox.send(`retry: ${RETRY_MS}\n`);
    this.#sendStatus(firstId);
    const listen = (event: NumberedEvent): void => this.#tell(event, lastId);
    this.#unsubscribe = node.subscribe(listen, { afterId: firstId });
    this.#beatLater();
    if (endSignals.some((signal) => signal.aborted)) this.#end();
    return this.#outbox.stream;
  }

  #tell(event: NumberedEvent, lastIdAtBegin: number): void {
    if (event.kind !== "status") return this.#sendEvent(event.id, event.kind, event.data);
    // The status sent first is newer than any that is replayed.
    if (event.id > lastIdAtBegin) this.#sendStatus(event.id);
  }

  #sendStatus(id: number): void {
    this.#sendEvent(id, "status", statusFor(this.#options.node, this.#options));
  }

  #sendEvent(id: number, name: string, data: unknown): void {
    if (!this.#outbox.isOpen) return;
    // JSON on one line: nothing in it can look like another field.
    this.#outbox.send(`id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  #beatLater(): void {
    this.#cancelHeartbeat = this.#options.timers.after(HEARTBEAT_MS, () => {
      this.#outbox.send(": still here\n\n");
      if (this.#outbox.isOpen) this.#beatLater();
    });
  }

  #release(): void {
    this.#cancelHeartbeat();
    this.#unsubscribe();
    for (const signal of this.#options.endSignals) {
      signal.removeEventListener("abort", this.#end);
    }
    this.#options.onOver();
  }
}
