/** Tries several ways to one goal, each a moment after the one before; the first that works wins. */
import type { Timers } from "~/base/clock.ts";
import { messageOf } from "~/base/errors.ts";

/** How ways are tried. */
export interface RaceOptions<Way, Won> {
  readonly ways: readonly Way[];
  /** Must end soon after its signal is aborted. */
  readonly attempt: (way: Way, signal: AbortSignal) => Promise<Won>;
  /** Called with what won too late. */
  readonly discard: (won: Won) => void;
  /** For messages. */
  readonly nameOf: (way: Way) => string;
  readonly timers: Timers;
  /** Before the next way is tried while those before are still under way, in milliseconds. */
  readonly staggerMs: number;
  /** For all of it, in milliseconds. */
  readonly limitMs: number;
  /** Ends it from outside. */
  readonly signal?: AbortSignal;
}

/** Every way failed; the message names each with its cause. */
export class RaceLostError extends Error {
  override readonly name = "RaceLostError";
  readonly causes: readonly unknown[];

  constructor(message: string, causes: readonly unknown[]) {
    super(message);
    this.causes = causes;
  }
}

/**
 * Runs the race.
 *
 * @throws {RaceLostError} when no way worked
 */
export async function raceWays<Way, Won>(options: RaceOptions<Way, Won>): Promise<Won> {
  const race = new Race(options);
  return await race.run();
}

class Race<Way, Won> {
  readonly #options: RaceOptions<Way, Won>;
  readonly #ended = new AbortController();
  readonly #result = Promise.withResolvers<Won>();
  readonly #failures: { readonly text: string; readonly cause: unknown }[] = [];
  #next = 0;
  #running = 0;
  #cancelStagger: () => void = () => {};
  #isOver = false;

  constructor(options: RaceOptions<Way, Won>) {
    this.#options = options;
  }

  async run(): Promise<Won> {
    const { timers, limitMs, signal } = this.#options;
    const cancelLimit = timers.after(limitMs, () => this.#giveUp(`no answer in ${limitMs} ms`));
    const onAbort = (): void => this.#giveUp("it was given up");
    signal?.addEventListener("abort", onAbort, { once: true });
    if (signal?.aborted) onAbort();
    else this.#startNext();
    try {
      return await this.#result.promise;
    } finally {
      this.#isOver = true;
      cancelLimit();
      this.#cancelStagger();
      signal?.removeEventListener("abort", onAbort);
      this.#ended.abort();
    }
  }

  #startNext(): void {
    this.#cancelStagger();
    if (this.#isOver) return;
    const way = this.#options.ways[this.#next];
    if (way === undefined) {
      if (this.#running === 0) this.#lose();
      return;
    }
    this.#next += 1;
    this.#running += 1;
    this.#options.attempt(way, this.#ended.signal).then(
      (won) => this.#win(won),
      (error) => this.#fail(way, error),
    );
    this.#cancelStagger = this.#options.timers.after(
      this.#options.staggerMs,
      () => this.#startNext(),
    );
  }

  #win(won: Won): void {
    if (this.#isOver) return this.#options.discard(won);
    this.#isOver = true;
    this.#result.resolve(won);
  }

  #fail(way: Way, cause: unknown): void {
    this.#running -= 1;
    if (this.#isOver) return;
    this.#failures.push({ text: `${this.#options.nameOf(way)}: ${messageOf(cause)}`, cause });
    this.#startNext();
  }

  #giveUp(why: string): void {
    const silent = this.#options.ways.slice(0, this.#next).map((way) => this.#options.nameOf(way))
      .filter((name) => !this.#failures.some(({ text }) => text.startsWith(`${name}: `)));
    for (const name of silent) this.#failures.push({ text: `${name}: ${why}`, cause: why });
    this.#lose();
  }

  #lose(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const texts = this.#failures.map(({ text }) => text);
    this.#result.reject(
      new RaceLostError(
        texts.length === 0 ? "there is no address" : texts.join("; "),
        this.#failures.map(({ cause }) => cause),
      ),
    );
  }
}
