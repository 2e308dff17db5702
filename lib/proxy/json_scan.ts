/**
 * Finds `model` and `stream` in a JSON body while it arrives, without building the rest of it.
 *
 * A body may have 64 MiB (images, long documents), and only two of its members matter here. Each byte
 * is looked at once, in the chunk in which it came, so that no pass over the whole ever holds up other
 * requests. The grammar is that of RFC 8259, checked completely, so what passes here is JSON for the
 * engine too. Nested members of the same names (tool schemas have them) do not count, and of
 * duplicates the last one wins, as in `JSON.parse`.
 *
 * @module
 */

/** What a member of the outermost object holds; "other" stands for numbers, arrays and objects. */
export type MemberValue =
  | { readonly kind: "absent" | "null" | "other" | "too long" }
  | { readonly kind: "boolean"; readonly value: boolean }
  | { readonly kind: "string"; readonly value: string };

/** Where something stands in the body: bytes from `start` up to, not including, `end`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** Where a conversation begins in a body. */
export interface BeginningSpans {
  /** The first elements of `messages`, or of an `input` that is a list; at most {@link TURNS_SPANNED_MAX}. */
  readonly turns: readonly Span[];
  /** The values of `system` and `instructions`. */
  readonly instructions: readonly Span[];
  /** The value of `prompt`, or of an `input` that is no list. */
  readonly prompt: Span | undefined;
}

/** What a body is. */
export type ScanResult =
  | { readonly kind: "object"; readonly model: MemberValue; readonly stream: MemberValue }
  | { readonly kind: "not an object" }
  | ScanFault;

/** Why a body is not JSON, and at which byte that shows. */
export interface ScanFault {
  readonly kind: "invalid";
  readonly message: string;
  readonly offset: number;
}

/** Deepest nesting accepted: tool schemas reach 30, and the engine's recursion pays for each level. */
export const JSON_DEPTH_MAX = 256;
/** Turns whose places are kept: instructions, a few examples, and the first question. */
const TURNS_SPANNED_MAX = 8;
/** Longest string kept, as written; a model name with every letter escaped still fits. */
const KEPT_BYTES_MAX = 4096;

type Name = "model" | "stream";

/** Members whose places are told, and as what. */
type Spanned = "turns" | "instructions" | "prompt";

/** What may come next: numbers, because a switch over them costs least. */
const VALUE = 0;
const FIRST_ELEMENT = 1;
const FIRST_KEY = 2;
const KEY = 3;
const COLON = 4;
const COMMA_OR_END = 5;
const STRING = 6;
const ESCAPE = 7;
const HEX = 8;
const LITERAL = 9;
const MINUS = 10;
const ZERO = 11;
const DIGITS = 12;
const POINT = 13;
const FRACTION = 14;
const EXPONENT_MARK = 15;
const EXPONENT_SIGN = 16;
const EXPONENT = 17;
const END = 18;
const MARK_2 = 19;
const MARK_3 = 20;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** One for all: a body of 64 MiB may name its model four million times, and making one costs most. */
const DECODER = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const ESCAPABLE = bytesOf('"\\/bfnrtu');
const NAMES: ReadonlyMap<string, Name | Spanned> = new Map<string, Name | Spanned>([
  ["model", "model"],
  ["stream", "stream"],
  ["messages", "turns"],
  ["input", "turns"],
  ["prompt", "prompt"],
  ["system", "instructions"],
  ["instructions", "instructions"],
]);
const NAME_BYTES: readonly (readonly [string, readonly number[]])[] = [...NAMES.keys()].map(
  (name) => [name, bytesOf(name)],
);
const LITERALS = new Map<number, readonly [readonly number[], MemberValue]>([
  [0x74, [bytesOf("true"), { kind: "boolean", value: true }]],
  [0x66, [bytesOf("false"), { kind: "boolean", value: false }]],
  [0x6e, [bytesOf("null"), { kind: "null" }]],
]);

