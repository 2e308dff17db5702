import { UpstreamError } from "./ports.ts";

/**
 * How long an exchange is worth waiting for: until the caller aborts it, or, while there is no answer,
 * until the link is suspect.
 */
export class Patience {
  readonly #signal: AbortSignal;
  #why: UpstreamError | undefined;
  #runOver: (why: UpstreamError) => void = () => {};
  #endSuspicion: () => void = () => {};

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Why it is over; undefined while it is not. */
  get why(): UpstreamError | undefined {
    return this.#why;
  }

  /** Ends it too when `subscribe` calls back. */
  endOn(subscribe: (listener: () => void) => () => void): void {
    const end = subscribe(() =>
      this.#end(new UpstreamError("Nothing is heard from it on the link", false))
    );
    if (this.#why === undefined) this.#endSuspicion = end;
    else end();
  }

  /** Calls `run` when it is over, now if it is already; replaces what was to be called before. */
  onOver(run: (why: UpstreamError) => void): void {
    if (this.#why === undefined) this.#runOver = run;
    else run(this.#why);
  }

  /** Rejects when it is over. */
  whenOver(): Promise<never> {
    return new Promise((_, reject) => this.onOver(reject));
  }

  /** The answer has begun: from now on only the caller ends it. */
  onAnswer(): void {
    this.#endSuspicion();
    this.#endSuspicion = () => {};
  }

  /** Stops listening. */
  release(): void {
    this.onAnswer();
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#runOver = () => {};
  }

  #end(why: UpstreamError): void {
    if (this.#why !== undefined) return;
    this.#why = why;
    this.#runOver(why);
  }

  readonly #onAbort = (): void => this.#end(cancelled(this.#signal));
}

/** What a request ends with that its caller aborted. */
export function cancelled(signal: AbortSignal): UpstreamError {
  return new UpstreamError("The request was cancelled", false, { cause: signal.reason });
}
