/**
 * An engine in memory that writes one fixed text, word by word, in the shapes of llama-server: it goes on from what the
 * last message, or the prompt, holds of it already. Its streams may be cut after any byte.
 */
import {
  type Upstream,
  UpstreamError,
  type UpstreamRequest,
  type UpstreamResponse,
} from "~/proxy/ports.ts";

/** How it behaves. */
export interface WordEngineOptions {
  /** The text, token by token. */
  readonly tokens: readonly string[];
  /** Repeats what it is given to go on with, as some builds do. */
  readonly repeatsPrefill?: boolean;
  /** Refuses to go on with an assistant's message, as some templates do. */
  readonly refusesPrefill?: boolean;
  readonly thoughts?: readonly string[];
  /** Id of its answers. */
  readonly id?: string;
}

/** Where an answer is cut. */
export type Cut =
  | { readonly kind: "before the head" }
  | { readonly kind: "after bytes"; readonly count: number }
  /** Nothing comes for a while; then it breaks off, or goes on. */
  | {
    readonly kind: "stall";
    readonly count: number;
    readonly end: Promise<"break" | "go on">;
    /** The client has all that comes before. */
    readonly onStall?: () => void;
  };

/** What was asked. */
export interface AskedOfWords {
  readonly path: string;
  // deno-lint-ignore no-explicit-any
  readonly body: any;
  readonly isContinuation: boolean;
  readonly givesUp: (() => boolean) | undefined;
  readonly onQuiet: (() => void) | undefined;
  /** Aborted when nobody wants the answer any more. */
  readonly signal: AbortSignal;
}

const PROMPT = "<user>go<assistant>";

/** See above. */
export class WordEngine implements Upstream {
  readonly #options: WordEngineOptions;
  readonly asked: AskedOfWords[] = [];
  /** Cuts of the next answers, in order; whole ones after them. */
  readonly cuts: (Cut | undefined)[] = [];
  /** Whether what cuts is the engine's own end. */
  isCrash = true;

  constructor(options: WordEngineOptions) {
    this.#options = options;
  }

  send(request: UpstreamRequest, signal: AbortSignal): Promise<UpstreamResponse> {
    const body = JSON.parse(new TextDecoder().decode(request.body));
    const { path, isContinuation = false, givesUp, onQuiet } = request;
    this.asked.push({ path, body, isContinuation, givesUp, onQuiet, signal });
    if (path === "/apply-template") return whole({ prompt: PROMPT });
    const cut = this.cuts.shift();
    if (cut?.kind === "before the head") {
      return Promise.reject(new UpstreamError("gone", false, { isCrash: this.isCrash }));
    }
    const last = body.messages?.at(-1);
    if (this.#options.refusesPrefill === true && last?.role === "assistant") {
      return whole({ error: { message: "no prefill", code: 400 } }, 400);
    }
    return this.#stream(path, body, cut);
  }

  /** The whole answer in one go, with how much of it is used. */
  // deno-lint-ignore no-explicit-any
  #stream(path: string, body: any, cut: Cut | undefined): Promise<UpstreamResponse> {
    const bytes = new TextEncoder().encode(this.#events(path, body).join(""));
    let end = cut === undefined || cut.kind === "before the head" ? Infinity : cut.count;
    let at = 0;
    const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: async (controller) => {
        if (at >= end && cut?.kind === "stall") {
          cut.onStall?.();
          if (await cut.end === "go on") end = Infinity;
        }
        // Odd pieces, so that events are torn.
        const piece = bytes.subarray(at, Math.min(at + 37, end));
        at += piece.length;
        if (piece.length > 0) return controller.enqueue(piece);
        if (end >= bytes.length) controller.close();
        else controller.error(new UpstreamError("broken", false, { isCrash: this.isCrash }));
      },
    }, { highWaterMark: 0 });
    const headers = new Headers({ "content-type": "text/event-stream" });
    return Promise.resolve({ status: 200, headers, body: stream });
  }

  // deno-lint-ignore no-explicit-any
  #events(path: string, body: any): string[] {
    const isChat = path.endsWith("/chat/completions");
    const { tokens, thoughts = [], id = "w" } = this.#options;
    const given = isChat ? prefillOf(body) : textBehind(body.prompt, tokens);
    const all = tokens.join("");
    const rest = tokensAfter(tokens, given);
    const limit = body.max_tokens ?? Infinity;
    const said = rest.slice(0, limit);
    const head = { id, created: 7, model: "words", object: isChat ? "chat" : "text" };
    const event = (choices: unknown[], more = {}): string =>
      `data: ${JSON.stringify({ choices, ...head, ...more })}\n\n`;
    const usage = {
      "prompt_tokens": 10 + tokensOf(tokens, given),
      "completion_tokens": said.length,
      "total_tokens": 10 + tokensOf(tokens, given) + said.length,
    };
    const finish = { index: 0, "finish_reason": said.length === rest.length ? "stop" : "length" };
    if (!all.startsWith(given)) throw new Error(`Nothing to go on with: ${given}`);
    if (!isChat) {
      return [
        ...said.map((text) => event([{ index: 0, text, "finish_reason": null }])),
        event([{ ...finish, text: "" }], { usage }),
        "data: [DONE]\n\n",
      ];
    }
    const delta = (value: unknown): string =>
      event([{ index: 0, "finish_reason": null, delta: value }]);
    const isEcho = this.#options.repeatsPrefill === true && given !== "";
    return [
      delta({ role: "assistant", content: null }),
      ...(given === "" ? thoughts.map((text) => delta({ reasoning_content: text })) : []),
      ...(isEcho ? [delta({ content: given })] : []),
      ...said.map((content) => delta({ content })),
      event([{ ...finish, delta: {} }]),
      ...(body.stream_options?.include_usage === true ? [event([], { usage })] : []),
      "data: [DONE]\n\n",
    ];
  }
}

