/**
 * A `Request` for apps behind our own server that has a method, a URL and headers to read, and nothing else:
 * a whole one with its `Headers` costs as much as all the rest of taking a request in. Its body comes by
 * `DoorEnv`. Members that are missing throw a `TypeError` when they are used.
 *
 * @module
 */
import { FieldList } from "./field_list.ts";
import { type HeaderField, valuesOf } from "./http1_head.ts";
import type { RequestHead } from "./http1_request.ts";

/** The host of all URLs: who is asked is told by the Host header, which may hold anything. */
const BASE = "http://localhost";

/** What such a request is made of. */
type LightHead = Pick<RequestHead, "method" | "target" | "headers">;

/** Makes the request of a head. */
export function lightRequest(head: LightHead): Request {
  return new LightRequest(head) as unknown as Request;
}

class LightRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: LightHeaders;

  constructor({ method, target, headers }: LightHead) {
    this.method = method;
    this.url = BASE + target;
    this.headers = new LightHeaders(headers);
  }
}

type HeadersReader = Omit<Headers, "append" | "delete" | "set">;

/** Looks up few names among few. Whoever wants all gets them from real `Headers`. */
class LightHeaders implements HeadersReader {
  readonly #fields: readonly HeaderField[];
  readonly #list: FieldList;

  constructor(fields: readonly HeaderField[]) {
    this.#fields = fields;
    this.#list = new FieldList(fields);
  }

  get(name: string): string | null {
    return this.#list.get(name.toLowerCase());
  }

  has(name: string): boolean {
    return this.#list.has(name.toLowerCase());
  }

  getSetCookie(): string[] {
    return valuesOf(this.#fields, "set-cookie");
  }

  forEach(take: (value: string, name: string, parent: Headers) => void): void {
    this.#all().forEach(take);
  }

  keys(): IterableIterator<string> {
    return this.#all().keys();
  }

  values(): IterableIterator<string> {
    return this.#all().values();
  }

  entries(): IterableIterator<[string, string]> {
    return this.#all().entries();
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }

  #all(): Headers {
    return new Headers([...this.#list]);
  }
}

// So that they pass for what they stand for, and what they lack fails loudly.
Object.setPrototypeOf(LightRequest.prototype, Request.prototype);
Object.setPrototypeOf(LightHeaders.prototype, Headers.prototype);
