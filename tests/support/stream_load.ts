/** Many streams at once, each checked word by word, with the longest pause that its reader saw. */
import { SseReader } from "./sse.ts";

/** What became of one stream. */
export interface StreamResult {
  readonly text: string;
  readonly isDone: boolean;
  readonly errors: readonly string[];
  /** Who went on, as the comment at the end tells; undefined when nobody had to. */
  readonly continuedOn: string | undefined;
  /** Longest time between two events, in milliseconds. */
  readonly pauseMs: number;
  readonly status: number;
  /** Each name that the answer has for its model. */
  readonly models: readonly string[];
  /** Why it ends, as it says itself. */
  readonly finishReasons: readonly string[];
  /** Tokens of the answer, as its usage counts them; undefined without usage. */
  readonly completionTokens: number | undefined;
  /** Tokens of the prompt, as the usage counts them. */
  readonly promptTokens: number | undefined;
}

/** Reads one stream to its end. `onEvent` is called with the count of events so far. */
export async function readStream(
  response: Response,
  onEvent: (count: number) => void = () => {},
): Promise<StreamResult> {
  const reader = new SseReader(response.body);
  let [text, isDone, pauseMs, count] = ["", false, 0, 0];
  const errors: string[] = [];
  const finishReasons: string[] = [];
  const models = new Set<string>();
  let completionTokens: number | undefined;
  let promptTokens: number | undefined;
  let continuedOn: string | undefined;
  let lastMs = performance.now();
  for (let block = await reader.next(); block !== undefined; block = await reader.next()) {
    const nowMs = performance.now();
    pauseMs = Math.max(pauseMs, nowMs - lastMs);
    lastMs = nowMs;
    onEvent(count += 1);
    continuedOn ??= /^continued on (.*)$/.exec(block.comment ?? "")?.[1];
    if (block.data === "[DONE]") isDone = true;
    else if (block.data !== undefined) {
      const { error, model, usage, choices = [] } = JSON.parse(block.data);
      if (error !== undefined) errors.push(error.message);
      if (model !== undefined) models.add(model);
      if (typeof choices[0]?.finish_reason === "string") {
        finishReasons.push(choices[0].finish_reason);
      }
      completionTokens = usage?.completion_tokens ?? completionTokens;
      promptTokens = usage?.prompt_tokens ?? promptTokens;
      text += choices[0]?.delta?.content ?? choices[0]?.text ?? "";
    }
  }
  const { status } = response;
  const told = { models: [...models], finishReasons, completionTokens, promptTokens };
  return { text, isDone, errors, continuedOn, pauseMs, status, ...told };
}

/** Counts the events of several streams, for who waits until all have gone on. */
export class StreamWatch {
  readonly #counts: number[];
  readonly #nodes = new Map<number, string>();
  #goals: readonly number[] = [];
  #reached = Promise.withResolvers<void>();

  constructor(streams: number) {
    this.#counts = Array(streams).fill(0);
  }

  /** Resolves when each stream has had so many more events, or has ended. */
  async goOn(events: number): Promise<void> {
    this.#goals = this.#counts.map((count) => count + events);
    this.#reached = Promise.withResolvers();
    this.#look();
    await this.#reached.promise;
  }

  /** Stream `index` has had `count` events. */
  note(index: number, count: number): void {
    this.#counts[index] = count;
    this.#look();
  }

  /** Stream `index` is over, however it ended. */
  end(index: number): void {
    this.note(index, Infinity);
  }

  /** Stream `index` is answered by this node. */
  sentTo(index: number, nodeId: string): void {
    this.#nodes.set(index, nodeId);
  }

  /** Who began the streams that are not over, once for each stream. */
  get running(): readonly string[] {
    return [...this.#nodes].flatMap(([i, id]) => this.#counts[i] === Infinity ? [] : [id]);
  }

  #look(): void {
    if (this.#goals.every((goal, i) => (this.#counts[i] ?? 0) >= goal)) this.#reached.resolve();
  }
}

/** The value below which the given part of the figures lies. */
export function quantile(figures: readonly number[], part: number): number {
  const sorted = figures.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
}
