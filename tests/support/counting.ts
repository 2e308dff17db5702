/**
 * Requests to the starter model whose right answer is known word by word: it counts, and never errs at it. Which word
 * of a free answer comes next may hang on the last bit of a sum, and sums differ with what else the engine computes
 * at the time; the next number does not.
 */
import type { StreamResult } from "./stream_load.ts";

/** So many tokens: some forty numbers, of which none is the last. */
const COUNTED_TOKENS = 160;

/**
 * Each token is one character. Where an answer is cut behind a space, the space is made anew with the next word, and
 * counts once more: one character less for each time.
 */
const LOST_CHARS_MAX = 4;

const NUMBERS = Array.from({ length: 200 }, (_, i) => String(i + 1));

const QUESTIONS: readonly { readonly ask: readonly string[]; readonly from: number }[] = [
  { ask: ["Count from 1 to 100, separated by commas."], from: 1 },
  { ask: ["List the numbers from 1 to 100 separated by commas."], from: 1 },
  { ask: ["Say the numbers from 1 to 100, separated by commas."], from: 1 },
  {
    ask: ["Count from 1 to 10.", NUMBERS.slice(0, 10).join(", "), "Count from 20 to 120."],
    from: 21,
  },
];

/** The body of the `index`th request: a stream, with its usage. */
export function countingRequest(index: number): Readonly<Record<string, unknown>> {
  const { ask } = QUESTIONS[index % QUESTIONS.length]!;
  const messages = ask.map((content, i) => ({ role: i % 2 === 0 ? "user" : "assistant", content }));
  return {
    messages,
    stream: true,
    "stream_options": { "include_usage": true },
    temperature: 0,
    "cache_prompt": false,
    "max_tokens": COUNTED_TOKENS,
  };
}

/** What is wrong with an answer to the `index`th request; undefined when nothing is. */
export function countingFault(index: number, answer: StreamResult): string | undefined {
  const { text, completionTokens, finishReasons } = answer;
  const { from } = QUESTIONS[index % QUESTIONS.length]!;
  const right = NUMBERS.slice(from - 1).join(", ");
  if (!right.startsWith(text)) return `it does not count: ${text}`;
  if (finishReasons.join() !== "length") return `it ended for ${finishReasons.join() || "nothing"}`;
  if (completionTokens !== COUNTED_TOKENS) return `it counts ${completionTokens} tokens as its own`;
  const isShort = text.length < COUNTED_TOKENS - LOST_CHARS_MAX;
  return isShort ? `it is short, ${text.length} characters: ${text}` : undefined;
}
