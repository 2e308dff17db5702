/** Turns signals and requests to stop into two promises: the first asks, the second insists. */

/** Signals that end a node in an orderly way; Windows knows only the first. */
const SIGNALS: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT"]
  : ["SIGINT", "SIGTERM", "SIGHUP"];

/** Listens for signals while it exists. */
export class StopRequest implements Disposable {
  /** Resolves when somebody asked for the end. */
  readonly first: Promise<void>;
  /** Resolves when somebody asked again: there is no time for running requests. */
  readonly second: Promise<void>;
  readonly #first = Promise.withResolvers<void>();
  readonly #second = Promise.withResolvers<void>();
  readonly #onSignal = (): void => this.request();
  #count = 0;

  constructor() {
    this.first = this.#first.promise;
    this.second = this.#second.promise;
    for (const signal of SIGNALS) Deno.addSignalListener(signal, this.#onSignal);
  }

  /** True after the second request. */
  get isUrgent(): boolean {
    return this.#count > 1;
  }

  /** Asks for the end, or insists. */
  request(): void {
    this.#count += 1;
    this.#first.resolve();
    if (this.isUrgent) this.#second.resolve();
  }

  [Symbol.dispose](): void {
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, this.#onSignal);
  }
}
