/**
 * How another host is asked for the rest of a streamed answer, from the request and from what was said. Pure.
 *
 * A chat goes on when its last message is the assistant's; a template that refuses that is passed by: the prompt that
 * it makes of the messages, with the text behind it, is completed as text. Whatever an engine would not go on with
 * exactly as it began is refused here, with the reason.
 *
 * @module
 */
import { isJsonObject, type JsonObject, type JsonValue } from "../base/json.ts";
import type { SoFar, StreamKind } from "./stream_record.ts";

/** Largest body that is parsed for it: some ten milliseconds on the thread that all requests share. */
const BODY_BYTES_MAX = 2 * 1024 * 1024;
/** Paths whose answers can be continued. */
const KINDS: ReadonlyMap<string, StreamKind> = new Map([
  ["/v1/chat/completions", "chat"],
  ["/chat/completions", "chat"],
  ["/v1/completions", "text"],
]);
/** Members that count tokens of the answer. */
const LIMITS = ["max_tokens", "max_completion_tokens", "n_predict"];
/** Members that bind the text to a shape, with a state that cannot be handed on. */
const SHAPES = ["grammar", "json_schema", "functions", "suffix", "audio", "lora"];

/** A request whose answer can be continued. */
export interface ContinuableRequest {
  readonly kind: StreamKind;
  readonly body: JsonObject;
  /** Text that the client itself gave as the beginning of the answer. */
  readonly prefill: string;
  readonly wantsUsage: boolean;
}

/** The rest of an answer, to be asked for. */
export interface RestRequest {
  readonly body: JsonObject;
  /** What the engine may repeat. */
  readonly given: string;
  /** What the client has beyond it. */
  readonly surplus: string;
}

/** Why something cannot be continued. */
export interface NotContinuable {
  readonly why: string;
}

/** Whose events a path's stream has; undefined when it cannot be continued. */
export function streamKindOf(path: string): StreamKind | undefined {
  return KINDS.get(path);
}

/** Reads a request; says why when its answer could not be continued. */
export function continuableRequest(
  kind: StreamKind,
  bytes: Uint8Array,
): ContinuableRequest | NotContinuable {
  if (bytes.length > BODY_BYTES_MAX) return { why: "the request is too large" };
  const body = parsed(bytes);
  if (!isJsonObject(body)) return { why: "the request cannot be read" };
  const why = hindrance(body);
  if (why !== undefined) return { why };
  const prefill = kind === "chat" ? prefillOf(body["messages"]) : promptOf(body["prompt"]);
  if (prefill === undefined) return { why: `its ${kind === "chat" ? "messages" : "prompt"}` };
  const options = body["stream_options"];
  const wantsUsage = isJsonObject(options) && options["include_usage"] === true;
  return { kind, body, prefill: kind === "chat" ? prefill : "", wantsUsage };
}

function hindrance(body: JsonObject): string | undefined {
  const isOn = (name: string): boolean => {
    const value = body[name];
    return value !== undefined && value !== null && value !== false && value !== 0 && value !== "";
  };
  const { tools, response_format: format } = body;
  if (moreThanOne(body["n"]) || moreThanOne(body["best_of"])) return "it has several choices";
  if (Array.isArray(tools) && tools.length > 0 && body["tool_choice"] !== "none") {
    return "it may call tools";
  }
  if (isJsonObject(format) && (format["type"] ?? "text") !== "text") return "it has a format";
  const shape = SHAPES.find(isOn);
  if (shape !== undefined) return `it has ${shape}`;
  const logs = ["logprobs", "top_logprobs", "n_probs"].find(isOn);
  if (logs !== undefined) return "it has log probabilities";
  return isOn("echo") ? "it repeats its prompt" : undefined;
}

function moreThanOne(value: JsonValue | undefined): boolean {
  return value !== undefined && value !== null && value !== 1;
}

/** The text of a last message that is the assistant's; empty without one, undefined when it is no text. */
function prefillOf(messages: JsonValue | undefined): string | undefined {
  if (!Array.isArray(messages)) return undefined;
  const last: JsonValue | undefined = messages.at(-1);
  if (!isJsonObject(last) || last["role"] !== "assistant") return "";
  const isPlain = typeof last["content"] === "string" && last["reasoning_content"] === undefined;
  return isPlain && typeof last["content"] === "string" ? last["content"] : undefined;
}

