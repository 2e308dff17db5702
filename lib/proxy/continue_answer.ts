/**
 * Makes the events of a continued answer those of the one that began: its ids, its text without what the client has,
 * and the usage of both together. Pure.
 */
import { isJsonObject, type JsonObject, type JsonValue } from "../base/json.ts";
import { EchoStrip } from "./echo_strip.ts";
import { eventsIn } from "./sse_events.ts";
import type { SoFar, StreamKind } from "./stream_record.ts";
import { ThoughtSplit } from "./thought_split.ts";

/** What a {@link RestWriter} goes by. */
export interface RestWriterOptions {
  /** Shapes of the answer that began. */
  readonly kind: StreamKind;
  /** Shapes of the rest: a chat may be continued as text. */
  readonly restKind: StreamKind;
  readonly soFar: SoFar;
  readonly given: string;
  readonly surplus: string;
  readonly wantsUsage: boolean;
  /** True when the rest begins inside the thoughts of a reasoning model. */
  readonly isThinking: boolean;
  /** The node that goes on. */
  readonly nodeId: string;
}

const ENCODER = new TextEncoder();

/** Rewrites the events of the rest. */
export class RestWriter {
  readonly #options: RestWriterOptions;
  readonly #strip: EchoStrip;
  readonly #split: ThoughtSplit;
  #isToldWhere = false;

  constructor(options: RestWriterOptions) {
    this.#options = options;
    this.#strip = new EchoStrip(options.given, options.surplus);
    this.#split = new ThoughtSplit(options);
  }

  /** Takes whole events of the rest; returns those for the client, possibly none. */
  push(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
    return ENCODER.encode(
      eventsIn(bytes).map(({ data, text }) => data === undefined ? text : this.#event(data, text))
        .join(""),
    );
  }

  #event(data: string, text: string): string {
    if (data === "[DONE]") return this.#where() + text;
    const event = parsed(data);
    // An error of the engine is the client's to see, as it would be in an answer of one piece.
    if (event === undefined || event["error"] !== undefined) return text;
    const { choices, usage } = event;
    const choice: JsonValue | undefined = Array.isArray(choices) ? choices[0] : undefined;
    if (isJsonObject(choice)) return this.#choice(choice, event);
    return isJsonObject(usage) ? this.#write([], event, this.#figuresOf(event)) : "";
  }

  #choice(choice: JsonObject, event: JsonObject): string {
    const reason = choice["finish_reason"];
    const isEnd = typeof reason === "string";
    const { role, content, reasoning } = this.#partsOf(choice);
    const split = this.#split.push(content);
    const thought = reasoning + split.thought + (isEnd ? this.#split.finish().thought : "");
    const fresh = this.#strip.push(split.answer) + (isEnd ? this.#strip.finish() : "");
    const { kind, soFar } = this.#options;
    const out: string[] = [];
    const say = (part: JsonObject): void => {
      out.push(this.#write([{ index: 0, "finish_reason": null, ...part }], event));
    };
    if (kind === "text" && fresh !== "") say({ text: fresh, logprobs: null });
    if (kind === "chat") {
      if (!soFar.hasRole && role !== undefined) say({ delta: { role, content: null } });
      if (thought !== "") say({ delta: { reasoning_content: thought } });
      if (fresh !== "") say({ delta: { content: fresh } });
    }
    if (isEnd) out.push(this.#end(reason, event));
    return out.join("");
  }

  /** Text completions have their usage in the last event, chats in one of its own behind it, if they want it. */
  #end(reason: string, event: JsonObject): string {
    const { kind, restKind, wantsUsage } = this.#options;
    const figures = this.#figuresOf(event);
    const end = { index: 0, "finish_reason": reason };
    if (kind === "text") return this.#write([{ ...end, text: "", logprobs: null }], event, figures);
    const { usage, ...others } = figures;
    const isApart = restKind === "text" && wantsUsage && usage !== undefined;
    const last = this.#write([{ ...end, delta: {} }], event, isApart ? {} : others);
    return isApart ? last + this.#write([], event, figures) : last;
  }

  #partsOf(choice: JsonObject): {
    readonly role: JsonValue | undefined;
    readonly content: string;
    readonly reasoning: string;
  } {
    if (this.#options.restKind === "text") {
      return { role: "assistant", content: textOf(choice["text"]), reasoning: "" };
    }
    const delta = isJsonObject(choice["delta"]) ? choice["delta"] : {};
    return {
      role: delta["role"],
      content: textOf(delta["content"]),
      reasoning: textOf(delta["reasoning_content"]),
    };
  }

  /** Usage of both parts together, and the engine's timings of the rest. */
  #figuresOf({ usage, timings }: JsonObject): JsonObject {
    const { tokenCount } = this.#options.soFar;
    const figures: Record<string, JsonValue> = {};
    if (isJsonObject(usage)) {
      const completion = countOf(usage["completion_tokens"]) + tokenCount;
      // The text so far was part of the second prompt.
      const prompt = Math.max(0, countOf(usage["prompt_tokens"]) - tokenCount);
      figures["usage"] = {
        ...usage,
        completion_tokens: completion,
        prompt_tokens: prompt,
        total_tokens: prompt + completion,
      };
    }
    if (timings !== undefined) figures["timings"] = timings;
    return figures;
  }

  #write(choices: readonly JsonValue[], event: JsonObject, more: JsonObject = {}): string {
    const { head } = this.#options.soFar;
    if (Object.keys(head).length > 0) return eventText({ choices, ...head, ...more });
    // Nothing was said before: the ids of the rest are those of the answer.
    const { usage: _usage, timings: _timings, ...own } = event;
    return eventText({ ...own, choices, ...more });
  }

  #where(): string {
    if (this.#isToldWhere) return "";
    this.#isToldWhere = true;
    return `: continued on ${this.#options.nodeId}\n\n`;
  }
}

/** The last events of an answer that was complete but for them; empty when they were said too. */
export function lastEvents(soFar: SoFar, kind: StreamKind): Uint8Array<ArrayBuffer> {
  if (soFar.isDone) return new Uint8Array(0);
  const choice = kind === "chat"
    ? { index: 0, "finish_reason": "length", delta: {} }
    : { index: 0, "finish_reason": "length", text: "", logprobs: null };
  const end = soFar.finishReason === undefined
    ? eventText({ choices: [choice], ...soFar.head })
    : "";
  return ENCODER.encode(`${end}data: [DONE]\n\n`);
}

function eventText(event: JsonObject): string {
  return `data: ${JSON.stringify(event)}\n\n`;
}

function textOf(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : "";
}

function countOf(value: JsonValue | undefined): number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : 0;
}

function parsed(data: string): JsonObject | undefined {
  try {
    const value: JsonValue = JSON.parse(data);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
