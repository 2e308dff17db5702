/**
 * Connections in memory with a network in between that delays and can be cut: the twin of the QUIC transport. Lost
 * packets are delay, as QUIC sends them again; a cut network holds everything back until it heals.
 */
import type { Timers } from "~/base/clock.ts";
import { formatAddress, type PeerAddress } from "~/mesh/address.ts";
import type { ByteStream, Connection, Transport } from "~/mesh/transport.ts";

/** Bytes of a stream that may be on their way or unread, as in QUIC. */
const WINDOW_BYTES = 1_250_000;
/** Streams that a peer may have open. */
const STREAMS_MAX = 256;

/** What lies between the nodes. */
export interface MemoryNetworkOptions {
  readonly timers: Timers;
  /** One way, in milliseconds; asked for each piece, so it may vary. @default {0} */
  readonly delayMs?: () => number;
}

/** All transports that can reach each other. */
export class MemoryNetwork {
  readonly #options: MemoryNetworkOptions;
  readonly #transports = new Map<string, MemoryTransport>();
  readonly #cut = new Set<string>();
  #held: (() => void)[] = [];
  #lastPort = 40_000;
  #onItsWay = 0;
  #idlers: (() => void)[] = [];
  /** Connections that came about so far. */
  connectionCount = 0;
  /** Streams that were opened so far. */
  streamCount = 0;

  constructor(options: MemoryNetworkOptions) {
    this.#options = options;
  }

  /** A socket on `ip` whose leaf certificate has this hash; on the next free port unless told which. */
  open(ip: string, leafHash: string, port = this.#lastPort += 1): MemoryTransport {
    const transport = new MemoryTransport(this, { ip, port }, leafHash);
    this.#transports.set(formatAddress(transport.address), transport);
    return transport;
  }

  /** Lets a socket be reached at another address, too. */
  alias(address: PeerAddress, transport: MemoryTransport): void {
    this.#transports.set(formatAddress(address), transport);
  }

  /** Cuts two addresses off from each other: what is sent between them waits. */
  cut(a: string, b: string): void {
    this.#cut.add(pairKey(a, b));
  }

  /** Lets everything through again, and first what waited. */
  heal(): void {
    this.#cut.clear();
    const held = this.#held;
    this.#held = [];
    for (const send of held) send();
  }

  /** Resolves when nothing is on its way. */
  async idle(): Promise<void> {
    while (this.#onItsWay > 0) await new Promise<void>((resolve) => this.#idlers.push(resolve));
  }

  /** Who listens at an address. */
  at(address: PeerAddress): MemoryTransport | undefined {
    return this.#transports.get(formatAddress(address));
  }

  /** Takes a closed transport away. */
  forget(transport: MemoryTransport): void {
    const key = formatAddress(transport.address);
    if (this.#transports.get(key) === transport) this.#transports.delete(key);
  }

  /** A wire from one address to another: what is put in comes out in order, later. */
  wire(from: string, to: string): Wire {
    let lastMs = 0;
    let waiting = 0;
    return (run) => {
      const send = () => {
        const delayMs = this.#options.delayMs?.() ?? 0;
        if (delayMs === 0 && waiting === 0) return run();
        // Nothing overtakes: a delayed piece holds up those behind it.
        lastMs = Math.max(lastMs, delayMs);
        waiting += 1;
        this.#onItsWay += 1;
        this.#options.timers.after(lastMs, () => {
          waiting -= 1;
          if (waiting === 0) lastMs = 0;
          run();
          this.#arrived();
        });
      };
      if (this.#cut.has(pairKey(from, to))) this.#held.push(send);
      else send();
    };
  }

  #arrived(): void {
    this.#onItsWay -= 1;
    if (this.#onItsWay > 0) return;
    for (const wake of this.#idlers.splice(0)) wake();
  }
}

type Wire = (run: () => void) => void;

function pairKey(a: string, b: string): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}

/** {@link Transport} in memory. */
export class MemoryTransport implements Transport {
  readonly leafHash: string;
  readonly address: PeerAddress;
  readonly #network: MemoryNetwork;
  readonly #open = new Set<MemoryConnection>();
  readonly #incoming = new Waiting<MemoryConnection>();
  #isDead = false;

  constructor(network: MemoryNetwork, address: PeerAddress, leafHash: string) {
    this.#network = network;
    this.address = address;
    this.leafHash = leafHash;
  }

  get port(): number {
    return this.address.port;
  }

