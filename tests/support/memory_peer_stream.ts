/** {@link PeerStream} in memory: two ends, a window of bytes each way, and a link that can be cut. */
import type { JsonObject } from "~/base/json.ts";
import { Lane } from "~/base/lane.ts";
import { type PeerStream, StreamBrokenError, type StreamFrame } from "~/mesh/link_ports.ts";

/** Bytes of a frame at most, as on a link. */
const FRAME_BYTES_MAX = 256 * 1024;
const HEAD_BYTES_MAX = 64 * 1024;

/** What both ends share. */
interface Joint {
  readonly endedBy: Set<MemoryPeerStream>;
  readonly ends: MemoryPeerStream[];
}

/** One end. What is written waits at the other until it is read. */
export class MemoryPeerStream implements PeerStream {
  readonly #joint: Joint;
  readonly #windowBytes: number;
  readonly #broken = new AbortController();
  readonly #inbox: StreamFrame[] = [];
  readonly #writes = new Lane();
  #inboxBytes = 0;
  #isCancelled = false;
  #wakeReader: () => void = () => {};
  #wakeWriters: (() => void)[] = [];

  private constructor(joint: Joint, windowBytes: number) {
    this.#joint = joint;
    this.#windowBytes = windowBytes;
    joint.ends.push(this);
  }

  /** Two ends of one stream; a writer waits while the other end holds `windowBytes` unread. */
  static pair(windowBytes = 64 * 1024): [MemoryPeerStream, MemoryPeerStream] {
    const joint: Joint = { endedBy: new Set(), ends: [] };
    return [new MemoryPeerStream(joint, windowBytes), new MemoryPeerStream(joint, windowBytes)];
  }

  /** Aborted when the other end cancelled or the link was cut, before both said END. */
  get broken(): AbortSignal {
    return this.#broken.signal;
  }

  /** Bytes that wait here to be read. */
  get heldBytes(): number {
    return this.#inboxBytes;
  }

  /** True after {@link cancel}. */
  get isCancelled(): boolean {
    return this.#isCancelled;
  }

  async read(): Promise<StreamFrame | undefined> {
    for (;;) {
      const frame = this.#inbox.shift();
      if (frame !== undefined) return this.#taken(frame);
      this.#throwIfBroken();
      if (this.#joint.endedBy.has(this.#other)) return undefined;
      await new Promise<void>((wake) => this.#wakeReader = wake);
    }
  }

  /** May be called without waiting, as {@link end} may. */
  write(frame: StreamFrame): Promise<void> {
    return this.#writes.run(() => this.#write(frame));
  }

  async #write(frame: StreamFrame): Promise<void> {
    for (const piece of cut(frame)) {
      this.#throwIfBroken();
      this.#other.#arrive(piece);
      while (this.#other.#inboxBytes > this.#windowBytes) {
        await new Promise<void>((wake) => this.#other.#wakeWriters.push(wake));
        this.#throwIfBroken();
      }
    }
    await Promise.resolve();
  }

  /** Writes a head, for tests that speak the protocol by hand. */
  writeHead(head: JsonObject): Promise<void> {
    return this.write({ kind: "head", head });
  }

  /** Writes a text as bytes. */
  writeText(text: string): Promise<void> {
    return this.write({ kind: "data", bytes: new TextEncoder().encode(text) });
  }

  end(): Promise<void> {
    return this.#writes.run(() => {
      this.#throwIfBroken();
      this.#joint.endedBy.add(this);
      this.#other.#wake();
    });
  }

  cancel(): void {
    if (this.#isCancelled) return;
    this.#isCancelled = true;
    this.#drop();
    // After both ENDs only what was not read here is given up.
    if (!this.#isComplete) this.#other.#break();
    this.#wake();
  }

  /** Cuts the link: both ends break, unless the stream is over. */
  cutOff(): void {
    if (this.#isComplete) return;
    for (const end of this.#joint.ends) end.#break();
  }

  get #other(): MemoryPeerStream {
    const other = this.#joint.ends.find((end) => end !== this);
    if (other === undefined) throw new Error("A stream has two ends");
    return other;
  }

  get #isComplete(): boolean {
    return this.#joint.endedBy.size === 2;
  }

  #arrive(frame: StreamFrame): void {
    this.#inbox.push(frame);
    this.#inboxBytes += sizeOf(frame);
    this.#wakeReader();
  }

  #taken(frame: StreamFrame): StreamFrame {
    this.#inboxBytes -= sizeOf(frame);
    for (const wake of this.#wakeWriters.splice(0)) wake();
    return frame;
  }

  #break(): void {
    this.#drop();
    this.#broken.abort(new StreamBrokenError("The stream was cut off"));
    this.#wake();
  }

  #drop(): void {
    this.#inbox.length = 0;
    this.#inboxBytes = 0;
  }

  #wake(): void {
    this.#wakeReader();
    for (const end of this.#joint.ends) for (const wake of end.#wakeWriters.splice(0)) wake();
  }

  #throwIfBroken(): void {
    if (this.#isCancelled || this.#broken.signal.aborted) {
      throw new StreamBrokenError("The stream was cancelled or cut off");
    }
  }
}

function* cut(frame: StreamFrame): Generator<StreamFrame> {
  if (frame.kind === "head") {
    if (sizeOf(frame) > HEAD_BYTES_MAX) throw new TypeError("The head is too large");
    yield { kind: "head", head: JSON.parse(JSON.stringify(frame.head)) };
    return;
  }
  const { bytes } = frame;
  // Copies, as a link would make: the writer may use its bytes again.
  for (let at = 0; at < bytes.length || at === 0; at += FRAME_BYTES_MAX) {
    yield { kind: "data", bytes: bytes.slice(at, at + FRAME_BYTES_MAX) };
  }
}

function sizeOf(frame: StreamFrame): number {
  return frame.kind === "head" ? JSON.stringify(frame.head).length : frame.bytes.length;
}
