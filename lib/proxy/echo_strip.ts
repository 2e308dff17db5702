/**
 * Takes off the beginning of a continued text what the client has already. Some builds of llama-server repeat the
 * text that they were given to go on with, others do not; and a space at its end is not given to them at all, because
 * a token holds the space before its word: the engine says it again with the next word.
 */
export class EchoStrip {
  /** What may be repeated, as far as nothing has differed yet; undefined when that is settled. */
  #given: string | undefined;
  /** What the client has beyond what was given. */
  #surplus: string;
  #held = "";

  constructor(given: string, surplus: string) {
    this.#given = given === "" ? undefined : given;
    this.#surplus = surplus;
  }

  /** Takes the next text; returns what of it is new to the client, possibly nothing yet. */
  push(text: string): string {
    if (this.#given === undefined) return this.#withoutSurplus(text);
    this.#held += text;
    if (this.#held.length < this.#given.length && this.#given.startsWith(this.#held)) return "";
    const isRepeated = this.#held.startsWith(this.#given);
    return this.#settle(isRepeated ? this.#held.slice(this.#given.length) : this.#held);
  }

  /** The text ends: what was held back was no repetition after all. */
  finish(): string {
    return this.#given === undefined ? "" : this.#settle(this.#held);
  }

  #settle(text: string): string {
    this.#given = undefined;
    this.#held = "";
    return this.#withoutSurplus(text);
  }

  #withoutSurplus(text: string): string {
    if (this.#surplus === "" || text === "") return text;
    const surplus = this.#surplus;
    this.#surplus = "";
    return text.startsWith(surplus) ? text.slice(surplus.length) : text;
  }
}
