/** The requests that the bench sends, and what their answers must look like. Pure. */

/** Events in a measured stream: some sentences of an answer. */
export const STREAM_CHUNKS = 64;
/** Pause between events of a paced stream: 500 tokens a second, faster than most models. */
export const PACE_MS = 2;

/** One answer at once, a stream as fast as it goes, a stream with a pause before each event. */
export type Shape = "small" | "stream" | "paced";

/** Where requests go. */
export interface Target {
  readonly port: number;
  /** Sent as a bearer token. */
  readonly key?: string;
  /** Name of the model in bodies. */
  readonly model: string;
}

/** Member of a request's body that tells the bench's upstream to pause between events. */
export const PAUSE_MEMBER = "bench_pause_ms";
/** Member of an event that tells when it was sent: Unix time in microseconds. */
export const SENT_MEMBER = "sent_us";

/** Member of a request's body that asks for an answer of so many bytes. */
export const ANSWER_BYTES_MEMBER = "bench_answer_bytes";
/** The bench's upstream takes a body from this size on for a large one: it counts it unread. */
export const LARGE_BODY_BYTES = 1024 * 1024;

const ENCODER = new TextEncoder();

/** A chat completion, ready to be written to a connection. */
export function chatRequest(target: Target, shape: Shape): Uint8Array {
  return postRequest(target, {
    model: target.model,
    messages: [{ role: "user", content: "Say some words." }],
    max_tokens: shape === "small" ? 1 : STREAM_CHUNKS,
    ...(shape === "small" ? {} : { stream: true }),
    ...(shape === "paced" ? { [PAUSE_MEMBER]: PACE_MS } : {}),
  });
}

/** A question as long as a dozen photographs: `sizeBytes` of it are one text. */
export function uploadRequest(target: Target, sizeBytes: number): Uint8Array {
  const messages = [{ role: "user", content: "A".repeat(sizeBytes) }];
  return postRequest(target, { model: target.model, messages });
}

/** A question with an answer of `sizeBytes`. */
export function downloadRequest(target: Target, sizeBytes: number): Uint8Array {
  return postRequest(target, {
    model: target.model,
    messages: [],
    [ANSWER_BYTES_MEMBER]: sizeBytes,
  });
}

/** A chat completion with any body. */
export function postRequest(target: Target, body: unknown): Uint8Array {
  const bytes = ENCODER.encode(JSON.stringify(body));
  const head = ENCODER.encode([
    "POST /v1/chat/completions HTTP/1.1",
    ...commonHeaders(target),
    "content-type: application/json",
    `content-length: ${bytes.length}`,
    "\r\n",
  ].join("\r\n"));
  const request = new Uint8Array(head.length + bytes.length);
  request.set(head);
  request.set(bytes, head.length);
  return request;
}

/** A request for a page. */
export function getRequest(target: Target, path: string): Uint8Array {
  return ENCODER.encode([`GET ${path} HTTP/1.1`, ...commonHeaders(target), "\r\n"].join("\r\n"));
}

function commonHeaders({ port, key }: Target): string[] {
  const authorization = key === undefined ? [] : [`authorization: Bearer ${key}`];
  return [`host: 127.0.0.1:${port}`, "accept: */*", ...authorization];
}

const LF = 10;

/** Counts server-sent events in bytes as they come: an event ends with an empty line. */
export class EventCounter {
  #count = 0;
  #wasLineEnd = false;

  /** Complete events so far. */
  get count(): number {
    return this.#count;
  }

  /** Takes the next part of the stream. */
  add(part: Uint8Array): void {
    if (part.length === 0) return;
    let from = 0;
    for (let at = part.indexOf(LF); at >= 0; at = part.indexOf(LF, from)) {
      if (at === from && (at > 0 || this.#wasLineEnd)) this.#count += 1;
      from = at + 1;
    }
    this.#wasLineEnd = from === part.length;
  }

  /** Starts anew. */
  reset(): void {
    this.#count = 0;
    this.#wasLineEnd = false;
  }
}

const SENT_REGEXP = new RegExp(`"${SENT_MEMBER}":(\\d+)`, "g");

/** When the events in a part of a stream were sent: Unix time in milliseconds. */
export function sentTimes(text: string): number[] {
  return [...text.matchAll(SENT_REGEXP)].map(([, digits]) => Number(digits) / 1000);
}
