/** Cuts a stream of bytes into frames: u32 length, big endian, then that many bytes. Pure. */
import { LENGTH_BYTES, ProtocolError } from "./wire.ts";

/** Takes chunks as they come and gives frames; a frame that lies in one chunk is not copied. */
export class FrameCutter {
  #chunk: Uint8Array = new Uint8Array(0);
  #at = 0;
  readonly #length = new Uint8Array(LENGTH_BYTES);
  #lengthFilled = 0;
  /** The frame that spans chunks; undefined outside one. */
  #frame: Uint8Array | undefined;
  #frameFilled = 0;

  /** Adds what came. Call it when {@link next} has nothing more. */
  push(chunk: Uint8Array): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /**
   * The next frame; undefined when it is not complete.
   *
   * @param bytesMax the longest that is allowed now; nothing is allocated before the length is known to be allowed
   * @throws {ProtocolError} when a longer one is announced
   */
  next(bytesMax: number): Uint8Array | undefined {
    if (this.#frame === undefined) {
      if (!this.#fillLength()) return undefined;
      const length = new DataView(this.#length.buffer).getUint32(0);
      if (length > bytesMax) {
        throw new ProtocolError(`Found a frame of ${length} bytes; wanted at most ${bytesMax}`);
      }
      this.#lengthFilled = 0;
      if (this.#chunk.length - this.#at >= length) return this.#take(length);
      this.#frame = new Uint8Array(length);
      this.#frameFilled = 0;
    }
    const part = this.#take(this.#frame.length - this.#frameFilled);
    this.#frame.set(part, this.#frameFilled);
    this.#frameFilled += part.length;
    if (this.#frameFilled < this.#frame.length) return undefined;
    const frame = this.#frame;
    this.#frame = undefined;
    return frame;
  }

  #fillLength(): boolean {
    const part = this.#take(LENGTH_BYTES - this.#lengthFilled);
    this.#length.set(part, this.#lengthFilled);
    this.#lengthFilled += part.length;
    return this.#lengthFilled === LENGTH_BYTES;
  }

  /** At most `count` of the bytes at hand. */
  #take(count: number): Uint8Array {
    const part = this.#chunk.subarray(this.#at, this.#at + count);
    this.#at += part.length;
    return part;
  }
}
