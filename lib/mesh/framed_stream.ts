/**
 * One exchange on a stream of a link: frames both ways, each direction with its END.
 *
 * The transport cannot tell an abort from an end, so an end of bytes without END is an abort; and a direction stays
 * open below its END until the peer's END has come, so that closing it earlier says "cancelled". After both ENDs the
 * bytes may be used for another exchange. Otherwise the transport takes the stream back only when both directions were
 * read to their end: this reads on by itself.
 */
import type { Timers } from "../base/clock.ts";
import { assert, messageOf } from "../base/errors.ts";
import { KIB } from "../base/units.ts";
import { BatchWriter } from "./batch_writer.ts";
import { type PeerStream, StreamBrokenError, type StreamFrame } from "./link_ports.ts";
import { ProtocolError } from "./wire.ts";
import {
  DATA_BYTES_MAX,
  dataFrame,
  dataHeader,
  endFrame,
  headFrame,
  StreamParser,
} from "./stream_codec.ts";
import type { ByteStream } from "./transport.ts";

/** Data up to this size is copied behind its header; the writer of it need not wait until the stream took it. */
const COPY_BYTES_MAX = 16 * KIB;
/** So much of that may wait. */
const WAITING_BYTES_MAX = 64 * KIB;
/** For the peer to close its direction after both ENDs. */
const LINGER_MS = 10_000;

/** What a stream needs of its link. */
export interface StreamHost {
  readonly timers: Timers;
  /** Bytes came. */
  heard(): void;
  /** We gave the stream up: tell the peer. */
  cancelled(): void;
  /**
   * Both ENDs are through. True when the host goes on with the bytes; then nothing here touches them any more.
   *
   * @param next a read of them that is under way
   */
  keep(next: Promise<Chunk> | undefined): boolean;
  /** The exchange is over, whichever way. Called once. */
  over(): void;
}

/** What a read gives. */
export type Chunk = Awaited<ReturnType<ByteStream["read"]>>;

/** What came and goes before an exchange. */
export interface StreamStart {
  /** Written before the first frame, by who opened the stream. */
  readonly prefix?: Uint8Array;
  /** Bytes of the peer that were read already. */
  readonly read?: Uint8Array<ArrayBuffer>;
}

/** {@link PeerStream} over bytes. One read at a time; writes may be made without waiting. */
export class FramedStream implements PeerStream {
  readonly #bytes: ByteStream;
  readonly #host: StreamHost;
  readonly #parser = new StreamParser();
  readonly #writer: BatchWriter;
  /** Made when somebody asks for it: at one end of most streams nobody does. */
  #broken: AbortController | undefined;
  /** What goes before the first frame that we write. */
  #prefix: Uint8Array | undefined;
  #failure: StreamBrokenError | undefined;
  #isReading = false;
  /** The read after the peer's END: what comes tells that it has given up, or is the next exchange. */
  #next: Promise<Chunk> | undefined;
  #ending: Promise<void> | undefined;
  #isEndSent = false;
  #isEndHeard = false;
  #isOver = false;
  /** As {@link broken} says. */
  #isBroken = false;
  #cancelLinger: (() => void) | undefined;

