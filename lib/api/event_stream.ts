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
import type { CancelTimer, Timers } from "~/base/clock.ts";
import { MIB } from "~/base/units.ts";
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

/** One who follows. */
export interface EventFollower {
  /** Ends when it is cancelled, or by itself for the reasons above. */
  readonly stream: ReadableStream<Uint8Array>;
  /**
   * Sends a comment. A client that left without a word is noticed only when something is written to
   * it, and then at the second write.
   */
  probe(): void;
}

/** Starts following. */
export function openEventStream(options: EventStreamOptions): EventFollower {
  const follower = new Follower(options);
  follower.begin();
  return follower;
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

class Follower implements EventFollower {
  readonly #options: EventStreamOptions;
  readonly #outbox: Outbox;
  readonly #end = (): void => {
    this.#outbox.end(": the node stops\n\n");
    this.#stopListening();
  };
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

  get stream(): ReadableStream<Uint8Array> {
    return this.#outbox.stream;
  }

  probe(): void {
    this.#send(": still here\n\n");
  }

  begin(): void {
    const { node, endSignals, afterId } = this.#options;
    for (const signal of endSignals) signal.addEventListener("abort", this.#end);
    // Numbered so that ids never fall within one stream, replayed events included.
    const lastId = node.lastEventId();
    const firstId = afterId === undefined ? lastId : Math.min(afterId, lastId);
    this.#send(`retry: ${RETRY_MS}\n`);
    this.#sendStatus(firstId);
    const listen = (event: NumberedEvent): void => this.#tell(event, lastId);
    this.#unsubscribe = node.subscribe(listen, { afterId: firstId });
    this.#beatLater();
    // The replay may have been too much already, or the node may be stopping.
    if (!this.#outbox.isOpen || endSignals.some((signal) => signal.aborted)) this.#end();
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
    // JSON on one line: nothing in it can look like another field.
    this.#send(`id: ${id}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  #send(text: string): void {
    this.#outbox.send(text);
    if (!this.#outbox.isOpen) this.#stopListening();
  }

  #beatLater(): void {
    this.#cancelHeartbeat = this.#options.timers.after(HEARTBEAT_MS, () => {
      this.#beatLater();
      this.probe();
    });
  }

  #stopListening(): void {
    this.#cancelHeartbeat();
    this.#unsubscribe();
  }

  #release(): void {
    this.#stopListening();
    for (const signal of this.#options.endSignals) {
      signal.removeEventListener("abort", this.#end);
    }
    this.#options.onOver();
  }
}