// deno-lint-ignore no-explicit-any
function prefillOf(body: any): string {
  const last = body.messages?.at(-1);
  return last?.role === "assistant" ? last.content : "";
}

/** What of the text stands at the end of a prompt. */
function textBehind(prompt: string, tokens: readonly string[]): string {
  const text = tokens.join("");
  for (let length = Math.min(text.length, prompt.length); length > 0; length -= 1) {
    if (prompt.endsWith(text.slice(0, length))) return text.slice(0, length);
  }
  return "";
}

/** The tokens of the text behind `given`, the first one perhaps in part. */
function tokensAfter(tokens: readonly string[], given: string): string[] {
  let skip = given.length;
  const rest = tokens.flatMap((token) => {
    const left = token.slice(Math.min(skip, token.length));
    skip = Math.max(0, skip - token.length);
    return left === "" ? [] : [left];
  });
  // A text that is read anew is cut into tokens anew: the space goes with its word.
  if (given !== "" && rest[0] === " ") rest.splice(0, 2, ` ${rest[1] ?? ""}`);
  return rest;
}

function tokensOf(tokens: readonly string[], given: string): number {
  return tokens.length - tokensAfter(tokens, given).length;
}

function whole(value: unknown, status = 200): Promise<UpstreamResponse> {
  return Promise.resolve({
    status,
    headers: new Headers({ "content-type": "application/json" }),
    body: new TextEncoder().encode(JSON.stringify(value)),
  });
}

/** What a client makes of a stream. */
export interface ReadAnswer {
  readonly text: string;
  readonly thoughts: string;
  readonly ids: readonly string[];
  readonly reasons: readonly string[];
  readonly doneCount: number;
  readonly roleCount: number;
  // deno-lint-ignore no-explicit-any
  readonly usages: readonly any[];
  readonly comments: readonly string[];
  readonly errors: readonly string[];
}

/** Reads a whole stream as a client does. */
export function readAnswer(stream: string): ReadAnswer {
  const blocks = stream.split("\n\n").filter((block) => block !== "");
  const data = blocks.filter((block) => block.startsWith("data: ")).map((block) => block.slice(6));
  const events = data.filter((text) => text !== "[DONE]").map((text) => JSON.parse(text));
  const choices = events.flatMap((event) => event.choices ?? []);
  const strings = (values: unknown[]): string[] =>
    values.filter((value): value is string => typeof value === "string");
  return {
    text: strings(choices.map(({ delta, text }) => text ?? delta?.content)).join(""),
    thoughts: strings(choices.map(({ delta }) => delta?.reasoning_content)).join(""),
    ids: [...new Set(strings(events.map(({ id }) => id)))],
    reasons: strings(choices.map((choice) => choice.finish_reason)),
    doneCount: data.filter((text) => text === "[DONE]").length,
    roleCount: choices.filter(({ delta }) => delta?.role !== undefined).length,
    usages: events.flatMap(({ usage }) => usage === undefined ? [] : [usage]),
    comments: blocks.filter((block) => block.startsWith(":")),
    errors: events.flatMap(({ error }) => error === undefined ? [] : [error.message]),
  };
}
