/**
 * How much each model is asked for. A member counts what its own callers ask for and nothing that another member
 * passes on, so the sum over all members counts every request once.
 */
import type { DemandReport, ElectionMember } from "./ports.ts";
import { steadyStep } from "./steps.ts";

/** After so long without requests half of a rate is left. */
const HALF_LIFE_MS = 120_000;
const MINUTE_MS = 60_000;
/** Of a steady stream, so many that have not decayed yet give its rate: what one request adds to it. */
export const PER_MINUTE_OF_ONE = Math.LN2 * MINUTE_MS / HALF_LIFE_MS;
/** Models counted at once; the least asked-for is forgotten. */
const COUNTED_MAX = 64;
/** Models of one report: what one member can make others care about. */
export const REPORTED_MAX = 16;
/** Requests a minute that one member is believed, for one model. */
export const PER_MINUTE_MAX = 1_024;
/** Steps of what is told, followed downwards once a rate is well below its step. */
const STEP = { ratio: Math.SQRT2, slack: 0.25 };
/** A rate below this is none: one request is forgotten after some four minutes. */
const PER_MINUTE_MIN = 0.1;

interface Rate {
  /** Requests a minute at `atMs`. */
  perMinute: number;
  atMs: number;
  told: number;
}

/** Counts what comes in at one node. */
export class DemandMeter {
  readonly #rates = new Map<string, Rate>();

  /**
   * Counts requests for a model that is known: served, on a disk of the mesh, in the catalogue, or asked for by
   * flag. Other names are not to be counted: anybody can invent them.
   *
   * @returns whether the report has changed by it, so that others should hear soon
   */
  count(id: string, nowMs: number, requests = 1): boolean {
    const rate = this.#open(id, nowMs);
    rate.perMinute = decayed(rate, nowMs) + PER_MINUTE_OF_ONE * requests;
    rate.atMs = nowMs;
    return this.#tell(rate, nowMs);
  }

  #open(id: string, nowMs: number): Rate {
    const known = this.#rates.get(id);
    if (known !== undefined) return known;
    if (this.#rates.size >= COUNTED_MAX) this.#forgetLeast(nowMs);
    const rate = { perMinute: 0, atMs: nowMs, told: 0 };
    this.#rates.set(id, rate);
    return rate;
  }

  #forgetLeast(nowMs: number): void {
    const [least] = [...this.#rates].sort(([, a], [, b]) => decayed(a, nowMs) - decayed(b, nowMs));
    if (least !== undefined) this.#rates.delete(least[0]);
  }

  #tell(rate: Rate, nowMs: number): boolean {
    const perMinute = decayed(rate, nowMs);
    const before = rate.told;
    const isNone = perMinute < PER_MINUTE_MIN;
    rate.told = isNone ? 0 : Math.min(PER_MINUTE_MAX, steadyStep(perMinute, before, STEP));
    return rate.told !== before;
  }

  /** What to tell the mesh now, in the order of names. */
  report(nowMs: number): readonly DemandReport[] {
    for (const [id, rate] of this.#rates) {
      this.#tell(rate, nowMs);
      if (rate.told === 0) this.#rates.delete(id);
    }
    return [...this.#rates]
      .map(([id, { told }]) => ({ id, perMinute: told }))
      .sort(byDemand)
      .slice(0, REPORTED_MAX)
      .sort((a, b) => compareText(a.id, b.id));
  }
}

function decayed({ perMinute, atMs }: Rate, nowMs: number): number {
  return perMinute * 2 ** (-Math.max(0, nowMs - atMs) / HALF_LIFE_MS);
}

function byDemand(a: DemandReport, b: DemandReport): number {
  return b.perMinute - a.perMinute || compareText(a.id, b.id);
}

/** By code units, which is the same on every machine. */
export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Requests a minute over all members, by model. No member is believed more than {@link PER_MINUTE_MAX} for a
 * model nor more than {@link REPORTED_MAX} models, nor anything about one model twice; models that `isKnown`
 * does not know count for nothing.
 */
export function sumDemand(
  members: readonly ElectionMember[],
  isKnown: (id: string) => boolean,
): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const { demand } of members) {
    const reports = new Map<string, number>();
    for (const { id, perMinute } of demand.slice(0, REPORTED_MAX)) {
      if (perMinute > 0 && isKnown(id)) reports.set(id, Math.min(perMinute, PER_MINUTE_MAX));
    }
    for (const [id, perMinute] of reports) sums.set(id, (sums.get(id) ?? 0) + perMinute);
  }
  return sums;
}
