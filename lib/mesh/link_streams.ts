/** The streams of one link: opens, takes and counts them, and finds the one that a CANCEL means. */
import type { Timers } from "../base/clock.ts";
import { joined } from "../base/bytes.ts";
import { FramedStream } from "./framed_stream.ts";
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
/** For the peer to allow another stream. */
const OPEN_MS = 10_000;
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
   * Opens a stream; the peer sees it with its first frame.
   *
   * @throws {StreamBrokenError} when the peer allows no more for too long
   * @throws {LinkClosedError} when the link ended
   */
  async open(): Promise<PeerStream> {
    this.#lastId = (this.#lastId + 1) >>> 0;
    const id = this.#lastId;
    const bytes = await this.#openBytes();
    if (this.#closed !== undefined) {
      bytes.abort();
      throw new LinkClosedError(this.#closed);
    }
    return this.#add(this.#ours, id, bytes, streamPrefix({ kind: REQUEST_STREAM, id }));
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

  /** Resolves when the peer's streams are over: it closes each when it has read the answer to its END. */
  answersTaken(): Promise<void> {
    if (this.#theirs.size === 0) return Promise.resolve();
    return new Promise((taken) => this.#waiting.push(taken));
  }

  /** The link is over. */
  breakAll(reason: string): void {
    this.#closed = reason;
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

  async #take(bytes: ByteStream): Promise<void> {
    const cancel = this.#host.timers.after(PREFIX_MS, () => bytes.abort());
    const start = await readAtLeast(bytes, STREAM_PREFIX_BYTES);
    cancel();
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
    const rest = start.subarray(STREAM_PREFIX_BYTES);
    this.#host.opened(this.#add(this.#theirs, id, withStart(rest, bytes)));
  }

  #add(
    map: Map<number, FramedStream>,
    id: number,
    bytes: ByteStream,
    prefix?: Uint8Array,
  ): FramedStream {
    const stream = new FramedStream(bytes, {
      timers: this.#host.timers,
      heard: () => this.#host.heard(),
      cancelled: () => this.#host.cancel(id, map === this.#ours),
      over: () => this.#over(map, id),
    }, prefix);
    map.set(id, stream);
    return stream;
  }

  #over(map: Map<number, FramedStream>, id: number): void {
    map.delete(id);
    if (this.#theirs.size > 0) return;
    for (const taken of this.#waiting.splice(0)) taken();
  }
}

/** At least `count` bytes; undefined when the stream ends before. */
async function readAtLeast(
  bytes: ByteStream,
  count: number,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  let start = await bytes.read();
  while (start !== undefined && start.length < count) {
    const more = await bytes.read();
    if (more === undefined) return undefined;
    start = joined([start, more]);
  }
  return start;
}

/** `bytes` with what was read of it already. */
function withStart(start: Uint8Array<ArrayBuffer>, bytes: ByteStream): ByteStream {
  let left: Uint8Array<ArrayBuffer> | undefined = start.length === 0 ? undefined : start;
  return {
    read() {
      if (left === undefined) return bytes.read();
      const first = left;
      left = undefined;
      return Promise.resolve(first);
    },
    write: (piece) => bytes.write(piece),
    end: () => bytes.end(),
    abort: () => bytes.abort(),
  };
}
