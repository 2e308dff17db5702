import { type ByteSource, sourceOf } from "../base/byte_source.ts";
import type { CancelTimer, Timers } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { isWhole } from "../base/whole_response.ts";
import type { PeerStream, StreamFrame } from "../mesh/link_ports.ts";
import { encodeAnswerHead, encodeBroken } from "./peer_head.ts";
import { UpstreamError } from "./ports.ts";

/**
 * Writes an answer and END, piece by piece and only as fast as the peer takes it. An answer that breaks
 * off says so at its end; when the stream breaks, the answer's body is cancelled.
 *
 * @throws {StreamBrokenError} when the peer has given up, or took nothing for `stalledReaderMs`
 */
export async function writeAnswer(
  stream: PeerStream,
  options: {
    readonly response: Response;
    /** Set when nothing was computed: why. */
    readonly refusal: string | undefined;
    readonly timers: Timers;
    readonly stalledReaderMs: number;
    /** Whether this node ends what runs on it: then a break is no fault of the request. @default {() => false} */
    readonly isEnding?: () => boolean;
  },
): Promise<void> {
  const { response, refusal, timers, stalledReaderMs, isEnding = () => false } = options;
  const { status, headers } = response;
  const head = {
    kind: "head",
    head: encodeAnswerHead({ status, headers, refusal }),
  } as const;
  const watch = new StallWatch(timers, stalledReaderMs, () => stream.cancel());
  try {
    if (isWhole(response)) {
      await watch.during(writeWhole(stream, head, response.whole));
    } else await writePieces(stream, { head, body: response.body, watch, isEnding });
  } finally {
    watch.stop();
  }
}

/** Without waiting in between: what is small leaves as one piece. */
async function writeWhole(
  stream: PeerStream,
  head: StreamFrame,
  bytes: Uint8Array<ArrayBuffer>,
): Promise<void> {
  await Promise.all([
    stream.write(head),
    ...(bytes.length === 0 ? [] : [stream.write({ kind: "data", bytes })]),
    stream.end(),
  ]);
}

async function writePieces(
  stream: PeerStream,
  { head, body, watch, isEnding }: {
    readonly head: StreamFrame;
    readonly body: Response["body"];
    readonly watch: StallWatch;
    readonly isEnding: () => boolean;
  },
): Promise<void> {
  const source = body === null ? undefined : sourceOf(body);
  const stopReading = (): void => {
    Promise.resolve(source?.cancel()).catch(() => {});
  };
  stream.broken.addEventListener("abort", stopReading, { once: true });
  if (stream.broken.aborted) stopReading();
  try {
    await watch.during(stream.write(head));
    if (source !== undefined) await passOn(source, stream, { watch, isEnding });
    await watch.during(stream.end());
  } catch (error) {
    stopReading();
    throw error;
  } finally {
    stream.broken.removeEventListener("abort", stopReading);
  }
}

async function passOn(
  source: ByteSource,
  stream: PeerStream,
  { watch, isEnding }: { readonly watch: StallWatch; readonly isEnding: () => boolean },
): Promise<void> {
  for (;;) {
    let bytes: Uint8Array<ArrayBuffer> | undefined;
    try {
      bytes = await source.next();
    } catch (error) {
      const isCrash = error instanceof UpstreamError && error.isCrash && !isEnding();
      const head = encodeBroken({ message: messageOf(error), isCrash });
      await watch.during(stream.write({ kind: "head", head }));
      return;
    }
    if (bytes === undefined) return;
    if (bytes.length > 0) await watch.during(stream.write({ kind: "data", bytes }));
  }
}

/** Calls back when something took too long; one timer, set anew only when it runs. */
class StallWatch {
  readonly #timers: Timers;
  readonly #limitMs: number;
  readonly #onStall: () => void;
  #cancelTimer: CancelTimer | undefined;
  /** Counts what was waited for. Odd while something is. */
  #turn = 0;

  constructor(timers: Timers, limitMs: number, onStall: () => void) {
    this.#timers = timers;
    this.#limitMs = limitMs;
    this.#onStall = onStall;
  }

  async during(done: Promise<void>): Promise<void> {
    this.#turn += 1;
    if (this.#cancelTimer === undefined) this.#arm();
    try {
      await done;
    } finally {
      this.#turn += 1;
    }
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  /** What waits at two runs of the timer has waited for at least the time between them. */
  #arm(): void {
    const turn = this.#turn;
    this.#cancelTimer = this.#timers.after(this.#limitMs, () => {
      this.#cancelTimer = undefined;
      if (this.#turn % 2 === 0) return;
      if (this.#turn === turn) this.#onStall();
      else this.#arm();
    });
  }
}
