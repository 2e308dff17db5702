/** Reads whole server-sent events (HTML standard, 9.2.6), as far as answers of engines use them. */

/** One event, or a comment. */
export interface SseEvent {
  /** Its `data` lines, joined; undefined when it has none. */
  readonly data: string | undefined;
  /** As it was written, with its blank line. */
  readonly text: string;
}

const DECODER = new TextDecoder();

/** The events in `bytes`, which end with a blank line. */
export function eventsIn(bytes: Uint8Array): readonly SseEvent[] {
  const text = DECODER.decode(bytes);
  const events: SseEvent[] = [];
  // The engine writes LF; others may write CRLF.
  const blank = text.includes("\r") ? /\r?\n\r?\n/g : /\n\n/g;
  let start = 0;
  for (let end = blank.exec(text); end !== null; end = blank.exec(text)) {
    events.push(eventOf(text.slice(start, blank.lastIndex)));
    start = blank.lastIndex;
  }
  if (start < text.length) events.push(eventOf(text.slice(start)));
  return events;
}

function eventOf(text: string): SseEvent {
  // Nearly all are one line of data.
  const end = text.indexOf("\n");
  if (text.startsWith("data: ") && end === text.length - 2 && !text.includes("\r")) {
    return { data: text.slice("data: ".length, end), text };
  }
  const lines = text.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  const data = lines.map((line) => line.slice("data:".length).replace(/^ /, ""));
  return { data: data.length === 0 ? undefined : data.join("\n"), text };
}
