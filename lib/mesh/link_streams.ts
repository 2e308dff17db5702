/**
 * The streams of one link: opens, takes and counts them, and finds the one that a CANCEL means. A stream carries one
 * exchange after another, each with a number of its own: to open one and to give it back costs as much as all else
 * that a small request takes of a link.
 */
import type { Timers } from "../base/clock.ts";
import { joined } from "../base/bytes.ts";
import { type Chunk, FramedStream, type StreamStart } from "./framed_stream.ts";
import { LinkClosedError, type PeerStream, StreamBrokenError } from "./link_ports.ts";
import {
  readStreamPrefix,
  REQUEST_STREAM,
  STREAM_PREFIX_BYTES,
  streamPrefix,
} from "./stream_codec.ts";
import type { ByteStream, Connection } from "./transport.ts";

/** For a stream's first bytes, once it is there. */
const PREFIX_MS = 5_000;
/** For a stream that is given back to end on both sides. */
const END_MS = 10_000;
/** For the peer to allow another stream. */
const OPEN_MS = 10_000;
/** Streams of ours that wait for their next exchange: more than most nodes have requests at a time with one peer. */
const KEPT_MAX = 32;
/** Cancels of streams that have not arrived yet: control frames overtake streams. */
const EARLY_CANCELS_MAX = 256;

/** What the streams need of their link. */
export interface StreamsHost {
  readonly timers: Timers;
  heard(): void;
  /** Tells the peer that a stream is given up. */
  cancel(stream: number, byOpener: boolean): void;
  /** The peer opened a stream. */
  opened(stream: PeerStream): void;
  /** The peer did what no program of ours does. */
  violated(what: string): void;
}

/** All streams of one link. */
export class LinkStreams {
  readonly #connection: Connection;
  readonly #host: StreamsHost;
  /** Ours and the peer's, by number. */
  readonly #ours = new Map<number, FramedStream>();
  readonly #theirs = new Map<number, FramedStream>();
  readonly #earlyCancels = new Set<number>();
  /** Streams of ours on which nothing runs; used last, taken first. */
  #kept: ByteStream[] = [];
  /** The peer wants its streams back. */
  #isReleasing = false;
  /** Streams of the peer on which nothing runs. */
  #idleOfTheirs = 0;
  /** Told when no stream of the peer is left. */
  readonly #waiting: (() => void)[] = [];
  #lastId = 0;
  #newestOfTheirs = 0;
  #closed: string | undefined;

  constructor(connection: Connection, host: StreamsHost) {
    this.#connection = connection;
    this.#host = host;
  }

