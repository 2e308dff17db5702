/** A {@link Link} over a connection whose both ends have proved who they are. */
import { getLogger } from "@logtape/logtape";
import type { Clock, Timers } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { TokenBucket } from "../base/token_bucket.ts";
import { MIB } from "../base/units.ts";
import type { PeerAddress } from "./address.ts";
import type { ControlMessage } from "./control.ts";
import { CONTROL_BYTES_MAX, controlFrames, readControl } from "./control_codec.ts";
import { ControlSender } from "./control_sender.ts";
import type { FrameStream } from "./frame_stream.ts";
import { shortId } from "./ids.ts";
import { LinkHealthMachine } from "./link_health.ts";
import {
  type Link,
  LinkClosedError,
  type LinkEnd,
  type LinkEvents,
  type LinkHealth,
  type LinkPeer,
  type PeerStream,
} from "./link_ports.ts";
import { LinkStreams } from "./link_streams.ts";
import type { ByteStream, Connection } from "./transport.ts";

const log = getLogger(["mesh-llm", "mesh"]);

/** Control messages of a peer: what a busy gateway sends is a tenth of it. */
const MESSAGE_LIMIT = { burst: 2_000, perSecond: 2_000 };
/** Their bytes: twice all records of a mesh at once. */
const MESSAGE_BYTES_LIMIT = { burst: 8 * MIB, perSecond: 1 * MIB };
/** For a `bye` to reach the peer. */
const FAREWELL_MS = 1_000;
/** Told to the peer: at most this much of a reason. */
const REASON_CHARS = 64;

/** What a link is made of. */
export interface MeshLinkParts {
  readonly connection: Connection;
  /** The control stream, after the handshake. */
  readonly frames: FrameStream;
  readonly peer: LinkPeer;
  readonly observedAddress: PeerAddress;
  readonly clock: Clock;
  readonly timers: Timers;
  /** A wait for a stream that began already. */
  readonly firstStream?: Promise<ByteStream | undefined> | undefined;
}

/** The one implementation of {@link Link}. */
export class MeshLink implements Link {
  /** Resolves when the connection is gone: after the `bye` has reached the peer, or a second. */
  readonly gone: Promise<void>;
  readonly #parts: MeshLinkParts;
  readonly #sender: ControlSender;
  readonly #machine: LinkHealthMachine;
  readonly #streams: LinkStreams;
  readonly #messages = new TokenBucket(MESSAGE_LIMIT);
  readonly #messageBytes = new TokenBucket(MESSAGE_BYTES_LIMIT);
  #events: LinkEvents | undefined;
  #health: LinkHealth = "live";
  #isQuiet = false;
  #end: LinkEnd | undefined;
  #cancelLook: () => void = () => {};

