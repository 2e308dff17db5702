import { UpstreamError, type UpstreamRequest } from "./ports.ts";

/**
 * How little is heard of a link. `quiet`: nothing for a moment, which may mean nothing. `suspect`: for long enough to ask
 * elsewhere what was not answered. `silent`: its node counts as gone.
 */
export type Silence = "quiet" | "suspect" | "silent";

/**
 * Calls back each time a link becomes quiet, suspect, or silent; at once when it is suspect or silent already. The
 * returned function ends that.
 */
export type OnSilence = (listener: (silence: Silence) => void) => () => void;

/** What the caller of an answer in the middle has to say about a link that is not heard. */
export type MiddleOfAnswer = Pick<UpstreamRequest, "givesUp" | "onQuiet">;

/**
 * How long an exchange is worth waiting for: until the caller aborts it, the link is suspect and the caller says that
 * it is not worth it any more, or the link is silent.
 */
export class Patience {
  readonly #signal: AbortSignal;
  #why: UpstreamError | undefined;
  #runOver: (why: UpstreamError) => void = () => {};
  #endSuspicion: () => void = () => {};
  #isWorthless: () => boolean = () => true;
  #onQuiet: () => void = () => {};

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** Why it is over; undefined while it is not. */
  get why(): UpstreamError | undefined {
    return this.#why;
  }

  /** Ends it too when `subscribe` calls back, unless the link is not silent and `isWorthless` says no. */
  endOn(subscribe: OnSilence, isWorthless: () => boolean = () => true): void {
    this.#isWorthless = isWorthless;
    const end = subscribe((silence) => {
      if (this.#why !== undefined) return;
      if (silence === "quiet") return this.#onQuiet();
      if (silence === "suspect" && !this.#isWorthless()) return;
      this.#end(new UpstreamError("Nothing is heard from it on the link", false));
    });
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

  /** The answer has begun: from now on only the caller ends it, or a suspicion when `givesUp` agrees. */
  onAnswer({ givesUp, onQuiet }: MiddleOfAnswer = {}): void {
    if (givesUp !== undefined) {
      this.#isWorthless = givesUp;
      if (onQuiet !== undefined) this.#onQuiet = onQuiet;
      return;
    }
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