/** Undefined when text cannot be put behind it: several prompts, for instance. */
function promptOf(prompt: JsonValue | undefined): string | undefined {
  if (typeof prompt === "string") return prompt;
  if (!Array.isArray(prompt)) return undefined;
  const isOne = prompt.length === 1 && typeof prompt[0] === "string";
  return isOne || prompt.every((token) => typeof token === "number") ? "" : undefined;
}

/** What of the text may be given to an engine to go on with: a word's space belongs to the word. */
export function atTokenEnd(text: string): { readonly given: string; readonly surplus: string } {
  const cut = /(?:\uFFFD+|(?<=\S) )$/u.exec(text);
  if (cut === null) return { given: text, surplus: "" };
  return { given: text.slice(0, cut.index), surplus: cut[0] };
}

/** True when the answer is as long as it may be: there is no rest. */
export function isUsedUp({ body }: ContinuableRequest, { tokenCount }: SoFar): boolean {
  return LIMITS.some((name) => {
    const limit = body[name];
    return typeof limit === "number" && limit >= 0 && tokenCount >= limit;
  });
}

/** The rest of an answer by the same endpoint, or why it cannot be had so. */
export function restRequest(
  request: ContinuableRequest,
  soFar: SoFar,
): RestRequest | NotContinuable {
  const { kind, body } = request;
  const { given, surplus } = atTokenEnd(soFar.text);
  const rest = lessTokens(body, soFar);
  if (kind === "text") {
    return { body: { ...rest, prompt: promptWith(body["prompt"], given) }, given: "", surplus };
  }
  if (soFar.reasoning !== "") return { why: "it has thought aloud" };
  if (soFar.text === "") return { body: rest, given: "", surplus: "" };
  const before = request.prefill;
  if (before !== "" && given !== before && before.startsWith(given)) {
    return { why: "it broke off in what the client gave as its beginning" };
  }
  const messages = Array.isArray(body["messages"]) ? body["messages"] : [];
  const others = before === "" ? messages : messages.slice(0, -1);
  // A build that repeats what it is given has said the client's part already.
  const content = given.startsWith(before) ? given : before + given;
  const last = { role: "assistant", content };
  return { body: { ...rest, messages: [...others, last] }, given: content, surplus };
}

/** What makes the prompt of a chat, without the text of the answer. */
export function templateRequest({ body, prefill }: ContinuableRequest): JsonObject {
  const messages = Array.isArray(body["messages"]) ? body["messages"] : [];
  const { chat_template_kwargs: kwargs, model = null } = body;
  return {
    model,
    messages: prefill === "" ? messages : messages.slice(0, -1),
    ...(kwargs === undefined ? {} : { chat_template_kwargs: kwargs }),
  };
}

/** The rest of a chat as a completion of the prompt that its template made. */
export function rawRestRequest(
  request: ContinuableRequest,
  { soFar, prompt }: { readonly soFar: SoFar; readonly prompt: string },
): RestRequest {
  const { given, surplus } = atTokenEnd(soFar.text);
  const { messages: _messages, chat_template_kwargs: _kwargs, ...rest } = lessTokens(
    request.body,
    soFar,
  );
  const { prefill } = request;
  const text = given.startsWith(prefill) ? given : prefill + given;
  return {
    body: { ...rest, prompt: prompt + thoughts(prompt, soFar) + text },
    given: "",
    surplus,
  };
}

/** What a reasoning model wrote before its answer, with the marks that nearly all of them use. */
function thoughts(prompt: string, { reasoning, text }: SoFar): string {
  if (reasoning === "") return "";
  const begin = /<think>\s*$/.test(prompt) ? "" : "<think>\n";
  return begin + reasoning + (text === "" ? "" : "\n</think>\n\n");
}

function lessTokens(body: JsonObject, { tokenCount }: SoFar): JsonObject {
  const rest: Record<string, JsonValue> = { ...body };
  // A slot of the other host means nothing here.
  delete rest["id_slot"];
  for (const name of LIMITS) {
    const limit = rest[name];
    if (typeof limit === "number" && limit >= 0) rest[name] = Math.max(1, limit - tokenCount);
  }
  return rest;
}

function promptWith(prompt: JsonValue | undefined, text: string): JsonValue {
  if (typeof prompt === "string") return prompt + text;
  if (!Array.isArray(prompt)) return text;
  if (typeof prompt[0] === "string") return prompt[0] + text;
  return text === "" ? prompt : [...prompt, text];
}

function parsed(bytes: Uint8Array): JsonValue | undefined {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}
