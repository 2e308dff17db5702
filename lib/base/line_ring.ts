import { assert } from "./errors.ts";

/** Keeps the last lines of a text that never ends, bounded in count and in length of each. */
export class LineRing {
  readonly #lines: string[] = [];
  readonly #linesMax: number;
  readonly #lineCharsMax: number;
  #partial = "";

  constructor(options: { readonly linesMax: number; readonly lineCharsMax: number }) {
    assert(options.linesMax > 0 && options.lineCharsMax > 0, "a line ring has room");
    this.#linesMax = options.linesMax;
    this.#lineCharsMax = options.lineCharsMax;
  }

  /** Adds text; returns the lines that it completed, each cut to the allowed length. */
  push(text: string): string[] {
    const parts = (this.#partial + text).split(/\r\n|\n|\r/);
    const rest = parts.pop() ?? "";
    const lines = parts.map((line) => line.slice(0, this.#lineCharsMax));
    // A line without an end must not grow without bound either.
    this.#partial = rest.slice(0, this.#lineCharsMax);
    this.#lines.push(...lines.slice(-this.#linesMax));
    this.#lines.splice(0, Math.max(0, this.#lines.length - this.#linesMax));
    return lines;
  }

  /** The last `count` lines, oldest first, an unfinished one included. */
  last(count: number): string[] {
    const all = this.#partial === "" ? this.#lines : [...this.#lines, this.#partial];
    return all.slice(-count);
  }
}