  constructor(bytes: ByteStream, host: StreamHost, { prefix, read }: StreamStart = {}) {
    this.#bytes = bytes;
    this.#host = host;
    this.#writer = new BatchWriter(bytes, () => {
      this.breakOff("The peer takes no more of the stream");
    });
    this.#prefix = prefix;
    if (read !== undefined) this.#parser.push(read);
  }

  get broken(): AbortSignal {
    if (this.#broken === undefined) {
      this.#broken = new AbortController();
      if (this.#isBroken) this.#broken.abort(this.#failure);
    }
    return this.#broken.signal;
  }

  async read(): Promise<StreamFrame | undefined> {
    assert(!this.#isReading, "one read at a time on a stream");
    this.#isReading = true;
    try {
      for (;;) {
        if (this.#isEndHeard) return undefined;
        if (this.#failure !== undefined) throw this.#failure;
        const piece = this.#nextPiece();
        if (piece?.kind === "end") this.#onEnd();
        else if (piece !== undefined) return piece;
        else this.#feed(await this.#bytes.read());
      }
    } finally {
      this.#isReading = false;
    }
  }

  async write(frame: StreamFrame): Promise<void> {
    assert(this.#ending === undefined, "nothing is written to a stream after END");
    if (frame.kind === "head") return await this.#put(headFrame(frame.head));
    const { bytes } = frame;
    if (bytes.length === 0) return;
    if (bytes.length <= COPY_BYTES_MAX) return await this.#put(dataFrame(bytes));
    for (let at = 0; at < bytes.length; at += DATA_BYTES_MAX) {
      const part = bytes.subarray(at, at + DATA_BYTES_MAX);
      this.#push(dataHeader(part.length));
      this.#push(part);
    }
    await this.#drained();
  }

  end(): Promise<void> {
    return this.#ending ??= this.#sendEnd();
  }

  cancel(): void {
    if (this.#isOver || this.#isSettled) return;
    this.#fail("The stream was given up here");
    this.#host.cancelled();
    this.#close();
  }

  /** The peer gave the stream up, or the link ended. */
  breakOff(reason: string): void {
    if (this.#isOver) return;
    const wasSettled = this.#isSettled;
    this.#fail(reason);
    this.#isBroken = !wasSettled;
    if (this.#isBroken) this.#broken?.abort(this.#failure);
    this.#close();
  }

  /** Both ENDs are through: nothing can break any more. */
  get #isSettled(): boolean {
    return this.#isEndSent && this.#isEndHeard;
  }

  #nextPiece(): ReturnType<StreamParser["next"]> {
    try {
      return this.#parser.next();
    } catch (error) {
      this.#spoil(error);
      throw this.#failure;
    }
  }

  #feed(chunk: Chunk): void {
    if (chunk === undefined) return this.breakOff("The stream was cut off before its end");
    this.#host.heard();
    this.#parser.push(chunk);
  }

  #onEnd(): void {
    this.#isEndHeard = true;
    try {
      this.#parser.next();
    } catch (error) {
      return this.#spoil(error);
    }
    if (this.#isEndSent) return this.#settle();
    this.#next = this.#bytes.read();
    void this.#watch(this.#next);
  }

  /** Before our END nothing may come after the peer's: an end of bytes says that it has given up. */
  async #watch(next: Promise<Chunk>): Promise<void> {
    const chunk = await next;
    // The peer goes on when it has our END, which may be before the write of it is told to us.
    await this.#ending?.catch(() => {});
    if (this.#isEndSent || this.#isOver) return;
    if (chunk === undefined) this.breakOff("The peer gave the stream up");
    else this.#spoil(new ProtocolError("Found bytes after the end of a stream"));
  }

  /** Nobody needs the bytes any more: reads them to their end, and then gives them back. */
  async #drain(): Promise<void> {
    try {
      for (;;) {
        const chunk = await (this.#next ?? this.#bytes.read());
        this.#next = undefined;
        if (chunk === undefined) return this.#close();
        this.#parser.push(chunk);
        this.#parser.next();
      }
    } catch (error) {
      this.#spoil(error);
    }
  }

  /** The peer sent what is no frame: only this stream ends. */
  #spoil(error: unknown): void {
    if (this.#isOver) return;
    this.#host.cancelled();
    this.breakOff(messageOf(error));
  }

  async #sendEnd(): Promise<void> {
    this.#push(endFrame());
    await this.#drained();
    this.#isEndSent = true;
    this.#settle();
  }

  /** Writes a frame that is ours alone: it may wait, as long as not too much does. */
  async #put(frame: Uint8Array): Promise<void> {
    this.#push(frame);
    if (this.#writer.queuedBytes > WAITING_BYTES_MAX) await this.#drained();
  }

  #push(piece: Uint8Array): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#prefix !== undefined) this.#writer.push(this.#prefix);
    this.#prefix = undefined;
    this.#writer.push(piece);
  }

  async #drained(): Promise<void> {
    await this.#writer.drained();
    if (this.#failure !== undefined) throw this.#failure;
  }

  #settle(): void {
    if (!this.#isSettled || this.#isOver) return;
    if (this.#host.keep(this.#next)) {
      this.#isOver = true;
      return this.#host.over();
    }
    void this.#drain();
    this.#cancelLinger = this.#host.timers.after(LINGER_MS, () => this.#close());
    this.#bytes.end().catch(() => {});
  }

  #fail(reason: string): void {
    this.#failure ??= new StreamBrokenError(reason);
    this.#writer.stop();
  }

  #close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#cancelLinger?.();
    this.#bytes.abort();
    this.#host.over();
  }
}
