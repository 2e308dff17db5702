/** The control stream as frames: what the handshake and the link read from it. */
import { FrameCutter } from "./frame_cutter.ts";
import type { ByteStream } from "./transport.ts";

/** Reads length-prefixed frames from a stream of bytes. */
export class FrameStream {
  readonly bytes: ByteStream;
  /** Called whenever something came. */
  onBytes: () => void = () => {};
  readonly #cutter = new FrameCutter();

  constructor(bytes: ByteStream) {
    this.bytes = bytes;
  }

  /**
   * The next frame; undefined when the stream ended.
   *
   * @throws {ProtocolError} when a frame of more than `bytesMax` is announced
   */
  async next(bytesMax: number): Promise<Uint8Array | undefined> {
    for (;;) {
      const frame = this.#cutter.next(bytesMax);
      if (frame !== undefined) return frame;
      const chunk = await this.bytes.read();
      if (chunk === undefined) return undefined;
      this.onBytes();
      this.#cutter.push(chunk);
    }
  }
}
