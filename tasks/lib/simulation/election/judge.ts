/** Watches a simulated mesh and says what went wrong: models without a host, loads for nothing, swings, interruptions. */
import type { ElectionMember } from "~/election/ports.ts";
import { type SimHost, SLOTS } from "./node.ts";

const HOUR_MS = 3_600_000;
/** A model must have a host so long after its first demand. */
const SERVED_MS_MAX = 10_000;
/** A host that died is noticed so late. */
const NOTICED_MS = 5_000;
/** Demand of a model is over so long after its last request. */
const ACTIVE_MS = 60_000;
/** A drop and a load of one model so close together are a swing, unless something happened. */
const SWING_MS = 600_000;
/** A change of demand is felt by hosts and entry nodes within this. */
const HEARD_MS = 60_000;
/** Hosts that are used less than this did not need another. */
const NEEDED_SHARE = 0.5;

/** What the judge knows of the world beyond what nodes say. */
export interface Truth {
  readonly nowMs: number;
  readonly hosts: readonly SimHost[];
  /** Requests a minute on one side, and seconds that each takes. */
  readonly rate: (id: string, side: number) => number;
  readonly serviceMs: (id: string) => number;
}

/** The judge. */
export class Judge {
  readonly faults: string[] = [];
  /** Milliseconds from first demand to first host. */
  readonly waits: number[] = [];
  loads = 0;
  needless = 0;
  drops = 0;
  readonly #truth: Truth;
  readonly #asked = new Map<string, number>();
  readonly #missing = new Map<string, number>();
  readonly #needless = new Map<string, number[]>();
  readonly #dropped = new Map<string, { readonly atMs: number; readonly atOnce: number }>();
  /** Least demand of late, by model and side. */
  readonly #least = new Map<string, { readonly atOnce: number; readonly atMs: number }>();
  #upsetMs = Number.NEGATIVE_INFINITY;
  #graceMs = Number.NEGATIVE_INFINITY;

  constructor(truth: Truth) {
    this.#truth = truth;
  }

  /** A request for a model came in on a side. */
  asked(id: string, side: number): void {
    this.#asked.set(`${side} ${id}`, this.#truth.nowMs);
  }

  /** Somebody died or went, or the network changed: what was right before may be wrong now. */
  upset(): void {
    this.#upsetMs = this.#truth.nowMs;
    this.#graceMs = this.#truth.nowMs + NOTICED_MS;
  }

  /** A load failed, which no plan can foresee: time starts anew. */
  failed(host: SimHost, id: string): void {
    const key = `${host.side} ${id}`;
    if (this.#missing.has(key)) this.#missing.set(key, this.#truth.nowMs);
  }

  /** The sides are others now: who asked on which is open again. */
  divided(): void {
    this.upset();
    this.#asked.clear();
    this.#missing.clear();
  }

  #alive(side: number): readonly SimHost[] {
    return this.#truth.hosts.filter((host) => host.isAlive && host.side === side);
  }