  constructor(parts: MeshLinkParts) {
    this.#parts = parts;
    const { connection, frames, clock, timers } = parts;
    this.gone = connection.closed;
    this.#machine = new LinkHealthMachine(clock.nowMs());
    this.#sender = new ControlSender(frames.bytes, (reason) => this.#finish({ reason }));
    this.#streams = new LinkStreams(connection, {
      timers,
      heard: () => this.#heard(),
      cancel: (stream, byOpener) => this.send({ t: "cancel", stream, byOpener }),
      opened: (stream) => this.#events?.stream(stream),
      violated: (what) => this.#violated(what),
    });
    void connection.closed.then(() => this.#finish({ reason: "lost" }));
  }

  get peer(): LinkPeer {
    return this.#parts.peer;
  }

  get isDialer(): boolean {
    return this.#parts.connection.side === "dialer";
  }

  get remoteAddress(): PeerAddress {
    return this.#parts.connection.remoteAddress;
  }

  get observedAddress(): PeerAddress {
    return this.#parts.observedAddress;
  }

  get health(): LinkHealth {
    return this.#health;
  }

  get rttMs(): number | undefined {
    return this.#machine.rttMs;
  }

  start(events: LinkEvents): void {
    if (this.#events !== undefined) return;
    this.#events = events;
    if (this.#end !== undefined) return events.closed(this.#end);
    this.#parts.frames.onBytes = () => this.#heard();
    this.#look();
    void this.#listen();
    void this.#streams.accept(this.#parts.firstStream);
  }

  send(message: ControlMessage): void {
    if (this.#end !== undefined) return;
    for (const frame of controlFrames(message)) this.#sender.send(frame);
  }

  async openStream(): Promise<PeerStream> {
    if (this.#end !== undefined) throw new LinkClosedError(`The link ended: ${this.#end.reason}`);
    return await this.#streams.open();
  }

  answersTaken(): Promise<void> {
    this.send({ t: "release" });
    return this.#streams.answersTaken();
  }

  close(reason: string): void {
    this.#finish({ reason, says: true });
  }

  async #listen(): Promise<void> {
    const { frames, clock } = this.#parts;
    try {
      while (this.#end === undefined) {
        const frame = await frames.next(CONTROL_BYTES_MAX);
        if (frame === undefined) return this.#finish({ reason: "lost" });
        const nowMs = clock.nowMs();
        if (!this.#messages.take(1, nowMs) || !this.#messageBytes.take(frame.length, nowMs)) {
          return this.#violated("Found more messages than a peer has to send");
        }
        const message = readControl(frame);
        if (message !== undefined) this.#handle(message);
      }
    } catch (error) {
      this.#violated(messageOf(error));
    }
  }

  #violated(what: string): void {
    if (this.#end === undefined) {
      const peer = shortId(this.peer.nodeId);
      log.warn("Closing the link with {peer}: {what}", { peer, what });
    }
    this.#finish({ reason: "protocol", says: true });
  }

  #handle(message: ControlMessage): void {
    switch (message.t) {
      case "ping":
        return this.send({ t: "pong", n: message.n });
      case "pong":
        return this.#machine.pong(message.n, this.#parts.clock.nowMs());
      case "cancel":
        return this.#streams.cancelledByPeer(message.stream, message.byOpener);
      case "release":
        return this.#streams.release();
      case "bye":
        return this.#finish({ reason: message.reason, byPeer: true });
      default:
        if (this.#end === undefined) this.#events?.message(message);
    }
  }

  #heard(): void {
    this.#machine.heard(this.#parts.clock.nowMs());
    if (this.#health !== "live") this.#show("live");
  }

  #look(): void {
    const look = this.#machine.look(this.#parts.clock.nowMs());
    if (look.health === "closed") return this.#finish({ reason: "lost" });
    if (look.ping !== undefined) this.send({ t: "ping", n: look.ping });
    this.#show(look.health);
    if (look.isQuiet && !this.#isQuiet) this.#events?.quiet();
    this.#isQuiet = look.isQuiet;
    if (this.#end !== undefined) return;
    this.#cancelLook = this.#parts.timers.after(look.nextMs, () => this.#look());
  }

  #show(health: LinkHealth): void {
    if (this.#end !== undefined || health === this.#health) return;
    this.#health = health;
    this.#events?.health(health);
  }

  /** Ends the link; only the first call counts. */
  #finish(
    { reason, byPeer = false, says = false }: {
      readonly reason: string;
      readonly byPeer?: boolean;
      /** The peer is told. */
      readonly says?: boolean;
    },
  ): void {
    if (this.#end !== undefined) return;
    const { connection } = this.#parts;
    if (says) this.send({ t: "bye", reason: reason.slice(0, REASON_CHARS) });
    // The bye itself may have been too much for a peer that does not read.
    if (this.#end !== undefined) return;
    this.#end = { reason, byPeer };
    this.#health = "closed";
    this.#cancelLook();
    this.#streams.breakAll(`The link ended: ${reason}`);
    if (says) void this.#sayFarewell();
    else connection.close();
    this.#events?.closed(this.#end);
  }

  /** Closing a connection drops what is on its way: the peer closes it when it has the `bye`. */
  async #sayFarewell(): Promise<void> {
    const { connection, timers } = this.#parts;
    const cancel = timers.after(FAREWELL_MS, () => connection.close());
    void this.#sender.finish();
    await connection.closed;
    cancel();
  }
}
