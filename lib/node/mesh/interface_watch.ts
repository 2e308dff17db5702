/** Notices when the machine gets other addresses: nobody tells it, so it looks now and then. */
import type { CancelTimer, Timers } from "~/base/clock.ts";

/** Between two looks; one costs some microseconds. */
const LOOK_MS = 5_000;
/** Addresses of before that are remembered: a laptop that wanders has a few a day. */
const FORMER_MAX = 64;

/** What the watch works with. */
export interface InterfaceWatchOptions {
  /** IP addresses of the interfaces that are up. */
  readonly read: () => readonly string[];
  readonly timers: Timers;
  /** The addresses are not those of the look before. */
  readonly changed: () => void;
}

/** Watches the addresses of the machine. */
export class InterfaceWatch {
  readonly #options: InterfaceWatchOptions;
  readonly #former = new Set<string>();
  #now: readonly string[];
  /** There was a change that nobody was told of yet. */
  #isNews = false;
  #cancel: CancelTimer = () => {};

  constructor(options: InterfaceWatchOptions) {
    this.#options = options;
    this.#now = options.read();
    this.#lookLater();
  }

  /** The addresses of this moment. */
  current(): readonly string[] {
    this.#look();
    return this.#now;
  }

  /** Whether the machine had this address, and has it no more. */
  wasOwn(ip: string): boolean {
    return this.#former.has(ip);
  }

  /** Looks no more. */
  close(): void {
    this.#cancel();
  }

  #look(): void {
    const before = this.#now;
    const now = this.#options.read();
    this.#now = now;
    for (const ip of before) if (!now.includes(ip)) this.#former.add(ip);
    for (const ip of now) this.#former.delete(ip);
    for (const oldest of this.#former) {
      if (this.#former.size <= FORMER_MAX) break;
      this.#former.delete(oldest);
    }
    this.#isNews ||= before.length !== now.length || before.some((ip) => !now.includes(ip));
  }

  #lookLater(): void {
    this.#cancel = this.#options.timers.after(LOOK_MS, () => {
      this.#lookLater();
      this.#look();
      if (!this.#isNews) return;
      this.#isNews = false;
      this.#options.changed();
    });
  }
}
