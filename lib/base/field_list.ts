/**
 * Headers of messages within the program: a short list, made once and then only read. Real `Headers` cost several
 * times as much to make, and messages of the program have few and proper ones.
 *
 * @module
 */
import type { HeaderField } from "./http1_head.ts";

/** What is read of headers; `Headers` have it too. */
export interface HeadersView extends Iterable<[string, string]> {
  /** The value of a header by its name in lower case; null when it is absent. */
  get(name: string): string | null;
  has(name: string): boolean;
}

/** Headers by name, each name once and in lower case. */
export class FieldList implements HeadersView {
  readonly #fields: readonly HeaderField[];

  /** @param fields names in lower case; where one comes twice its values are joined */
  constructor(fields: readonly HeaderField[]) {
    this.#fields = fields;
  }

  get(wanted: string): string | null {
    let found: string | null = null;
    for (const [name, value] of this.#fields) {
      if (name === wanted) found = found === null ? value : `${found}, ${value}`;
    }
    return found;
  }

  has(wanted: string): boolean {
    for (const [name] of this.#fields) if (name === wanted) return true;
    return false;
  }

  /** In the order in which they were given. */
  *[Symbol.iterator](): IterableIterator<[string, string]> {
    for (const [name, value] of this.#fields) yield [name, value];
  }
}