/** Takes a JSON text in pieces of any size and says what it was. */
export class JsonScanner {
  #state = VALUE;
  #offset = 0;
  #fault: ScanFault | undefined;
  /** One entry per open container: 1 for an object, 0 for an array. */
  readonly #stack: (0 | 1)[] = [];
  #depth = 0;
  #isRootObject = false;
  #isKey = false;
  #hexLeft = 0;
  #literal: readonly number[] = [];
  #literalAt = 0;
  #literalValue: MemberValue = { kind: "null" };
  /** The member of the outermost object whose value comes now, if it is one of ours. */
  #member: Name | undefined;
  /** What of it is told by its place. */
  #spanned: Spanned | undefined;
  #spanStart = 0;
  #turnStart = 0;
  #turns: Span[] = [];
  readonly #instructions: Span[] = [];
  #prompt: Span | undefined;
  #isKeeping = false;
  #hasEscape = false;
  #kept = new Uint8Array(64);
  #keptBytes = 0;
  readonly #found: Record<Name, MemberValue> = {
    model: { kind: "absent" },
    stream: { kind: "absent" },
  };

  /** Where a conversation begins, as far as the text was looked at. */
  get beginning(): BeginningSpans {
    return { turns: this.#turns, instructions: this.#instructions, prompt: this.#prompt };
  }

  /** Looks at the next bytes of the text. */
  push(bytes: Uint8Array): void {
    const end = bytes.length;
    let at = 0;
    while (at < end && this.#fault === undefined) {
      if (this.#state === STRING) {
        at = this.#takeString(bytes, at);
      } else if (this.#take(bytes[at]!, at)) {
        at += 1;
      }
    }
    this.#offset += end;
  }

  /** Ends the text. */
  finish(): ScanResult {
    if (isNumberEnd(this.#state)) this.#endValue();
    if (this.#fault !== undefined) return this.#fault;
    if (this.#state !== END) {
      return { kind: "invalid", message: "it ends too early", offset: this.#offset };
    }
    return this.#isRootObject ? { kind: "object", ...this.#found } : { kind: "not an object" };
  }

  /** Handles one byte outside of strings; false when it was not used up. */
  #take(byte: number, at: number): boolean {
    const state = this.#state;
    if (state >= MINUS && state <= EXPONENT) return this.#takeNumber(byte, at);
    if (state === ESCAPE || state === HEX) return this.#takeEscape(byte, at);
    if (state === LITERAL) return this.#takeLiteral(byte, at);
    if (state === MARK_2 || state === MARK_3) return this.#takeMark(byte, at);
    if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) return true;
    switch (state) {
      case VALUE:
        return this.#startValue(byte, at);
      case FIRST_ELEMENT:
        return byte === 0x5d ? this.#close(0, at) : this.#startValue(byte, at);
      case FIRST_KEY:
        return byte === 0x7d ? this.#close(1, at) : this.#startKey(byte, at);
      case KEY:
        return this.#startKey(byte, at);
      case COLON:
        if (byte !== 0x3a) return this.#fail("a colon is missing after a name", at);
        this.#state = VALUE;
        return true;
      case COMMA_OR_END:
        return this.#separate(byte, at);
      default:
        return this.#fail("something follows the end", at);
    }
  }

  #startValue(byte: number, at: number): boolean {
    if (this.#spanned !== undefined && this.#depth <= 2) this.#noteStart(at);
    if (byte === QUOTE) return this.#startString(false, this.#member !== undefined);
    if (byte === 0x7b || byte === 0x5b) return this.#open(byte === 0x7b ? 1 : 0, at);
    if (byte === 0x2d || (byte >= 0x30 && byte <= 0x39)) {
      this.#state = byte === 0x2d ? MINUS : byte === 0x30 ? ZERO : DIGITS;
      return true;
    }
    const literal = LITERALS.get(byte);
    if (literal !== undefined) {
      [this.#literal, this.#literalValue] = literal;
      this.#literalAt = 1;
      this.#state = LITERAL;
      return true;
    }
    if (byte === 0xef && this.#offset + at === 0) {
      this.#state = MARK_2;
      return true;
    }
    return this.#fail("a value is missing", at);
  }

  #open(kind: 0 | 1, at: number): boolean {
    if (this.#depth === JSON_DEPTH_MAX) {
      return this.#fail(`it is nested deeper than ${JSON_DEPTH_MAX} levels`, at);
    }
    if (this.#depth === 0) this.#isRootObject = kind === 1;
    this.#keepMember({ kind: "other" });
    this.#stack[this.#depth] = kind;
    this.#depth += 1;
    this.#state = kind === 1 ? FIRST_KEY : FIRST_ELEMENT;
    return true;
  }

  #close(kind: 0 | 1, at: number): boolean {
    if (this.#stack[this.#depth - 1] !== kind) return this.#fail("brackets do not match", at);
    this.#depth -= 1;
    if (this.#spanned !== undefined && this.#depth <= 2) this.#noteEnd(at, kind);
    this.#endValue();
    return true;
  }

  #noteStart(at: number): void {
    if (this.#depth === 1) this.#spanStart = this.#offset + at;
    else this.#turnStart = this.#offset + at;
  }

  /** @param kind of the value that ended: 1 an object, 0 an array, undefined a string */
  #noteEnd(at: number, kind: 0 | 1 | undefined): void {
    const end = this.#offset + at + 1;
    if (this.#depth === 2) {
      const isTurn = this.#spanned === "turns" && this.#stack[1] === 0;
      if (!isTurn || this.#turns.length === TURNS_SPANNED_MAX) return;
      this.#turns.push({ start: this.#turnStart, end });
      return;
    }
    const span = { start: this.#spanStart, end };
    if (this.#spanned === "instructions" && this.#instructions.length < TURNS_SPANNED_MAX) {
      this.#instructions.push(span);
    } else if (this.#spanned === "prompt" || (this.#spanned === "turns" && kind === undefined)) {
      this.#prompt = span;
    }
    this.#spanned = undefined;
  }

  #separate(byte: number, at: number): boolean {
    if (byte === 0x7d) return this.#close(1, at);
    if (byte === 0x5d) return this.#close(0, at);
    if (byte !== 0x2c) return this.#fail("a comma or a closing bracket is missing", at);
    this.#state = this.#stack[this.#depth - 1] === 1 ? KEY : VALUE;
    return true;
  }

  #startKey(byte: number, at: number): boolean {
    if (byte !== QUOTE) return this.#fail("a name in quotes is missing", at);
    return this.#startString(true, this.#depth === 1);
  }

  #startString(isKey: boolean, isKept: boolean): boolean {
    this.#isKey = isKey;
    this.#isKeeping = isKept;
    this.#hasEscape = false;
    this.#keptBytes = 0;
    this.#state = STRING;
    return true;
  }

  /** Runs to the end of the string or of the bytes; returns where it stopped. */
  #takeString(bytes: Uint8Array, from: number): number {
    const end = bytes.length;
    let at = from;
    let byte = 0;
    while (at < end) {
      byte = bytes[at]!;
      if (byte === QUOTE || byte === BACKSLASH || byte < 0x20) break;
      at += 1;
    }
    if (this.#isKeeping) this.#keep(bytes, from, at);
    if (at === end) return end;
    if (byte === QUOTE) this.#endString(at);
    else if (byte === BACKSLASH) this.#startEscape();
    else this.#fail("a string holds a bare control character", at);
    return at + 1;
  }

  #startEscape(): void {
    this.#hasEscape = true;
    this.#state = ESCAPE;
    if (this.#isKeeping) this.#keepByte(BACKSLASH);
  }

  #takeEscape(byte: number, at: number): boolean {
    if (this.#isKeeping) this.#keepByte(byte);
    if (this.#state === ESCAPE) {
      if (!ESCAPABLE.includes(byte)) return this.#fail("a string has an unknown escape", at);
      this.#hexLeft = 4;
      this.#state = byte === 0x75 ? HEX : STRING;
      return true;
    }
    if (!isHexDigit(byte)) return this.#fail("a \\u escape lacks hexadecimal digits", at);
    this.#hexLeft -= 1;
    if (this.#hexLeft === 0) this.#state = STRING;
    return true;
  }

  #endString(at: number): void {
    if (this.#isKey) {
      this.#startMember(this.#isKeeping ? this.#keptName() : undefined);
      this.#state = COLON;
      return;
    }
    if (this.#spanned !== undefined && this.#depth <= 2) this.#noteEnd(at, undefined);
    if (this.#member !== undefined) {
      const text = this.#keptText();
      if (text === undefined) {
        this.#fail("a string is not UTF-8", at);
        return;
      }
      this.#keepMember(text);
    }
    this.#endValue();
  }

  #startMember(name: Name | Spanned | undefined): void {
    this.#member = name === "model" || name === "stream" ? name : undefined;
    if (this.#depth > 1) return;
    this.#spanned = name === "model" || name === "stream" ? undefined : name;
    if (this.#spanned === "turns") this.#turns = [];
  }

  #takeLiteral(byte: number, at: number): boolean {
    if (byte !== this.#literal[this.#literalAt]) return this.#fail("a value is misspelt", at);
    this.#literalAt += 1;
    if (this.#literalAt === this.#literal.length) {
      this.#keepMember(this.#literalValue);
      this.#endValue();
    }
    return true;
  }

  #takeNumber(byte: number, at: number): boolean {
    const next = nextInNumber(this.#state, byte);
    if (next !== undefined) {
      this.#state = next;
      return true;
    }
    if (!isNumberEnd(this.#state)) return this.#fail("a number lacks digits", at);
    this.#keepMember({ kind: "other" });
    this.#endValue();
    return false;
  }

  /** A byte order mark is no JSON, but editors write it and the engine skips it too. */
  #takeMark(byte: number, at: number): boolean {
    if (byte !== (this.#state === MARK_2 ? 0xbb : 0xbf)) {
      return this.#fail("a value is missing", at);
    }
    this.#state = this.#state === MARK_2 ? MARK_3 : VALUE;
    return true;
  }

  #endValue(): void {
    this.#state = this.#depth === 0 ? END : COMMA_OR_END;
  }

  #keepMember(value: MemberValue): void {
    if (this.#member === undefined) return;
    this.#found[this.#member] = value;
    this.#member = undefined;
  }

  #keep(bytes: Uint8Array, from: number, to: number): void {
    const wanted = this.#keptBytes + to - from;
    if (wanted > KEPT_BYTES_MAX) {
      this.#keptBytes = KEPT_BYTES_MAX + 1;
      return;
    }
    if (wanted > this.#kept.length) this.#grow();
    this.#kept.set(bytes.subarray(from, to), this.#keptBytes);
    this.#keptBytes = wanted;
  }

  #keepByte(byte: number): void {
    if (this.#keptBytes >= KEPT_BYTES_MAX) {
      this.#keptBytes = KEPT_BYTES_MAX + 1;
      return;
    }
    if (this.#keptBytes === this.#kept.length) this.#grow();
    this.#kept[this.#keptBytes] = byte;
    this.#keptBytes += 1;
  }

  #grow(): void {
    const larger = new Uint8Array(KEPT_BYTES_MAX);
    larger.set(this.#kept.subarray(0, this.#keptBytes));
    this.#kept = larger;
  }

  #keptName(): Name | Spanned | undefined {
    if (this.#hasEscape) {
      const text = this.#keptText();
      return text?.kind === "string" ? NAMES.get(text.value) : undefined;
    }
    for (const [name, bytes] of NAME_BYTES) {
      if (bytes.length !== this.#keptBytes) continue;
      if (bytes.every((byte, i) => this.#kept[i] === byte)) return NAMES.get(name);
    }
    return undefined;
  }

  /** The kept string, unescaped; undefined when it is not UTF-8. */
  #keptText(): MemberValue | undefined {
    if (this.#keptBytes > KEPT_BYTES_MAX) return { kind: "too long" };
    try {
      const text = DECODER.decode(this.#kept.subarray(0, this.#keptBytes));
      return { kind: "string", value: this.#hasEscape ? JSON.parse(`"${text}"`) : text };
    } catch {
      return undefined;
    }
  }

  #fail(message: string, at: number): true {
    this.#fault = { kind: "invalid", message, offset: this.#offset + at };
    return true;
  }
}

/** The state after one more byte of a number; undefined when the byte is not part of it. */
function nextInNumber(state: number, byte: number): number | undefined {
  const isDigit = byte >= 0x30 && byte <= 0x39;
  const isExponentMark = byte === 0x65 || byte === 0x45;
  switch (state) {
    case MINUS:
      return isDigit ? (byte === 0x30 ? ZERO : DIGITS) : undefined;
    case ZERO:
    case DIGITS:
      if (isDigit && state === DIGITS) return DIGITS;
      return byte === 0x2e ? POINT : isExponentMark ? EXPONENT_MARK : undefined;
    case POINT:
      return isDigit ? FRACTION : undefined;
    case FRACTION:
      return isDigit ? FRACTION : isExponentMark ? EXPONENT_MARK : undefined;
    case EXPONENT_MARK:
      if (byte === 0x2b || byte === 0x2d) return EXPONENT_SIGN;
      return isDigit ? EXPONENT : undefined;
    default:
      return isDigit ? EXPONENT : undefined;
  }
}

function isNumberEnd(state: number): boolean {
  return state === ZERO || state === DIGITS || state === FRACTION || state === EXPONENT;
}

function isHexDigit(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x46) ||
    (byte >= 0x61 && byte <= 0x66);
}

function bytesOf(text: string): readonly number[] {
  return [...new TextEncoder().encode(text)];
}
