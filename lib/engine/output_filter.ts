/**
 * Keeps prompts out of what is kept of llama-server's output.
 *
 * The difficulty: at any verbosity that tells something, llama-server quotes requests. A body that is not
 * JSON appears in a warning with its last words, a grammar that cannot be parsed appears whole, on
 * lines of its own. While the model loads it reads no request at all, so everything may be kept;
 * from the first request on a line is kept only if it is one of the known ones that hold nothing but
 * numbers, else only the part before its text. What has not even the shape of a log line is dropped.
 *
 * @module
 */

/** Longest line kept. */
const LINE_CHARS_MAX = 2000;

/** "0.00.556.283 W srv    operator(): text" */
const LOG_LINE =
  /^(\d{1,9}(?:\.\d{2,3}){3} )?([A-Z]) (srv|slot|cmn|que|res|spec) +([\w():~]{1,32}): (.*)$/;

const NUMBER = String.raw`-?\d[\d.]*`;
const SLOT = String.raw`(?:id +${NUMBER} \| task +${NUMBER} \| +)?`;

/** Texts without a word of a request, by their fixed words and their numbers. */
const HARMLESS_TEXTS: readonly string[] = [
  String.raw`processing task, is_child = ${NUMBER}`,
  String
    .raw`(?:prompt eval|eval|total) time = +${NUMBER} ms / +${NUMBER} tokens(?: \( *${NUMBER} ms per token, +${NUMBER} tokens per second\))?`,
  String.raw`graphs? (?:reused|reallocs) = +${NUMBER}[ /\d]*(?:\(same size\) / \(changed size\))?`,
  String.raw`stop processing: n_tokens = ${NUMBER}, truncated = \d`,
  String
    .raw`selected slot by (?:LRU|LCP similarity)(?:, [a-z_]{1,16} = ${NUMBER}(?: \(> ${NUMBER} thold\))?)*`,
  String.raw`new prompt, n_ctx_slot = ${NUMBER}, n_keep = ${NUMBER}, task.n_tokens = ${NUMBER}`,
  String
    .raw`prompt (?:processing|done)(?:, (?:n_tokens|progress) = +${NUMBER}|, t = +${NUMBER} s / +${NUMBER} tokens per second)*`,
  String.raw`all slots are idle`,
  String.raw`cancel task, id_task = ${NUMBER}`,
  String.raw`operator\(\): cleaning up before exit\.\.\.`,
  String.raw`EOF on stdin detected, forcing shutdown\.\.\.`,
  String.raw`unauthorized: Invalid API Key`,
  String.raw`entering sleeping state|exiting sleeping state`,
];
/** All in one expression: an engine says ten lines per request. */
const HARMLESS = new RegExp(
  `^${SLOT}(?:${HARMLESS_TEXTS.map((text) => `(?:${text})`).join("|")})$`,
);

/** Last words of a dying process; only their fixed part is kept. */
const LAST_WORDS: readonly RegExp[] = [
  /^(?:[\w.+-]*\/)*[\w.+-]{1,80}\.(?:c|cc|cpp|cu|cuh|h|hpp|m|mm):\d{1,6}: (?:GGML_ASSERT|GGML_ABORT|fatal error)/,
  /^terminate called after throwing an instance of '[\w:]{1,80}'/,
  /^ {2}what\(\): {2}std::bad_alloc$/,
  /^(?:CUDA|ROCm|SYCL|Vulkan) error: out of memory$/,
  /^ggml_\w{1,60}: (?:failed to allocate|out of memory)/,
  /^Remote RPC server crashed or returned malformed response$/,
  /^(?:Segmentation fault|Aborted|Illegal instruction|Killed)/,
];

/** The words that stand where a text was. */
export const WITHHELD = "(text withheld: it may quote a request)";

function lastWordsIn(line: string): string | undefined {
  for (const pattern of LAST_WORDS) {
    const match = pattern.exec(line);
    if (match !== null) return match[0];
  }
  return undefined;
}

/** What may be kept of a line that was written while requests were answered; undefined for nothing. */
export function keepHarmless(line: string): string | undefined {
  if (line.length > LINE_CHARS_MAX) return undefined;
  const parts = LOG_LINE.exec(line);
  // Last words come without the prefix of a log line, and seldom.
  if (parts === null) return lastWordsIn(line);
  const text = parts[5] ?? "";
  if (HARMLESS.test(text)) return line;
  return `${parts[1] ?? ""}${parts[2]} ${parts[3]} ${parts[4]}: ${WITHHELD}`;
}
