import assert from "node:assert/strict";
import { joined } from "~/base/bytes.ts";
import type { ControlMessage } from "~/mesh/control.ts";
import { controlFrames, readControl } from "~/mesh/control_codec.ts";
import { FrameStream } from "~/mesh/frame_stream.ts";
import { dialHandshake } from "~/mesh/handshake.ts";
import type { MeshLink } from "~/mesh/link.ts";
import { REQUEST_STREAM, streamPrefix } from "~/mesh/stream_codec.ts";
import type { ByteStream, Connection } from "~/mesh/transport.ts";
import { jsonFrame, readJsonObject } from "~/mesh/wire.ts";
import { Recorder, settle, TestPeer } from "./link_peers.ts";
import { MemoryNetwork, type MemoryTransport } from "./memory_transport.ts";
import { standInId } from "./stand_in_signer.ts";
import { VirtualTime } from "./virtual_time.ts";

/** Two nodes, a network between them and no time but what the test lets pass. */
export class LinkWorld {
  readonly time = new VirtualTime();
  readonly network = new MemoryNetwork({ timers: this.time });
  readonly a: TestPeer;
  readonly b: TestPeer;
  readonly atB: MemoryTransport;

  constructor() {
    const { time } = this;
    this.a = new TestPeer("a", {
      transport: this.network.open("192.0.2.1", standInId("la")),
      time,
    });
    this.atB = this.network.open("192.0.2.2", standInId("lb"));
    this.b = new TestPeer("b", { transport: this.atB, time });
  }

  async link(): Promise<{ a: MeshLink; b: MeshLink; atA: Recorder; atB: Recorder }> {
    const [a, b] = await Promise.all([this.a.dial(this.b, this.atB.address), this.b.accept()]);
    const [atA, atB] = [new Recorder(), new Recorder()];
    a.start(atA);
    b.start(atB);
    return { a, b, atA, atB };
  }

  /** A link of b with a program that is proved and then does what it likes. */
  async rogue(): Promise<{ b: MeshLink; atB: Recorder; rogue: Rogue }> {
    const accepting = this.b.accept();
    const connection = await this.a.connect(this.b, this.atB.address);
    const rogue = new Rogue(connection, await connection.openStream());
    await rogue.prove(this.a, this.b);
    const b = await accepting;
    const atB = new Recorder();
    b.start(atB);
    return { b, atB, rogue };
  }

  /** Lets time pass in small steps, so that both sides get their turns. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 250) {
      this.time.advance(Math.min(left, 250));
      await settle(3);
    }
  }
}

/** A program that is proved and does what it likes. */
export class Rogue {
  readonly connection: Connection;
  readonly control: ByteStream;
  readonly frames: FrameStream;

  constructor(connection: Connection, control: ByteStream) {
    this.connection = connection;
    this.control = control;
    this.frames = new FrameStream(control);
  }

  async prove(self: TestPeer, other: TestPeer): Promise<void> {
    await dialHandshake({
      send: (json) => this.control.write(jsonFrame(json)),
      receive: async () => readJsonObject(await this.frames.next(16_384) ?? new Uint8Array()),
    }, {
      context: self.context,
      leafHash: this.connection.leafHash,
      sees: this.connection.remoteAddress,
      expected: other.nodeId,
    });
  }

  async say(message: ControlMessage): Promise<void> {
    await this.control.write(joined(controlFrames(message)));
  }

  /** The next message of one kind. */
  async hear<Kind extends ControlMessage["t"]>(
    kind: Kind,
  ): Promise<Extract<ControlMessage, { t: Kind }>> {
    for (;;) {
      const frame = await this.frames.next(1 << 20);
      assert.ok(frame !== undefined, `the stream ended before "${kind}" came`);
      const message = readControl(frame);
      if (message?.t === kind) return message as Extract<ControlMessage, { t: Kind }>;
    }
  }

  /** Opens a stream with these first bytes. */
  async open(...bytes: readonly Uint8Array[]): Promise<ByteStream> {
    const stream = await this.connection.openStream();
    await stream.write(joined(bytes));
    return stream;
  }
}

/** The first bytes of an exchange. */
export const request = (id: number): Uint8Array => streamPrefix({ kind: REQUEST_STREAM, id });
