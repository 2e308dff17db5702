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
}

/** Reads one stream to its end. `onEvent` is called with the count of events so far. */
export async function readStream(
  response: Response,
  onEvent: (count: number) => void = () => {},
): Promise<StreamResult> {
  const reader = new SseReader(response.body);
  let [text, isDone, pauseMs, count] = ["", false, 0, 0];
  const errors: string[] = [];
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
      const { error, choices = [] } = JSON.parse(block.data);
      if (error !== undefined) errors.push(error.message);
      text += choices[0]?.delta?.content ?? choices[0]?.text ?? "";
    }
  }
  return { text, isDone, errors, continuedOn, pauseMs, status: response.status };
}

/** The value below which the given part of the figures lies. */
export function quantile(figures: readonly number[], part: number): number {
  const sorted = figures.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
}
