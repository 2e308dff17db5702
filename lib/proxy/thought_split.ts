/**
 * Tells the thoughts of a reasoning model from its answer in raw text that begins inside the thoughts, as the engine
 * does when it makes the events itself: the mark between them is dropped, and so are blank lines behind it.
 */
const END_OF_THOUGHTS = "</think>";

/** What a piece of text is made of. */
export interface SplitText {
  readonly thought: string;
  readonly answer: string;
}

/** Splits one text that comes in pieces. */
export class ThoughtSplit {
  #state: "thoughts" | "blank" | "answer";
  /** What may be the beginning of the mark. */
  #held = "";

  constructor(options: { readonly isThinking: boolean }) {
    this.#state = options.isThinking ? "thoughts" : "answer";
  }

  push(text: string): SplitText {
    if (this.#state !== "thoughts") return { thought: "", answer: this.#answer(text) };
    const whole = this.#held + text;
    const end = whole.indexOf(END_OF_THOUGHTS);
    if (end < 0) {
      const safe = whole.length - partOfMark(whole);
      this.#held = whole.slice(safe);
      return { thought: whole.slice(0, safe), answer: "" };
    }
    this.#state = "blank";
    const thought = whole.slice(0, end);
    return { thought, answer: this.#answer(whole.slice(end + END_OF_THOUGHTS.length)) };
  }

  /** The text ends: what looked like a mark was none. */
  finish(): SplitText {
    const thought = this.#state === "thoughts" ? this.#held : "";
    this.#held = "";
    return { thought, answer: "" };
  }

  #answer(text: string): string {
    if (this.#state === "answer") return text;
    const rest = text.trimStart();
    if (rest !== "") this.#state = "answer";
    return rest;
  }
}

/** How many characters at the end of `text` are the beginning of the mark. */
function partOfMark(text: string): number {
  for (let length = Math.min(text.length, END_OF_THOUGHTS.length - 1); length > 0; length -= 1) {
    if (text.endsWith(END_OF_THOUGHTS.slice(0, length))) return length;
  }
  return 0;
}
