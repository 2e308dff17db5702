/**
 * HTTP/1.1 answers from bytes, as they come: heads, Content-Length, chunked bodies (RFC 9112). For the load
 * generator, which must cost less than what it measures; not a general client. Pure.
 */

/** A head of an answer is a few lines. */
const HEAD_BYTES_MAX = 64 * 1024;
/** A size in hexadecimal with an extension nobody sends. */
const SIZE_LINE_BYTES_MAX = 1024;

const CR = 13;
const LF = 10;
const SEMICOLON = 59;

type State = "head" | "body" | "chunk-size" | "chunk-data" | "chunk-end" | "trailer" | "done";

/** The bytes are no answer that can be measured. */
export class WireError extends Error {
  override readonly name = "WireError";
}

/** Takes one answer after another from a connection. */
export class ResponseParser {
  #state: State = "done";
  #head: Uint8Array = new Uint8Array();
  #left = 0;
  #sizeDigits = 0;
  #lineBytes = 0;
  #isExtension = false;
  #status = 0;
  #mustClose = false;

  /** Status of the answer, once its head is complete; 0 before. */
  get status(): number {
    return this.#status;
  }

  /** The server closes the connection after this answer. */
  get mustClose(): boolean {
    return this.#mustClose;
  }

  /** Waits for the next answer. */
  begin(): void {
    this.#state = "head";
    this.#head = new Uint8Array();
    this.#status = 0;
    this.#mustClose = false;
  }

  /**
   * Takes the next bytes; gives parts of the body to `onBody` as views into them. Returns true when the
   * answer is complete.
   *
   * @throws {WireError} when this is no HTTP, or has no announced end, or more follows after its end
   */
  feed(bytes: Uint8Array, onBody: (part: Uint8Array) => void): boolean {
    let at = 0;
    while (at < bytes.length) {
      if (this.#state === "done") throw new WireError("Bytes after the end of the answer");
      at = this.#state === "head" ? this.#takeHead(bytes, at) : this.#takeBody(bytes, at, onBody);
    }
    return this.#state === "done";
  }

  #takeHead(bytes: Uint8Array, at: number): number {
    const before = this.#head.length;
    const joined = before === 0 ? bytes.subarray(at) : concat(this.#head, bytes.subarray(at));
    const end = findHeadEnd(joined, Math.max(0, before - 3));
    if (end < 0) {
      if (joined.length > HEAD_BYTES_MAX) throw new WireError("The head of the answer has no end");
      this.#head = joined.slice();
      return bytes.length;
    }
    this.#readHead(latin1(joined.subarray(0, end)));
    this.#head = new Uint8Array();
    return at + end - before;
  }

  #readHead(head: string): void {
    const status = /^HTTP\/1\.[01] (\d{3})(?: |\r)/.exec(head)?.[1];
    if (status === undefined) throw new WireError("The answer does not begin like HTTP/1.1");
    const number = Number(status);
    // Informational answers come before the real one.
    if (number < 200) return;
    this.#status = number;
    this.#mustClose = /\r\nconnection: *close *\r\n/i.test(head);
    const length = /\r\ncontent-length: *(\d+) *\r\n/i.exec(head)?.[1];
    if (/\r\ntransfer-encoding: *chunked *\r\n/i.test(head)) this.#beginSize();
    else if (number === 204 || number === 304) this.#state = "done";
    else if (length === undefined) throw new WireError("The answer has no announced end");
    else this.#beginLength(Number(length));
  }

  #beginLength(length: number): void {
    this.#left = length;
    this.#state = length === 0 ? "done" : "body";
  }

  #beginSize(): void {
    this.#state = "chunk-size";
    this.#left = 0;
    this.#sizeDigits = 0;
    this.#lineBytes = 0;
    this.#isExtension = false;
  }

  #takeBody(bytes: Uint8Array, at: number, onBody: (part: Uint8Array) => void): number {
    switch (this.#state) {
      case "body":
      case "chunk-data": {
        const end = Math.min(bytes.length, at + this.#left);
        onBody(bytes.subarray(at, end));
        this.#left -= end - at;
        if (this.#left === 0) this.#state = this.#state === "body" ? "done" : "chunk-end";
        return end;
      }
      case "chunk-size":
        this.#takeSizeByte(bytes[at]!);
        return at + 1;
      case "chunk-end":
        if (bytes[at] === LF) this.#beginSize();
        else if (bytes[at] !== CR) throw new WireError("A chunk is longer than announced");
        return at + 1;
      default:
        this.#takeTrailerByte(bytes[at]!);
        return at + 1;
    }
  }

  #takeSizeByte(byte: number): void {
    this.#lineBytes += 1;
    if (this.#lineBytes > SIZE_LINE_BYTES_MAX) {
      throw new WireError("The size of a chunk has no end");
    }
    if (byte === LF) return this.#endSize();
    if (byte === CR || this.#isExtension) return;
    if (byte === SEMICOLON) {
      this.#isExtension = true;
      return;
    }
    const digit = hexDigit(byte);
    if (digit < 0) throw new WireError("The size of a chunk is no number");
    this.#sizeDigits += 1;
    this.#left = this.#left * 16 + digit;
    if (this.#left > Number.MAX_SAFE_INTEGER) {
      throw new WireError("The size of a chunk is too large");
    }
  }

  #endSize(): void {
    if (this.#sizeDigits === 0) throw new WireError("The size of a chunk is missing");
    this.#state = this.#left === 0 ? "trailer" : "chunk-data";
    this.#lineBytes = 0;
  }

  /** Trailer fields are skipped; an empty line is the end. */
  #takeTrailerByte(byte: number): void {
    if (byte === CR) return;
    if (byte !== LF) {
      this.#lineBytes += 1;
      return;
    }
    if (this.#lineBytes === 0) this.#state = "done";
    this.#lineBytes = 0;
  }
}

/** Where the body begins; negative while the head is incomplete. */
function findHeadEnd(bytes: Uint8Array, from: number): number {
  for (let at = bytes.indexOf(LF, from); at >= 0; at = bytes.indexOf(LF, at + 1)) {
    if (at >= 3 && bytes[at - 1] === CR && bytes[at - 2] === LF && bytes[at - 3] === CR) {
      return at + 1;
    }
  }
  return -1;
}

function concat(first: Uint8Array, second: Uint8Array): Uint8Array {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}

const LATIN1 = new TextDecoder("latin1");

function latin1(bytes: Uint8Array): string {
  return LATIN1.decode(bytes);
}

function hexDigit(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