  /**
   * Begins an exchange; the peer sees it with its first frame.
   *
   * @throws {StreamBrokenError} when the peer allows no more for too long
   * @throws {LinkClosedError} when the link ended
   */
  async open(): Promise<PeerStream> {
    this.#lastId = (this.#lastId + 1) >>> 0;
    const id = this.#lastId;
    const bytes = this.#kept.pop() ?? await this.#openBytes();
    if (this.#closed !== undefined) {
      bytes.abort();
      throw new LinkClosedError(this.#closed);
    }
    const prefix = streamPrefix({ kind: REQUEST_STREAM, id });
    return this.#add(this.#ours, id, { bytes, start: { prefix } });
  }

  /** Takes streams until the connection ends. `first`: a wait for one that began already. */
  async accept(first: Promise<ByteStream | undefined> | undefined): Promise<void> {
    let next = first ?? this.#connection.acceptStream();
    for (;;) {
      const bytes = await next.catch(() => undefined);
      if (bytes === undefined) return;
      if (this.#closed === undefined) void this.#take(bytes);
      else bytes.abort();
      next = this.#connection.acceptStream();
    }
  }

  /** The peer gave a stream up. */
  cancelledByPeer(id: number, byOpener: boolean): void {
    const stream = (byOpener ? this.#theirs : this.#ours).get(id);
    if (stream !== undefined) return stream.breakOff("The peer gave the stream up");
    if (byOpener && id > this.#newestOfTheirs) this.#rememberCancel(id);
  }

  /** Resolves when the peer's streams are over: asked for them, it ends each when it has read the answer to its END. */
  answersTaken(): Promise<void> {
    if (this.#theirs.size + this.#idleOfTheirs === 0) return Promise.resolve();
    return new Promise((taken) => this.#waiting.push(taken));
  }

  /** The peer wants its streams back: ends those on which nothing runs, and from now on each with its exchange. */
  release(): void {
    this.#isReleasing = true;
    for (const bytes of this.#kept.splice(0)) void this.#giveBack(bytes);
  }

  /** The link is over. */
  breakAll(reason: string): void {
    this.#closed = reason;
    // They end with the connection.
    this.#kept = [];
    for (const stream of [...this.#ours.values(), ...this.#theirs.values()]) {
      stream.breakOff(reason);
    }
  }

  #rememberCancel(id: number): void {
    this.#earlyCancels.add(id);
    if (this.#earlyCancels.size <= EARLY_CANCELS_MAX) return;
    for (const oldest of this.#earlyCancels) return void this.#earlyCancels.delete(oldest);
  }

  async #openBytes(): Promise<ByteStream> {
    const { promise, resolve, reject } = Promise.withResolvers<ByteStream>();
    let isLate = false;
    const cancel = this.#host.timers.after(OPEN_MS, () => {
      isLate = true;
      reject(new StreamBrokenError("The peer allows no further stream"));
    });
    this.#connection.openStream().then(
      (bytes) => isLate ? bytes.abort() : resolve(bytes),
      () => reject(new LinkClosedError(this.#closed ?? "The connection ended")),
    );
    try {
      return await promise;
    } finally {
      cancel();
    }
  }

  /** @param first bytes that were read already */
  async #take(bytes: ByteStream, first?: Uint8Array<ArrayBuffer>): Promise<void> {
    const isHere = first !== undefined && first.length >= STREAM_PREFIX_BYTES;
    const start = isHere ? first : await this.#readPrefix(bytes, first);
    if (start === undefined || this.#closed !== undefined) return bytes.abort();
    const { kind, id } = readStreamPrefix(start);
    if (this.#theirs.has(id)) {
      bytes.abort();
      return this.#host.violated(`Found two streams of number ${id}`);
    }
    this.#newestOfTheirs = Math.max(this.#newestOfTheirs, id);
    if (this.#earlyCancels.delete(id)) return bytes.abort();
    if (kind !== REQUEST_STREAM) {
      bytes.abort();
      return this.#host.cancel(id, false);
    }
    this.#host.heard();
    const read = start.subarray(STREAM_PREFIX_BYTES);
    this.#host.opened(this.#add(this.#theirs, id, { bytes, start: { read } }));
  }

  async #readPrefix(
    bytes: ByteStream,
    first: Uint8Array<ArrayBuffer> | undefined,
  ): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const cancel = this.#host.timers.after(PREFIX_MS, () => bytes.abort());
    const start = await readAtLeast(bytes, STREAM_PREFIX_BYTES, first);
    cancel();
    return start;
  }

  /** Waits for the next exchange on a stream of the peer, for as long as it keeps it. */
  async #takeNext(bytes: ByteStream, next: Promise<Chunk>): Promise<void> {
    this.#idleOfTheirs += 1;
    const first = await next;
    if (first !== undefined && this.#closed === undefined) void this.#take(bytes, first);
    else void this.#giveBack(bytes);
    this.#idleOfTheirs -= 1;
    this.#tellIfNone();
  }

  /** The transport takes a stream back when both directions have ended and were read. */
  async #giveBack(bytes: ByteStream): Promise<void> {
    const cancel = this.#host.timers.after(END_MS, () => bytes.abort());
    await bytes.end().catch(() => {});
    while (await bytes.read() !== undefined);
    cancel();
    bytes.abort();
  }

  /** Whether a stream whose exchange has ended well is used for another one. */
  #keep(isOurs: boolean, bytes: ByteStream, next: Promise<Chunk> | undefined): boolean {
    if (this.#closed !== undefined) return false;
    if (!isOurs) {
      void this.#takeNext(bytes, next ?? bytes.read());
      return true;
    }
    // A read under way would take the beginning of the next answer.
    if (next !== undefined || this.#isReleasing || this.#kept.length >= KEPT_MAX) return false;
    this.#kept.push(bytes);
    return true;
  }

  #add(
    map: Map<number, FramedStream>,
    id: number,
    { bytes, start }: { readonly bytes: ByteStream; readonly start: StreamStart },
  ): FramedStream {
    const isOurs = map === this.#ours;
    const stream = new FramedStream(bytes, {
      timers: this.#host.timers,
      heard: () => this.#host.heard(),
      cancelled: () => this.#host.cancel(id, isOurs),
      keep: (next) => this.#keep(isOurs, bytes, next),
      over: () => this.#over(map, id),
    }, start);
    map.set(id, stream);
    return stream;
  }

  #over(map: Map<number, FramedStream>, id: number): void {
    map.delete(id);
    this.#tellIfNone();
  }

  #tellIfNone(): void {
    if (this.#theirs.size + this.#idleOfTheirs > 0) return;
    for (const taken of this.#waiting.splice(0)) taken();
  }
}

/** At least `count` bytes; undefined when the stream ends before. */
async function readAtLeast(
  bytes: ByteStream,
  count: number,
  first: Uint8Array<ArrayBuffer> | undefined,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  let start = first ?? await bytes.read();
  while (start !== undefined && start.length < count) {
    const more = await bytes.read();
    if (more === undefined) return undefined;
    start = joined([start, more]);
  }
  return start;
}
