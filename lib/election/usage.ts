/** How a model that this node serves is used: how busy its slots are, how long answers take, when it was last asked. */
import { steadyQuarter, steadyStep } from "./steps.ts";

/** How fast the mean share of busy slots follows: after so long, half of the way. */
const BUSY_HALF_MS = 15_000;
/** Weight of one more answer in the mean time of answers. */
const SERVICE_WEIGHT = 0.1;
/** Steps of what is told of that mean. */
const SERVICE_STEP = { ratio: 2, slack: 0.3 };
/** A model is in use as long as somebody asked within this. */
export const UNUSED_MS = 3_600_000;

/** Meters one hosted model. */
export class Usage {
  readonly #slots: number;
  #running = 0;
  #waiting = 0;
  #busy = 0;
  #atMs: number;
  #usedMs: number;
  #serviceMs: number | undefined;
  #toldBusy = 0;
  #toldServiceMs = 0;

  /** @param slots requests answered at once, at least 1 */
  constructor(slots: number, nowMs: number) {
    this.#slots = Math.max(1, slots);
    this.#atMs = nowMs;
    this.#usedMs = nowMs;
  }

  /** Requests that are answered and that wait from now on. */
  load(
    { running, waiting }: { readonly running: number; readonly waiting: number },
    nowMs: number,
  ): void {
    this.#advance(nowMs);
    if (running > 0 || waiting > 0) this.#usedMs = nowMs;
    this.#running = running;
    this.#waiting = waiting;
  }

  /** A request was answered to its end. */
  answered(serviceMs: number): void {
    const mean = this.#serviceMs ?? serviceMs;
    this.#serviceMs = mean + (serviceMs - mean) * SERVICE_WEIGHT;
  }

  #advance(nowMs: number): void {
    const passedMs = Math.max(0, nowMs - this.#atMs);
    const share = Math.min(1, (this.#running + this.#waiting) / this.#slots);
    if (share > 0) this.#usedMs = Math.max(this.#usedMs, nowMs);
    this.#busy = share + (this.#busy - share) * 2 ** (-passedMs / BUSY_HALF_MS);
    this.#atMs = Math.max(this.#atMs, nowMs);
  }

  /** What the record says of it. */
  told(
    nowMs: number,
  ): { readonly busy: number; readonly serviceMs: number | undefined; readonly unusedMs: number } {
    this.#advance(nowMs);
    this.#toldBusy = steadyQuarter(this.#busy, this.#toldBusy);
    this.#toldServiceMs = steadyStep(this.#serviceMs ?? 0, this.#toldServiceMs, SERVICE_STEP);
    return {
      busy: this.#toldBusy,
      serviceMs: this.#serviceMs === undefined ? undefined : this.#toldServiceMs,
      unusedMs: unusedStep(nowMs - this.#usedMs),
    };
  }
}

/** 0 for less than an hour, then 1, 2, 4 … hours. */
function unusedStep(unusedMs: number): number {
  if (unusedMs < UNUSED_MS) return 0;
  return UNUSED_MS * 2 ** Math.floor(Math.log2(unusedMs / UNUSED_MS));
}