  #serving(id: string, side: number): readonly SimHost[] {
    return this.#alive(side).filter(({ hosted }) =>
      hosted?.id === id && hosted.state === "serving"
    );
  }

  /** The demand of a model is about to change: an election hears of it a while later. */
  turning(id: string, side: number): void {
    const atMs = this.#truth.nowMs;
    this.#least.set(`${side} ${id}`, { atOnce: this.#atOnce(id, side), atMs });
  }

  /** Looks at every model that is in demand. */
  look(): void {
    const { nowMs } = this.#truth;
    for (const [key, atMs] of this.#asked) {
      const [side, id] = [Number(key.slice(0, key.indexOf(" "))), key.slice(key.indexOf(" ") + 1)];
      // Demand that was seen by nobody but a node that died is gone with it.
      const isActive = nowMs - atMs < ACTIVE_MS && this.#truth.rate(id, side) > 0 &&
        this.#canBeHeld(id, side);
      const since = this.#missing.get(key);
      if (!isActive || this.#serving(id, side).length > 0) {
        if (isActive && since !== undefined && since < nowMs) this.waits.push(nowMs - since);
        this.#missing.delete(key);
      } else if (since === undefined) {
        this.#missing.set(key, Math.max(nowMs, this.#graceMs));
      } else if (nowMs - since > SERVED_MS_MAX) {
        this.#fault(`${id} had no host for ${SERVED_MS_MAX} ms on side ${side}`);
        this.#missing.set(key, Number.POSITIVE_INFINITY);
      }
    }
  }

  #canBeHeld(id: string, side: number): boolean {
    return this.#alive(side).some((host) => {
      const { record, plan } = host;
      const offer = record.onDisk.find((one) => one.id === id);
      const isOpen = plan.asksHere.length === 0 || plan.asksHere.includes(id);
      return offer !== undefined && isOpen && fits(record, offer.needs) && this.#isOpen(host, id) &&
        record.avoids.every((one) => one.id !== id);
    });
  }

  /** Nothing stands there that is in use and nowhere else. */
  #isOpen({ hosted, side, record }: SimHost, id: string): boolean {
    if (hosted === undefined || hosted.id === id) return true;
    const isUnused = record.hosted.every(({ unusedMs }) => unusedMs >= HOUR_MS);
    return isUnused && !this.#isActive(hosted.id, side);
  }

  #isActive(id: string, side: number): boolean {
    const atMs = this.#asked.get(`${side} ${id}`) ?? Number.NEGATIVE_INFINITY;
    return this.#truth.nowMs - atMs < ACTIVE_MS;
  }

  /** A load begins. */
  load(host: SimHost, id: string): void {
    const { nowMs } = this.#truth;
    this.loads += 1;
    const others = this.#alive(host.side).filter(({ hosted }) =>
      hosted?.id === id && hosted.state !== "draining"
    );
    const atOnce = this.#atOnce(id, host.side);
    if (others.length > 0 && atOnce / (SLOTS * others.length) < NEEDED_SHARE) {
      this.needless += 1;
      const before = (this.#needless.get(id) ?? []).filter((atMs) => nowMs - atMs < HOUR_MS);
      this.#needless.set(id, [...before, nowMs]);
      if (before.length > 0) this.#fault(`${id} was loaded for nothing twice within an hour`);
    }
    const drop = this.#dropped.get(`${host.side} ${id}`);
    const isSwing = drop !== undefined && nowMs - drop.atMs < SWING_MS &&
      this.#upsetMs < drop.atMs && atOnce < drop.atOnce * 1.5;
    if (isSwing) this.#fault(`${id} was dropped and loaded again after ${nowMs - drop.atMs} ms`);
  }

  /** An election let a model go. */
  drop(host: SimHost, id: string): void {
    const { nowMs } = this.#truth;
    this.drops += 1;
    const before = this.#least.get(`${host.side} ${id}`);
    const isRecent = before !== undefined && nowMs - before.atMs < HEARD_MS;
    const atOnce = Math.min(
      this.#atOnce(id, host.side),
      isRecent ? before.atOnce : Number.POSITIVE_INFINITY,
    );
    this.#dropped.set(`${host.side} ${id}`, { atMs: nowMs, atOnce });
    const isLast = this.#serving(id, host.side).every((other) => other === host);
    if (isLast && this.#isActive(id, host.side) && host.hosted?.state === "serving") {
      this.#fault(`${id} was taken from its only host while it was used`);
    }
  }

  /** Requests that are answered at the same time. */
  #atOnce(id: string, side: number): number {
    return this.#truth.rate(id, side) / 60_000 * this.#truth.serviceMs(id);
  }

  /** Says what nodes of one side do not agree on, or what does not run as it is planned. */
  disagreement(side: number): string | undefined {
    const alive = this.#alive(side);
    const plans = alive.map(({ machine }) =>
      JSON.stringify(
        machine.plan.models.map(({ id, hosts }) => [id, hosts.map(({ node }) => node)]),
      )
    );
    const odd = plans.findIndex((plan) => plan !== plans[0]);
    if (odd >= 0) return `${alive[odd]?.plan.node} has another plan than ${alive[0]?.plan.node}`;
    for (const { id, hosts } of alive[0]?.machine.plan.models ?? []) {
      const planned = hosts.map(({ node }) => node).sort().join(" ");
      const running = alive.filter(({ hosted }) => hosted?.id === id && hosted.state !== "draining")
        .map(({ plan }) => plan.node).sort().join(" ");
      if (planned !== running) return `${id} is planned on ${planned} and runs on ${running}`;
    }
    return undefined;
  }

  #fault(words: string): void {
    this.faults.push(`at ${(this.#truth.nowMs / 1000).toFixed(1)} s ${words}`);
  }
}

function fits(
  { devices }: ElectionMember,
  needs: ElectionMember["onDisk"][number]["needs"],
): boolean {
  const bytes = needs.reduce((sum, need) => sum + need.bytes, 0);
  return bytes <= devices.reduce((sum, { capacityBytes }) => sum + capacityBytes, 0);
}
