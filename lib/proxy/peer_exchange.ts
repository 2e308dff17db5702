import { streamOf } from "../base/byte_source.ts";
import { joined } from "../base/bytes.ts";
import { messageOf } from "../base/errors.ts";
import { isJsonObject, type JsonValue } from "../base/json.ts";
import type { PeerStream, StreamFrame } from "../mesh/link_ports.ts";
import type { MiddleOfAnswer, Patience } from "./patience.ts";
import {
  decodeAnswerHead,
  decodeBroken,
  encodeRequestHead,
  lengthOf,
  type PeerAnswerHead,
  PeerHeadError,
  type PeerRequestHead,
  sayable,
} from "./peer_head.ts";
import { UpstreamError, type UpstreamResponse } from "./ports.ts";

/** Answers up to this size are handed over whole: most error answers and short completions. */
const WHOLE_BYTES_MAX = 64 * 1024;

/**
 * The near end of one request on one stream. Reading begins at once, since the far side may refuse a
 * body before it has read all of it, and goes on to END, or the link's credit would run out.
 */
export class PeerExchange {
  readonly #stream: PeerStream;
  readonly #patience: Patience;
  readonly #middle: MiddleOfAnswer | undefined;
  #isSent = false;
  #isOver = false;
  #receivedBytes = 0;
  #lengthBytes: number | undefined;

  constructor(stream: PeerStream, patience: Patience, middle?: MiddleOfAnswer) {
    this.#stream = stream;
    this.#patience = patience;
    this.#middle = middle;
    patience.onOver(() => this.#giveUp());
  }

  /**
   * Asks; resolves with the answer's head, and its body if it came whole.
   *
   * @throws {UpstreamError} when there is none
   */
  async ask(
    head: PeerRequestHead,
    body: Uint8Array<ArrayBuffer> | undefined,
  ): Promise<UpstreamResponse> {
    void this.#send(head, body);
    try {
      const answer = await this.#readHead();
      if (answer.refusal !== undefined) throw await this.#refused(answer);
      const { status, headers } = answer;
      this.#lengthBytes = lengthOf(headers);
      const isWhole = this.#lengthBytes !== undefined && this.#lengthBytes <= WHOLE_BYTES_MAX;
      const received = isWhole ? await this.#readWhole() : this.#readLater();
      this.#patience.onAnswer(this.#middle);
      return { status, headers, body: received };
    } catch (error) {
      this.#giveUp();
      throw this.#failure(error);
    }
  }

  async #send(head: PeerRequestHead, body: Uint8Array<ArrayBuffer> | undefined): Promise<void> {
    try {
      // Without waiting in between: what is small leaves as one piece.
      const writes = [this.#stream.write({ kind: "head", head: encodeRequestHead(head) })];
      if (body !== undefined && body.length > 0) {
        writes.push(this.#stream.write({ kind: "data", bytes: body }));
      }
      writes.push(this.#stream.end());
      await Promise.all(writes);
      this.#isSent = true;
    } catch {
      // Whatever it was, reading tells now: the far side may have answered first.
      if (!this.#isOver) this.#stream.cancel();
    }
  }

  async #readHead(): Promise<PeerAnswerHead> {
    const frame = await this.#stream.read();
    if (frame?.kind === "head") return decodeAnswerHead(frame.head);
    throw new PeerHeadError(
      frame === undefined ? "It ended without an answer" : "Bytes came before the answer's head",
    );
  }

  /** The next bytes of the body; undefined at its end, when the exchange is over. A failure ends it, too. */
  async #next(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    try {
      return this.#taken(await this.#stream.read());
    } catch (error) {
      this.#giveUp();
      throw this.#failure(error);
    }
  }

  #taken(frame: StreamFrame | undefined): Uint8Array<ArrayBuffer> | undefined {
    if (frame === undefined) {
      if (this.#lengthBytes !== undefined && this.#receivedBytes < this.#lengthBytes) {
        throw new PeerHeadError("It ended before the length that it announced");
      }
      this.#settle();
      return undefined;
    }
    const bytes = bytesOf(frame);
    this.#receivedBytes += bytes.length;
    if (this.#receivedBytes > (this.#lengthBytes ?? Infinity)) {
      throw new PeerHeadError("It sent more than it announced");
    }
    return bytes;
  }

  async #readWhole(): Promise<Uint8Array<ArrayBuffer>> {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    for (let piece = await this.#next(); piece !== undefined; piece = await this.#next()) {
      pieces.push(piece);
    }
    const only = pieces[0];
    return only !== undefined && pieces.length === 1 ? only : joined(pieces);
  }

  #readLater(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return streamOf({ next: () => this.#next(), cancel: () => this.#giveUp() });
  }

  /** The far side turned the request away; what it says is worth passing on. */
  async #refused({ refusal, headers }: PeerAnswerHead): Promise<UpstreamError> {
    const lengthBytes = lengthOf(headers);
    let said: Uint8Array | undefined;
    if (lengthBytes !== undefined && lengthBytes <= WHOLE_BYTES_MAX) {
      this.#lengthBytes = lengthBytes;
      said = await this.#readWhole();
    }
    this.#giveUp();
    return new UpstreamError(messageIn(said) ?? `It refused the request (${refusal})`, true);
  }

  /** The answer is complete. */
  #settle(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#patience.release();
    // It was answered before all of it was sent: nobody waits for the rest.
    if (!this.#isSent) this.#stream.cancel();
  }

  #giveUp(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#patience.release();
    this.#stream.cancel();
  }

  #failure(error: unknown): UpstreamError {
    if (this.#patience.why !== undefined) return this.#patience.why;
    if (error instanceof UpstreamError) return error;
    if (error instanceof PeerHeadError) {
      return new UpstreamError(`It gave no proper answer: ${error.message}`, false, {
        cause: error,
      });
    }
    return new UpstreamError(`The link to it broke off: ${messageOf(error)}`, false, {
      cause: error,
    });
  }
}

function bytesOf(frame: StreamFrame): Uint8Array<ArrayBuffer> {
  if (frame.kind === "head") {
    const why = decodeBroken(frame.head);
    if (why === undefined) throw new PeerHeadError("A second head came");
    throw new UpstreamError(why.message, false, { isCrash: why.isCrash });
  }
  // They would cost work and bring nothing.
  if (frame.bytes.length === 0) throw new PeerHeadError("An empty piece came");
  return frame.bytes;
}

/** The message of an error answer, in the shape that all doors use. */
function messageIn(bytes: Uint8Array | undefined): string | undefined {
  try {
    const body: JsonValue = JSON.parse(new TextDecoder().decode(bytes));
    const error = isJsonObject(body) ? body["error"] : undefined;
    const message = isJsonObject(error) ? error["message"] : undefined;
    return typeof message === "string" ? sayable(message) : undefined;
  } catch {
    return undefined;
  }
}
