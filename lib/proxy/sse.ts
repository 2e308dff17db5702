/**
 * Keeps a stream of server-sent events (HTML standard, 9.2) well formed when its source breaks off.
 *
 * Passed on is always everything up to the last blank line; an event that is not complete yet waits
 * for its rest, which no client could use earlier anyway. So when the source breaks, the client has
 * whole events only, and an error event can follow that every SDK understands.
 *
 * @module
 */
import { joined } from "../base/bytes.ts";
import type { DoorError } from "./errors.ts";
import { type Dialect, errorBody } from "./errors.ts";

/** Longest part of an event held back. The engine's largest, a whole answer, is far below. */
const HELD_BYTES_MAX = 1024 * 1024;

const LF = 0x0a;
const CR = 0x0d;
const NOTHING: Uint8Array<ArrayBuffer> = new Uint8Array(0);

/** Keeps a stream at whole events, and ends it. */
export interface EventCutter {
  /** Takes the next bytes; returns what may be passed on now, possibly nothing. */
  push(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
  /** Ends the stream well: what is held is passed on as it is. */
  finish(): Uint8Array<ArrayBuffer>;
  /** Ends the stream with an error event; what is held of an unfinished event is dropped. */
  fail(event: string): Uint8Array<ArrayBuffer>;
}

/** Splits a stream at the ends of events. */
export class SseTail implements EventCutter {
  #held: Uint8Array<ArrayBuffer>[] = [];
  #heldBytes = 0;
  #isInsideEvent = false;

  push(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if (this.#heldBytes === 0) {
      const end = endOfLastEvent(bytes);
      if (end === bytes.length) return this.#passOn(bytes);
      if (end > 0) {
        this.#hold(bytes.slice(end));
        return this.#passOn(bytes.subarray(0, end));
      }
    }
    this.#hold(bytes);
    return this.#flushIfComplete();
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#take();
  }

  fail(event: string): Uint8Array<ArrayBuffer> {
    this.#take();
    return new TextEncoder().encode(this.#isInsideEvent ? `\n\n${event}` : event);
  }

  #hold(bytes: Uint8Array<ArrayBuffer>): void {
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
  }

  #flushIfComplete(): Uint8Array<ArrayBuffer> {
    // Joining what is held each time, for nothing, would be quadratic.
    if (!this.#isEndNear() && this.#heldBytes <= HELD_BYTES_MAX) return NOTHING;
    const whole = this.#take();
    const end = endOfLastEvent(whole);
    if (end === 0 && whole.length > HELD_BYTES_MAX) {
      this.#isInsideEvent = true;
      return whole;
    }
    if (end < whole.length) this.#hold(whole.slice(end));
    return end === 0 ? NOTHING : this.#passOn(whole.subarray(0, end));
  }

  /** True when the newest bytes hold an end of an event, or complete one that began before them. */
  #isEndNear(): boolean {
    const newest = this.#held.at(-1) ?? NOTHING;
    const border = [...this.#held.slice(-4, -1).flatMap((piece) => [...piece.slice(-2)])].slice(-2);
    return endOfLastEvent(newest) > 0 ||
      endOfLastEvent(Uint8Array.from([...border, ...newest.subarray(0, 2)])) > 0;
  }

  #passOn(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    this.#isInsideEvent = false;
    return bytes;
  }

  #take(): Uint8Array<ArrayBuffer> {
    const pieces = this.#held;
    const only = pieces[0];
    this.#held = [];
    this.#heldBytes = 0;
    if (only === undefined) return NOTHING;
    return pieces.length === 1 ? only : joined(pieces);
  }
}

/** For a stream whose pieces are whole events already, as whoever makes them can end it. */
export function alreadyCut(fail: EventCutter["fail"]): EventCutter {
  return { push: (bytes) => bytes, finish: () => NOTHING, fail };
}

/**
 * The event that tells a client, in the middle of a stream, that the rest will not come.
 *
 * Chat and completion clients look for `error` in the data of any event; clients of `/v1/messages`
 * and `/v1/responses` look for an event named `error`.
 */
export function errorEvent(
  error: DoorError,
  options: { readonly dialect: Dialect; readonly isNamed: boolean },
): string {
  const data = JSON.stringify(errorBody(error, options.dialect));
  return options.isNamed ? `event: error\ndata: ${data}\n\n` : `data: ${data}\n\n`;
}

/** True for the content type of server-sent events. */
export function isEventStream(contentType: string | null): boolean {
  return contentType !== null && /^text\/event-stream(?:\s*;|$)/i.test(contentType);
}

/** Where the last complete event ends: just after its blank line; 0 when none does. */
function endOfLastEvent(bytes: Uint8Array): number {
  for (let at = bytes.lastIndexOf(LF); at > 0; at = bytes.lastIndexOf(LF, at - 1)) {
    const before = bytes[at - 1];
    if (before === LF) return at + 1;
    if (before === CR && at > 1 && bytes[at - 2] === LF) return at + 1;
  }
  return 0;
}
