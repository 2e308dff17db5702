/**
 * Whether a peer lives, judged by when it was last heard. Pure: told what was heard and what time it is.
 *
 * QUIC runs on our own thread: when our timer ran late we did not listen either, and the time that is missing is
 * not held against the peer.
 */
import type { LinkHealth } from "./link_ports.ts";

/** Between two looks, and between two pings. */
const LOOK_MS = 250;
const PING_MS = 500;
/** Without a sign of life: worth being ready for the worst; no new requests; no path any more; over. */
const QUIET_MS = 1_000;
const SUSPECT_MS = 2_000;
const SILENT_MS = 4_500;
const CLOSED_MS = 15_000;
const LIMITS_MS = [QUIET_MS, SUSPECT_MS, SILENT_MS, CLOSED_MS];
/** A timer that runs later than this says that our own thread was busy. */
const LATE_MS = 250;
/** Pings whose answers are still waited for. */
const OPEN_PINGS_MAX = 64;
/** Weight of a new round trip in the smoothed one, as in RFC 6298. */
const RTT_WEIGHT = 1 / 8;

/** What a look finds. */
export interface HealthLook {
  readonly health: LinkHealth;
  /** True when nothing was heard for 1 s or longer. */
  readonly isQuiet: boolean;
  /** Send a ping with this number. */
  readonly ping: number | undefined;
  /** Look again after this long. */
  readonly nextMs: number;
}

/** The health of one link. */
export class LinkHealthMachine {
  #heardMs: number;
  #dueMs: number;
  #pingMs: number;
  #pings = 0;
  #openPings = new Map<number, number>();
  #rttMs: number | undefined;

  constructor(nowMs: number) {
    this.#heardMs = nowMs;
    this.#dueMs = nowMs;
    this.#pingMs = nowMs;
  }

  /** Smoothed round trip; undefined before the first. */
  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  /** Something came from the peer. */
  heard(nowMs: number): void {
    this.#heardMs = Math.max(this.#heardMs, nowMs);
  }

  /** The answer to ping number `n` came. Numbers that were never sent are nothing. */
  pong(n: number, nowMs: number): void {
    const sentMs = this.#openPings.get(n);
    if (sentMs === undefined) return;
    this.#openPings.delete(n);
    const tookMs = Math.max(0, nowMs - sentMs);
    this.#rttMs = this.#rttMs === undefined
      ? tookMs
      : this.#rttMs + (tookMs - this.#rttMs) * RTT_WEIGHT;
  }

  /** How the link is now; does not move it. */
  healthAt(nowMs: number): LinkHealth {
    const quietMs = nowMs - this.#heardMs;
    if (quietMs >= CLOSED_MS) return "closed";
    if (quietMs >= SILENT_MS) return "silent";
    return quietMs >= SUSPECT_MS ? "suspect" : "live";
  }

  /** Call it when {@link HealthLook.nextMs} have passed. */
  look(nowMs: number): HealthLook {
    const lateMs = nowMs - this.#dueMs;
    if (lateMs > LATE_MS) this.#heardMs = Math.min(nowMs, this.#heardMs + lateMs);
    const nextMs = this.#nextLookMs(nowMs);
    this.#dueMs = nowMs + nextMs;
    const health = this.healthAt(nowMs);
    const isQuiet = nowMs - this.#heardMs >= QUIET_MS;
    return { health, isQuiet, ping: this.#nextPing(nowMs), nextMs };
  }

  /** At the next limit, if that comes before the usual look: a cut answer waits for it. */
  #nextLookMs(nowMs: number): number {
    const quietMs = nowMs - this.#heardMs;
    const limitMs = LIMITS_MS.find((ms) => ms > quietMs) ?? Infinity;
    return Math.min(LOOK_MS, Math.ceil(limitMs - quietMs));
  }

  #nextPing(nowMs: number): number | undefined {
    if (nowMs < this.#pingMs) return undefined;
    this.#pingMs = nowMs + PING_MS;
    this.#pings = (this.#pings + 1) % 2 ** 32;
    this.#openPings.set(this.#pings, nowMs);
    const oldest = this.#openPings.keys().next();
    if (this.#openPings.size > OPEN_PINGS_MAX && !oldest.done) this.#openPings.delete(oldest.value);
    return this.#pings;
  }
}
