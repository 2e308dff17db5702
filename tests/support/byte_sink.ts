import type { ByteStream } from "~/mesh/transport.ts";

/** A stream that takes what is written when the test lets it. */
export class ByteSink implements ByteStream {
  readonly written: Uint8Array[] = [];
  isEnded = false;
  #isFailing = false;
  #waiting: (() => void)[] = [];
  #isOpen: boolean;

  constructor({ isOpen = true }: { readonly isOpen?: boolean } = {}) {
    this.#isOpen = isOpen;
  }

  read(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (!this.#isOpen) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (this.#isFailing) throw new Error("gone");
    this.written.push(bytes);
  }

  end(): Promise<void> {
    this.isEnded = true;
    return Promise.resolve();
  }

  abort(): void {
    this.fail();
  }

  /** Lets everything through. */
  open(): void {
    this.#isOpen = true;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Takes no more. */
  fail(): void {
    this.#isFailing = true;
    this.open();
  }
}
