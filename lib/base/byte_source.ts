/**
 * Bytes that come piece by piece, without the machinery of a `ReadableStream`. Each stream of ours is made
 * over such a source and remembers it: whoever knows of sources takes the pieces straight from there, which
 * saves most of what a token of a streamed answer costs; everybody else reads the stream.
 */

/** One reader takes the pieces in order. */
export interface ByteSource {
  /** The next piece; undefined at the end. Rejects when it breaks off. */
  next(): Promise<Uint8Array<ArrayBuffer> | undefined>;
  /** The reader wants no more. */
  cancel(): Promise<void> | void;
}

type ByteStream = ReadableStream<Uint8Array<ArrayBuffer>>;

const SOURCES = new WeakMap<object, ByteSource>();

/** A stream over `source`: pieces are asked for only when somebody reads. */
export function streamOf(source: ByteSource): ByteStream {
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      const piece = await source.next();
      if (piece === undefined) controller.close();
      else controller.enqueue(piece);
    },
    cancel: () => source.cancel(),
  }, { highWaterMark: 0 });
  SOURCES.set(stream, source);
  return stream;
}

/** What the stream was made over, or its reader. Whoever asks is from now on its only reader. */
export function sourceOf(stream: ReadableStream<Uint8Array>): ByteSource {
  const known = SOURCES.get(stream);
  if (known !== undefined) return known;
  const reader = (stream as ByteStream).getReader();
  return {
    async next() {
      const step = await reader.read();
      return step.done ? undefined : step.value;
    },
    cancel: () => reader.cancel(),
  };
}
