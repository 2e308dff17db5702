/**
 * By what a conversation is known again: hashes of how its request begins. The engine that answered it last has the
 * beginning in its cache, so the next turn is answered sooner there.
 *
 * Only the bytes of the first turns are looked at, as they were sent: the same client writes the same turn the same
 * way. What is longer than {@link BEGINNING_BYTES_MAX} is cut there.
 */
import { isJsonObject, type JsonValue } from "../base/json.ts";
import type { BeginningSpans, Span } from "./json_scan.ts";

/** Hashed of one part: the first pages tell conversations apart, and hashing costs nothing noticeable. */
const BEGINNING_BYTES_MAX = 64 * 1024;
/** Largest turn that is parsed to see whose it is; a larger one holds images or documents. */
const TURN_PARSED_BYTES_MAX = 64 * 1024;
/** Shortest instructions that are worth to be looked for by themselves: about 100 tokens. */
const SHARED_BYTES_MIN = 512;
/** Of a plain prompt this much is its beginning. */
const PROMPT_BYTES = 1024;

/** How a request begins. */
export interface Beginning {
  /** Instructions and first question: one conversation. Undefined when there is nothing to go by. */
  readonly conversation: string | undefined;
  /** The instructions alone, when they are long: what many conversations share. */
  readonly shared: string | undefined;
  /** Length of the shared part in bytes. */
  readonly sharedBytes: number;
}

/** Nothing is known of how it begins. */
export const NO_BEGINNING: Beginning = {
  conversation: undefined,
  shared: undefined,
  sharedBytes: 0,
};

/** How the request in `body` begins. */
export function beginningOf(body: Uint8Array, spans: BeginningSpans): Beginning {
  const { turns, instructions, prompt } = spans;
  const hash = new Hash();
  for (const span of instructions) hash.add(body, span);
  let sharedBytes = lengthOf(instructions);
  let shared = hash.text();
  for (const span of turns) {
    if (isQuestion(body, span)) {
      hash.add(body, span);
      return { conversation: hash.text(), ...sharedPart(shared, sharedBytes) };
    }
    hash.add(body, span);
    sharedBytes += span.end - span.start;
    shared = hash.text();
  }
  if (prompt === undefined) {
    return { conversation: undefined, ...sharedPart(shared, sharedBytes) };
  }
  const end = Math.min(prompt.end, prompt.start + PROMPT_BYTES);
  // A prompt that is shorter grows with the next turn, and would be another one then.
  if (end - prompt.start < PROMPT_BYTES) return NO_BEGINNING;
  hash.add(body, { start: prompt.start, end });
  return { conversation: hash.text(), ...sharedPart(shared, sharedBytes) };
}

function sharedPart(hash: string, sizeBytes: number): Omit<Beginning, "conversation"> {
  return sizeBytes < SHARED_BYTES_MIN
    ? { shared: undefined, sharedBytes: 0 }
    : { shared: hash, sharedBytes: sizeBytes };
}

function lengthOf(spans: readonly Span[]): number {
  return spans.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** What is no instruction, by its role; what cannot be read is somebody's turn. */
function isQuestion(body: Uint8Array, { start, end }: Span): boolean {
  if (end - start > TURN_PARSED_BYTES_MAX) return true;
  try {
    const turn: JsonValue = JSON.parse(new TextDecoder().decode(body.subarray(start, end)));
    const role = isJsonObject(turn) ? turn["role"] : undefined;
    return role !== "system" && role !== "developer";
  } catch {
    return true;
  }
}

/**
 * 64 bits that tell beginnings apart, in two halves of 32 (FNV-1a with two seeds). A client that makes two
 * conversations collide only has them answered by one node.
 */
class Hash {
  #low = 0x811c9dc5;
  #high = 0x9747b28c;

  add(bytes: Uint8Array, { start, end }: Span): void {
    const until = Math.min(end, start + BEGINNING_BYTES_MAX);
    let low = this.#low;
    let high = this.#high;
    for (let at = start; at < until; at += 1) {
      const byte = bytes[at] ?? 0;
      low = Math.imul(low ^ byte, 0x01000193);
      high = Math.imul(high ^ byte, 0x85ebca6b) ^ (high >>> 13);
    }
    // The length keeps two parts from being taken for one.
    this.#low = Math.imul(low ^ (end - start), 0x01000193);
    this.#high = Math.imul(high ^ (end - start), 0x85ebca6b);
  }

  text(): string {
    return (this.#low >>> 0).toString(36) + "-" + (this.#high >>> 0).toString(36);
  }
}
