/**
 * An answer whose body is there as bytes. The server takes them as they are; to everybody else it is a
 * `Response` like any other.
 */
export class WholeResponse extends Response {
  readonly whole: Uint8Array<ArrayBuffer>;

  constructor(
    bytes: Uint8Array<ArrayBuffer>,
    options: { readonly status: number; readonly headers: Readonly<Record<string, string>> },
  ) {
    super(bytes, { status: options.status });
    this.whole = bytes;
    // One by one: handed to the constructor they cost twice as much.
    for (const [name, value] of Object.entries(options.headers)) this.headers.set(name, value);
    this.headers.set("content-length", String(bytes.length));
  }
}
