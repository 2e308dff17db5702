/**
 * An answer whose body is there as bytes, with a status and headers to read and to set, and nothing else: a whole
 * `Response` with its `Headers` costs as much as all the rest of sending an answer. The server takes the bytes as they
 * are; whoever asks for the body in another way gets it from a real `Response`, made then. Members that are missing
 * throw a `TypeError` when they are used.
 *
 * @module
 */
import type { HeadersView } from "./field_list.ts";

/** Headers by name, in lower case and once each, that can be set. */
class FieldMap implements HeadersView {
  readonly #fields = new Map<string, string>();

  get(name: string): string | null {
    return this.#fields.get(name.toLowerCase()) ?? null;
  }

  has(name: string): boolean {
    return this.#fields.has(name.toLowerCase());
  }

  /** @throws {TypeError} when the value could be read as more than one header */
  set(name: string, value: string): void {
    // deno-lint-ignore no-control-regex -- control characters are what must not be there
    if (/[\x00\r\n]/.test(value)) throw new TypeError(`Cannot use this value of ${name}`);
    this.#fields.set(name.toLowerCase(), value);
  }

  forEach(take: (value: string, name: string) => void): void {
    this.#fields.forEach(take);
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.#fields[Symbol.iterator]();
  }
}

/** What {@link isWhole} tells of a response. */
export interface WholeResponse extends Response {
  readonly whole: Uint8Array<ArrayBuffer>;
}

/** Makes the answer, with its length among the headers. */
export function wholeResponse(
  bytes: Uint8Array<ArrayBuffer>,
  options: { readonly status: number; readonly headers: Readonly<Record<string, string>> },
): Response {
  return new LightResponse(bytes, options) as unknown as Response;
}

/** Whether the bytes of the body are at hand. */
export function isWhole(response: Response): response is WholeResponse {
  return LightResponse.is(response);
}

class LightResponse {
  readonly whole: Uint8Array<ArrayBuffer>;
  readonly status: number;
  readonly statusText = "";
  readonly headers = new FieldMap();
  #real: Response | undefined;

  constructor(
    bytes: Uint8Array<ArrayBuffer>,
    { status, headers }: {
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
    },
  ) {
    this.whole = bytes;
    this.status = status;
    for (const name in headers) this.headers.set(name, headers[name] ?? "");
    this.headers.set("content-length", String(bytes.length));
  }

  static is(response: object): boolean {
    return #real in response;
  }

  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  get body(): Response["body"] {
    return this.#response.body;
  }

  get bodyUsed(): boolean {
    return this.#real?.bodyUsed ?? false;
  }

  arrayBuffer(): Promise<ArrayBuffer> {
    return this.#response.arrayBuffer();
  }

  bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return this.#response.bytes();
  }

  text(): Promise<string> {
    return this.#response.text();
  }

  clone(): Response {
    return this.#response.clone();
  }

  json(): Promise<unknown> {
    return this.#response.json();
  }

  get #response(): Response {
    return this.#real ??= new Response(this.whole, {
      status: this.status,
      headers: [...this.headers],
    });
  }
}

// So that it passes for what it stands for, and what it lacks fails loudly.
Object.setPrototypeOf(LightResponse.prototype, Response.prototype);
