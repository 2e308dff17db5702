/**
 * What a streamed answer has said so far, so that another host can go on with it. Bytes are kept as they are and
 * looked at only now and then, many events at once, or when the answer broke off: a token costs almost nothing.
 */
import { joined } from "../base/bytes.ts";
import { isJsonObject, type JsonObject, type JsonValue } from "../base/json.ts";
import { eventsIn } from "./sse_events.ts";

/** Raw bytes kept before they are looked at: a thousand events, which takes some milliseconds. */
const RAW_BYTES_MAX = 256 * 1024;
/** Longest text that is kept, in UTF-16 units; a longer answer is not continued. */
const TEXT_CHARS_MAX = 1024 * 1024;

/** Whose shapes the events have: chat completions or text completions. */
export type StreamKind = "chat" | "text";

/** What was said. */
export interface SoFar {
  /** Members that all events of the answer share: id, created, model, object, system_fingerprint. */
  readonly head: JsonObject;
  readonly text: string;
  /** What a reasoning model thought aloud (`reasoning_content`). */
  readonly reasoning: string;
  /** Events that held text: the engine sends one for each token. */
  readonly tokenCount: number;
  /** True once a role was said. */
  readonly hasRole: boolean;
  /** Why the answer ends; undefined while it does not. */
  readonly finishReason: string | undefined;
  /** True after `[DONE]`: nothing follows. */
  readonly isDone: boolean;
}

/** Follows one answer. */
export class StreamRecord {
  readonly #kind: StreamKind;
  #raw: Uint8Array<ArrayBuffer>[] = [];
  #rawBytes = 0;
  #head: JsonObject = {};
  #texts: string[] = [];
  #reasonings: string[] = [];
  #charCount = 0;
  #tokenCount = 0;
  #hasRole = false;
  #finishReason: string | undefined;
  #isDone = false;
  #fault: string | undefined;

  constructor(kind: StreamKind) {
    this.#kind = kind;
  }

  /** Takes whole events, as the client got them. */
  push(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#fault !== undefined) return;
    this.#raw.push(bytes);
    this.#rawBytes += bytes.length;
    if (this.#rawBytes > RAW_BYTES_MAX) this.#digest();
  }

  /** False once something was seen with which nobody can go on; looks at nothing anew. */
  get isContinuable(): boolean {
    return this.#fault === undefined;
  }

  /** What was said, or why nobody can go on with it. */
  read(): SoFar | { readonly fault: string } {
    this.#digest();
    if (this.#fault !== undefined) return { fault: this.#fault };
    return {
      head: this.#head,
      text: this.#texts.join(""),
      reasoning: this.#reasonings.join(""),
      tokenCount: this.#tokenCount,
      hasRole: this.#hasRole,
      finishReason: this.#finishReason,
      isDone: this.#isDone,
    };
  }

  #digest(): void {
    const raw = joined(this.#raw);
    this.#raw = [];
    this.#rawBytes = 0;
    for (const { data } of eventsIn(raw)) {
      if (this.#fault !== undefined) break;
      if (data === "[DONE]") this.#isDone = true;
      if (data === undefined || data === "[DONE]") continue;
      const fault = this.#read(parsed(data));
      if (fault !== undefined) this.#fail(fault);
    }
    if (this.#charCount > TEXT_CHARS_MAX) this.#fail("it is too long");
  }

  #fail(fault: string): void {
    this.#fault = fault;
    this.#texts = [];
    this.#reasonings = [];
  }

  /** Returns why it cannot be continued after this event. */
  #read(event: JsonValue | undefined): string | undefined {
    if (!isJsonObject(event)) return "an event of it cannot be read";
    if (event["error"] !== undefined) return "the engine reported an error in it";
    const { choices, usage: _usage, timings: _timings, ...head } = event;
    if (this.#tokenCount === 0 && !this.#hasRole) this.#head = head;
    if (!Array.isArray(choices) || choices.length === 0) return undefined;
    const choice: JsonValue | undefined = choices[0];
    if (choices.length > 1 || !isJsonObject(choice) || (choice["index"] ?? 0) !== 0) {
      return "it has several choices";
    }
    if (isJsonObject(choice["logprobs"])) return "it has log probabilities";
    const reason = choice["finish_reason"];
    if (typeof reason === "string") this.#finishReason = reason;
    return this.#kind === "chat" ? this.#readDelta(choice["delta"]) : this.#add(choice["text"]);
  }

  #readDelta(delta: JsonValue | undefined): string | undefined {
    if (!isJsonObject(delta)) return undefined;
    const { role, content, reasoning_content: reasoning, ...rest } = delta;
    if (Object.values(rest).some((value) => value !== null)) return "it calls tools";
    if (typeof role === "string") this.#hasRole = true;
    if (typeof reasoning === "string" && reasoning !== "") {
      this.#reasonings.push(reasoning);
      this.#count(reasoning);
    }
    return this.#add(content);
  }

  #add(text: JsonValue | undefined): undefined {
    if (typeof text !== "string" || text === "") return;
    this.#texts.push(text);
    this.#count(text);
  }

  #count(text: string): void {
    this.#charCount += text.length;
    this.#tokenCount += 1;
  }
}

function parsed(data: string): JsonValue | undefined {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}