  dial(
    address: PeerAddress,
    { leafHash, signal }: { readonly leafHash: string; readonly signal: AbortSignal },
  ): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`${why} at ${formatAddress(address)}`));
      signal.addEventListener("abort", () => fail("Nobody answered"));
      if (signal.aborted) return fail("Nobody answered");
      if (this.#isDead) return;
      const there = this.#network.wire(this.address.ip, address.ip);
      const back = this.#network.wire(address.ip, this.address.ip);
      there(() => {
        const target = this.#network.at(address);
        if (target === undefined) return;
        if (target.leafHash !== leafHash) return back(() => fail("Found another certificate"));
        back(() => {
          if (signal.aborted || this.#isDead) return;
          const [near, far] = connect({
            leafHash,
            there,
            back,
            from: this.address,
            to: address,
            opened: () => void (this.#network.streamCount += 1),
          });
          this.#network.connectionCount += 1;
          this.#take(near);
          target.#take(far);
          target.#incoming.give(far);
          resolve(near);
        });
      });
    });
  }

  accept(): Promise<Connection | undefined> {
    return this.#incoming.take();
  }

  /** Its process is killed: nothing goes out or comes in any more, and nobody is told. */
  die(): void {
    this.#isDead = true;
    this.#network.forget(this);
    for (const connection of this.#open) connection.isMute = true;
  }

  close(): Promise<void> {
    this.#network.forget(this);
    for (const connection of this.#open) connection.close();
    this.#incoming.close();
    return Promise.resolve();
  }

  #take(connection: MemoryConnection): void {
    this.#open.add(connection);
    void connection.closed.then(() => this.#open.delete(connection));
  }
}

function connect(
  { leafHash, there, back, from, to, opened }: {
    readonly leafHash: string;
    readonly there: Wire;
    readonly back: Wire;
    readonly from: PeerAddress;
    readonly to: PeerAddress;
    readonly opened: () => void;
  },
): [MemoryConnection, MemoryConnection] {
  const near = new MemoryConnection({ side: "dialer", leafHash, remote: to, out: there, opened });
  const far = new MemoryConnection({ side: "listener", leafHash, remote: from, out: back, opened });
  near.peer = far;
  far.peer = near;
  return [near, far];
}

/** {@link Connection} in memory. */
class MemoryConnection implements Connection {
  readonly side: "dialer" | "listener";
  readonly leafHash: string;
  readonly remoteAddress: PeerAddress;
  readonly closed: Promise<void>;
  peer: MemoryConnection | undefined;
  readonly #out: Wire;
  readonly #opened: () => void;
  readonly #closing = Promise.withResolvers<void>();
  readonly #streams = new Set<MemoryStream>();
  readonly #incoming = new Waiting<MemoryStream>();
  #slots = STREAMS_MAX;
  #slotTakers: (() => void)[] = [];
  #isClosed = false;
  /** Nothing passes any more, in both directions. */
  isMute = false;

  constructor(
    { side, leafHash, remote, out, opened }: {
      readonly side: "dialer" | "listener";
      readonly leafHash: string;
      readonly remote: PeerAddress;
      readonly out: Wire;
      readonly opened: () => void;
    },
  ) {
    this.#opened = opened;
    this.side = side;
    this.leafHash = leafHash;
    this.remoteAddress = remote;
    this.#out = (run) => {
      if (!this.isMute && this.peer?.isMute !== true) out(run);
    };
    this.closed = this.#closing.promise;
  }

  async openStream(): Promise<ByteStream> {
    while (this.#slots === 0 && !this.#isClosed) {
      await new Promise<void>((resolve) => this.#slotTakers.push(resolve));
    }
    const peer = this.peer;
    if (this.#isClosed || peer === undefined) throw new Error("The connection is closed");
    this.#slots -= 1;
    this.#opened();
    const near = new MemoryStream(this.#out);
    const far = new MemoryStream(peer.#out);
    near.peer = far;
    far.peer = near;
    far.onFirst = () => peer.#arrive(far);
    near.onDone = () => this.#streams.delete(near);
    // Room for another is made by the side that took the stream, when it has both directions to their end.
    far.onDone = () => {
      peer.#streams.delete(far);
      peer.#out(() => this.#free());
    };
    this.#streams.add(near);
    return near;
  }

  acceptStream(): Promise<ByteStream | undefined> {
    return this.#incoming.take();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#end();
    this.#out(() => {
      if (this.peer !== undefined) this.peer.#end();
    });
  }

  #arrive(stream: MemoryStream): void {
    if (this.#isClosed) return;
    this.#streams.add(stream);
    this.#incoming.give(stream);
  }

  #free(): void {
    this.#slots += 1;
    this.#slotTakers.shift()?.();
  }

  #end(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const stream of this.#streams) stream.cutOff();
    this.#incoming.close();
    for (const take of this.#slotTakers) take();
    this.#closing.resolve();
  }
}

/** One end of a stream; what it writes comes out at `peer`. */
class MemoryStream implements ByteStream {
  peer: MemoryStream | undefined;
  /** Called when the first bytes, or the end, arrive. */
  onFirst: (() => void) | undefined;
  /** Called when both directions are over at this end. */
  onDone: () => void = () => {};
  readonly #out: Wire;
  /** What arrived and was not read. */
  #inbox: Uint8Array<ArrayBuffer>[] = [];
  #isEndIn = false;
  #reader: (() => void) | undefined;
  /** Bytes that may still be sent. */
  #credit = WINDOW_BYTES;
  #writers: (() => void)[] = [];
  #writing: Promise<unknown> = Promise.resolve();
  #isEndOut = false;
  #isReadOver = false;
  #isOver = false;
  #isDone = false;
  /** The peer reads no more. */
  #isStopped = false;

  constructor(out: Wire) {
    this.#out = out;
  }

  async read(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    for (;;) {
      if (this.#isOver) return undefined;
      const chunk = this.#inbox.shift();
      if (chunk !== undefined) {
        this.#toPeer((peer) => peer.#grant(chunk.length));
        return chunk;
      }
      if (this.#isEndIn) {
        this.#isReadOver = true;
        this.#settle();
        return undefined;
      }
      await new Promise<void>((resolve) => this.#reader = resolve);
    }
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#inTurn(async () => {
      for (let at = 0; at < bytes.length;) {
        while (this.#credit === 0) {
          this.#mustBeOpen();
          await new Promise<void>((resolve) => this.#writers.push(resolve));
        }
        this.#mustBeOpen();
        const part = bytes.slice(at, at + this.#credit);
        this.#credit -= part.length;
        at += part.length;
        this.#toPeer((peer) => peer.#arrive(part));
      }
    });
  }

  end(): Promise<void> {
    return this.#inTurn(() => {
      this.#isEndOut = true;
      this.#toPeer((peer) => peer.#arrive(undefined));
      this.#settle();
      return Promise.resolve();
    });
  }

  abort(): void {
    if (this.#isOver) return;
    const wasEnded = this.#isEndOut;
    this.cutOff();
    this.#toPeer((peer) => {
      peer.#stop();
      if (!wasEnded) peer.#arrive(undefined);
    });
  }

  /** The connection is gone. */
  cutOff(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#inbox = [];
    this.#wake();
    this.#done();
  }

  #toPeer(act: (peer: MemoryStream) => void): void {
    this.#out(() => {
      if (this.peer !== undefined) act(this.peer);
    });
  }

  /** Writes go one after another. */
  #inTurn(act: () => Promise<void>): Promise<void> {
    const done = this.#writing.then(() => {
      this.#mustBeOpen();
      return act();
    });
    this.#writing = done.catch(() => {});
    return done;
  }

  #mustBeOpen(): void {
    if (this.#isOver || this.#isStopped || this.#isEndOut) {
      throw new Error("The stream takes no more");
    }
  }

  #arrive(chunk: Uint8Array<ArrayBuffer> | undefined): void {
    const first = this.onFirst;
    this.onFirst = undefined;
    if (this.#isOver) return;
    if (chunk === undefined) this.#isEndIn = true;
    else this.#inbox.push(chunk);
    first?.();
    this.#reader?.();
  }

  #grant(bytes: number): void {
    this.#credit += bytes;
    this.#wakeWriters();
  }

  #stop(): void {
    this.#isStopped = true;
    this.#wakeWriters();
  }

  #settle(): void {
    if (this.#isEndOut && this.#isReadOver) this.#done();
  }

  #done(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.onDone();
  }

  #wake(): void {
    this.#reader?.();
    this.#wakeWriters();
  }

  #wakeWriters(): void {
    const writers = this.#writers;
    this.#writers = [];
    for (const wake of writers) wake();
  }
}

/** Hands what is given to whoever takes, in order. */
class Waiting<T> {
  #given: T[] = [];
  #takers: ((value: T | undefined) => void)[] = [];
  #isClosed = false;

  give(value: T): void {
    const taker = this.#takers.shift();
    if (taker === undefined) this.#given.push(value);
    else taker(value);
  }

  take(): Promise<T | undefined> {
    const value = this.#given.shift();
    if (value !== undefined || this.#isClosed) return Promise.resolve(value);
    return new Promise((resolve) => this.#takers.push(resolve));
  }

  close(): void {
    this.#isClosed = true;
    for (const taker of this.#takers) taker(undefined);
    this.#takers = [];
  }
}
