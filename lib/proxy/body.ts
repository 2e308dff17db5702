/** Reads a request's body within bounds of size, time and memory. */
import type { CancelTimer, Clock, Timers } from "../base/clock.ts";
import type { BodySink, IncomingBody } from "../base/http_door.ts";
import { LruMap } from "../base/lru.ts";
import { formatBytes } from "../base/units.ts";
import { DoorError } from "./errors.ts";

/** The bounds of one body. */
export interface BodyLimits {
  readonly sizeBytesMax: number;
  /** Time that any body may take, however small. */
  readonly graceMs: number;
  /** Slowest pace of the whole body, beyond the grace. */
  readonly bytesPerSecondMin: number;
  /** Longest silence within a body. */
  readonly silenceMs: number;
  /** Longest time of a whole body: a fast beginning does not earn a slow end. */
  readonly totalMs: number;
}

/** The limits of a node. 64 MiB hold a dozen photographs in base64 or the longest of contexts. */
export const BODY_LIMITS: BodyLimits = {
  sizeBytesMax: 64 * 1024 * 1024,
  graceMs: 20_000,
  bytesPerSecondMin: 1024,
  silenceMs: 30_000,
  // The largest body at 110 KB/s: a phone uploads faster.
  totalMs: 600_000,
};

/** Bytes that all bodies together may hold: each stays in memory until its answer is complete. */
export class ByteBudget {
  readonly #maxBytes: number;
  readonly #whole: ByteBudget | undefined;
  #takenBytes = 0;

  /** @param whole the budget of which this one is a share, if any */
  constructor(maxBytes: number, whole?: ByteBudget) {
    this.#maxBytes = maxBytes;
    this.#whole = whole;
  }

  get takenBytes(): number {
    return this.#takenBytes;
  }

  /** False, and nothing taken, when there is not that much left. */
  take(bytes: number): boolean {
    if (this.#takenBytes + bytes > this.#maxBytes || this.#whole?.take(bytes) === false) {
      return false;
    }
    this.#takenBytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#takenBytes -= bytes;
    this.#whole?.give(bytes);
  }
}

/** Shares of the budget of all bodies: for those of all peers together, and for those of one peer. */
const PEERS_SHARE = 3 / 4;
const PEER_SHARE = 1 / 2;
/** More peers than can have a link. */
const PEERS_MAX = 1024;

/** The budget of all bodies, in shares: a peer that fills its own keeps nobody else out. */
export class SharedBudget {
  readonly #bytesMax: number;
  readonly #whole: ByteBudget;
  readonly #peers: ByteBudget;
  readonly #ofPeer = new LruMap<string, ByteBudget>(PEERS_MAX);

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
    this.#whole = new ByteBudget(bytesMax);
    this.#peers = new ByteBudget(bytesMax * PEERS_SHARE, this.#whole);
  }

  /** What bodies of a peer may hold, or those of clients here. */
  of(peerId: string | undefined): ByteBudget {
    if (peerId === undefined) return this.#whole;
    const known = this.#ofPeer.get(peerId);
    if (known !== undefined) return known;
    const budget = new ByteBudget(this.#bytesMax * PEER_SHARE, this.#peers);
    this.#ofPeer.set(peerId, budget);
    return budget;
  }
}

/** What {@link readBody} needs. */
export interface ReadBodyOptions {
  readonly limits: BodyLimits;
  readonly budget: ByteBudget;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Sees each chunk in passing. */
  readonly inspect: (bytes: Uint8Array) => void;
}

/** Pieces are copied into blocks of these sizes, so that a body in tiny pieces costs no more memory. */
const FIRST_BLOCK_BYTES = 16 * 1024;
const BLOCK_BYTES = 1024 * 1024;
/** When to ask again if all bodies together are too much: a few uploads later. */
const MEMORY_RETRY_S = 5;

/**
 * Resolves with the whole body. What it took from the budget is the caller's to give back, also after
 * a failure: `budgetedBytes` of the returned reading says how much.
 *
 * @throws {DoorError} `body_too_large`, `request_timeout`, `queue_full`, `invalid_request_error`
 */
export function readBody(body: IncomingBody, options: ReadBodyOptions): BodyReading {
  return new BodyReading(body, options);
}

/** A body that is being read. */
export class BodyReading implements BodySink {
  readonly whole: Promise<Uint8Array<ArrayBuffer>>;
  readonly #options: ReadBodyOptions;
  readonly #declaredBytes: number | undefined;
  readonly #startedMs: number;
  #resolve: (bytes: Uint8Array<ArrayBuffer>) => void = () => {};
  #reject: (error: unknown) => void = () => {};
  #stop: () => void = () => {};
  #cancelTimer: CancelTimer = () => {};
  #blocks: Uint8Array<ArrayBuffer>[] = [];
  /** Bytes used of the last block. */
  #usedBytes = 0;
  #sizeBytes = 0;
  #budgetedBytes = 0;
  #heardMs: number;
  #isOver = false;

  constructor(body: IncomingBody, options: ReadBodyOptions) {
    this.#options = options;
    this.#startedMs = this.#heardMs = options.clock.nowMs();
    this.#declaredBytes = body.declaredBytes;
    this.whole = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if ((this.#declaredBytes ?? 0) > options.limits.sizeBytesMax) {
      this.#fail(this.#tooLarge());
      return;
    }
    this.#stop = body.read(this);
    if (this.#isOver) this.#stop();
    // Most bodies came with their heads and are delivered in this turn: they need no timer.
    else queueMicrotask(() => this.#arm());
  }

  /** What is taken from the budget for this body. */
  get budgetedBytes(): number {
    return this.#budgetedBytes;
  }

  chunk(bytes: Uint8Array): void {
    if (this.#isOver) return;
    this.#heardMs = this.#options.clock.nowMs();
    const { limits, budget, inspect } = this.#options;
    if (this.#sizeBytes + bytes.length > limits.sizeBytesMax) return this.#fail(this.#tooLarge());
    if (!budget.take(bytes.length)) return this.#fail(tooManyBodies());
    this.#budgetedBytes += bytes.length;
    inspect(bytes);
    this.#store(bytes);
    this.#sizeBytes += bytes.length;
  }

  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelTimer();
    this.#resolve(this.#join());
  }

  fail(cause: Error): void {
    this.#fail(
      new DoorError("invalid_request_error", "The request's body broke off before its end", {
        cause,
        headers: { connection: "close" },
      }),
    );
  }

  #fail(error: DoorError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelTimer();
    this.#stop();
    this.#blocks = [];
    this.#reject(error);
  }

  #store(bytes: Uint8Array): void {
    let from = 0;
    while (from < bytes.length) {
      const block = this.#room(bytes.length - from);
      const count = Math.min(block.length - this.#usedBytes, bytes.length - from);
      block.set(bytes.subarray(from, from + count), this.#usedBytes);
      this.#usedBytes += count;
      from += count;
    }
  }

  #room(wantedBytes: number): Uint8Array<ArrayBuffer> {
    const last = this.#blocks.at(-1);
    if (last !== undefined && this.#usedBytes < last.length) return last;
    // What is declared is only promised: memory is taken in steps, the last one without a spare byte.
    const restBytes = (this.#declaredBytes ?? Infinity) - this.#sizeBytes;
    const stepBytes = this.#blocks.length === 0 && this.#declaredBytes === undefined
      ? FIRST_BLOCK_BYTES
      : BLOCK_BYTES;
    const block = new Uint8Array(
      Math.min(Math.max(wantedBytes, stepBytes), Math.max(1, restBytes)),
    );
    this.#blocks.push(block);
    this.#usedBytes = 0;
    return block;
  }

  #join(): Uint8Array<ArrayBuffer> {
    const blocks = this.#blocks;
    this.#blocks = [];
    const only = blocks[0];
    if (only === undefined) return new Uint8Array(0);
    if (blocks.length === 1) return only.subarray(0, this.#usedBytes);
    const whole = new Uint8Array(this.#sizeBytes);
    let at = 0;
    for (const block of blocks) {
      const count = Math.min(block.length, this.#sizeBytes - at);
      whole.set(block.subarray(0, count), at);
      at += count;
    }
    return whole;
  }

  #arm(): void {
    if (this.#isOver) return;
    const { timers, clock } = this.#options;
    this.#cancelTimer = timers.after(Math.max(0, this.#dueMs() - clock.nowMs()), () => {
      if (clock.nowMs() < this.#dueMs()) return this.#arm();
      this.#fail(
        new DoorError("request_timeout", "The request's body arrives too slowly", {
          headers: { connection: "close" },
        }),
      );
    });
  }

  #dueMs(): number {
    const { graceMs, bytesPerSecondMin, silenceMs, totalMs } = this.#options.limits;
    const allowedMs = Math.min(graceMs + (this.#sizeBytes / bytesPerSecondMin) * 1000, totalMs);
    return Math.min(this.#startedMs + allowedMs, this.#heardMs + silenceMs);
  }

  #tooLarge(): DoorError {
    const limit = formatBytes(this.#options.limits.sizeBytesMax);
    return new DoorError("body_too_large", `Cannot accept a body of more than ${limit}`);
  }
}

function tooManyBodies(): DoorError {
  return new DoorError(
    "queue_full",
    `The bodies of all requests at once are too large: ask again in ${MEMORY_RETRY_S} s`,
    { retryAfterS: MEMORY_RETRY_S },
  );
}
