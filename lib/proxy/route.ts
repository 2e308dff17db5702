/**
 * Which target a request goes to: a pure decision over what happened to the requests before it.
 *
 * Targets are ranked by the time after which a reader would have something to read: waiting for a slot, the part of the
 * prompt that is not cached there, the first words, and the way. Tiers come before times: who is heard before
 * suspects, who did not fail lately before who did, a free slot before none. A conversation stays where it was
 * answered last, unless that target is busy or much slower (it spills). Among near equals two are drawn and the less
 * busy one is taken, so that entry nodes that know the same do not all choose the same
 * (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001).
 *
 * @module
 */
import { LruMap } from "../base/lru.ts";
import type { Rng } from "../base/rng.ts";
import { type Beginning, NO_BEGINNING } from "./conversation.ts";
import type { Target } from "./ports.ts";
import { RetryBudget } from "./retry_budget.ts";
import { type Speed, Speeds, type Timings } from "./speeds.ts";
import { TargetHealth } from "./target_health.ts";

/** Conversations and shared instructions whose last target is remembered. */
const CONVERSATIONS_MAX = 4096;
/** Bytes of JSON for one token of a prompt, roughly, in the languages of most prompts. */
const BYTES_PER_TOKEN = 4;
/** Words that a reader wants to see before the answer has begun for them. */
const FIRST_TOKENS = 16;
/** What differs by less than a fifth, or by so few milliseconds, is equal: figures are no better than that. */
const EQUAL_FACTOR = 1.2;
const EQUAL_MS = 5;
/** A conversation stays while its target takes at most so much longer than the best one. */
const STAY_FACTOR = 2;
const STAY_MS = 50;

/** Something happened to a request. */
export type RouteEvent =
  /** A request came to this node. */
  | { readonly kind: "received" }
  | { readonly kind: "sent"; readonly nodeId: string }
  /** The first byte of an answer is here. */
  | {
    readonly kind: "answered";
    readonly nodeId: string;
    readonly model: string;
    readonly beginning?: Beginning | undefined;
    /** It had failed elsewhere: it gives back what it took by {@link Router.mayRetry}. @default {false} */
    readonly isRetry?: boolean;
  }
  /** It gave no answer, or broke one off. Not: it said that it is busy. */
  | { readonly kind: "failed"; readonly nodeId: string }
  /** What was asked anew is not wanted any more: it gives back what it took by {@link Router.mayRetry}. */
  | { readonly kind: "withdrawn" }
  /** An answer is complete. */
  | {
    readonly kind: "ended";
    readonly nodeId: string;
    readonly model: string;
    /** From sending the request to the end of the answer. */
    readonly serviceMs: number;
    readonly timings?: Timings | undefined;
  };

/** A target, and how much of its work is this node's. */
export interface Candidate {
  readonly target: Target;
  /** Requests that this node has there. */
  readonly busyCount: number;
}

/** What is to be routed. */
export interface RouteRequest {
  readonly model: string;
  readonly bodyBytes: number;
  readonly beginning?: Beginning | undefined;
  /** Where the request has a slot: others need one first. */
  readonly pool?: "here" | "elsewhere" | undefined;
}

/** A target in its place, and why. */
export interface Ranked {
  readonly target: Target;
  /** Lower comes first; see {@link tierOf}. */
  readonly tier: number;
  readonly expectedMs: number;
  /** The conversation was answered there last. */
  readonly isHome: boolean;
}

/** The order in which to try. */
export interface Ranking {
  readonly order: readonly Ranked[];
  /** The conversation has a home among the targets, and goes elsewhere. */
  readonly isSpilled: boolean;
}

/** Remembers what happened, and ranks. */
export class Router {
  readonly #rng: Rng;
  readonly #speeds = new Speeds();
  readonly #health: TargetHealth;
  readonly #budget = new RetryBudget();
  readonly #homes = new LruMap<string, string>(CONVERSATIONS_MAX);

  constructor(rng: Rng) {
    this.#rng = rng;
    this.#health = new TargetHealth(rng);
  }

  /** Takes in what happened. */
  handle(event: RouteEvent, nowMs: number): void {
    switch (event.kind) {
      case "received":
        return this.#budget.earn();
      case "sent":
        return this.#health.sent(event.nodeId, nowMs);
      case "failed":
        return this.#health.failed(event.nodeId, nowMs);
      case "withdrawn":
        return this.#budget.giveBack();
      case "answered":
        this.#health.answered(event.nodeId);
        if (event.isRetry === true) this.#budget.giveBack();
        return this.#settle(event.model, event.beginning, event.nodeId);
      case "ended":
        return this.#speeds.measured(event.nodeId, event.model, event);
    }
  }

  /** Takes one try from the budget for retries; false when none is left. */
  mayRetry(nowMs: number): boolean {
    return this.#budget.take(nowMs);
  }

  /** Whether the node failed lately, and it is not time to probe it. */
  isAvoided(nodeId: string, nowMs: number): boolean {
    return this.#health.standing(nodeId, nowMs) === "avoided";
  }

  /** The order in which the candidates are to be tried. */
  rank(request: RouteRequest, candidates: readonly Candidate[], nowMs: number): Ranking {
    const speeds = this.#speeds.of(candidates.map(({ target }) => target.nodeId), request.model);
    const home = this.#homeOf(request, "conversation");
    const shared = this.#homeOf(request, "shared");
    const ranked = candidates.map((candidate, i): Ranked & { readonly load: number } => {
      const { target, busyCount } = candidate;
      const isHome = target.nodeId === home;
      const cached = cachedShare(request, { isHome, isShared: target.nodeId === shared });
      const standing = this.#health.standing(target.nodeId, nowMs);
      return {
        target,
        tier: tierOf(candidate, { pool: request.pool, isAvoided: standing === "avoided" }),
        expectedMs: expectedMs(candidate, speeds[i]!, tokensOf(request) * (1 - cached)),
        isHome,
        load: busyCount / target.slots,
      };
    });
    ranked.sort((a, b) => a.tier - b.tier || a.expectedMs - b.expectedMs || a.load - b.load);
    const first = this.#first(ranked, nowMs);
    const order = first === undefined ? [] : [first, ...ranked.filter((one) => one !== first)];
    return { order, isSpilled: first?.isHome === false && ranked.some(({ isHome }) => isHome) };
  }

  #first<R extends Ranked & { readonly load: number }>(
    ranked: readonly R[],
    nowMs: number,
  ): R | undefined {
    const best = ranked[0];
    if (best === undefined || ranked.length === 1) return best;
    // One request finds out whether a target is back; it is tried elsewhere when it is not.
    const probed = ranked.find(({ target, tier }) =>
      tier === best.tier && this.#health.standing(target.nodeId, nowMs) === "to be probed"
    );
    if (probed !== undefined) return probed;
    const peers = ranked.filter(({ tier }) => tier === best.tier);
    const home = peers.find(({ isHome }) => isHome);
    if (
      home !== undefined && home.expectedMs <= best.expectedMs * STAY_FACTOR + STAY_MS
    ) return home;
    return this.#twoChoices(peers, best);
  }

  /** This node, when it is as good as any; of others as good as the best, the less busy of two. */
  #twoChoices<R extends Ranked & { readonly load: number }>(peers: readonly R[], best: R): R {
    const equals = peers.filter(({ expectedMs: ms }) =>
      ms <= best.expectedMs * EQUAL_FACTOR + EQUAL_MS
    );
    const own = equals.find(({ target }) => target.isRemote !== true);
    if (own !== undefined || equals.length < 2) return own ?? best;
    const at = Math.floor(this.#rng.next() * equals.length);
    const other = Math.floor(this.#rng.next() * (equals.length - 1));
    const one = equals[at] ?? best;
    const two = equals[other < at ? other : other + 1] ?? best;
    if (one.load !== two.load) return one.load < two.load ? one : two;
    return one.expectedMs <= two.expectedMs ? one : two;
  }

  #settle(model: string, beginning: Beginning | undefined, nodeId: string): void {
    const { conversation, shared } = beginning ?? NO_BEGINNING;
    if (conversation !== undefined) this.#homes.set(`${model} ${conversation}`, nodeId);
    if (shared !== undefined) this.#homes.set(`${model} ${shared}`, nodeId);
  }

  #homeOf(
    { model, beginning }: RouteRequest,
    part: "conversation" | "shared",
  ): string | undefined {
    const hash = beginning?.[part];
    return hash === undefined ? undefined : this.#homes.get(`${model} ${hash}`);
  }
}

/** Tiers: 8 nothing is heard from it, 4 it failed lately, 2 no free slot, 1 not where the request has its slot. */
function tierOf(
  { target, busyCount }: Candidate,
  of: { readonly pool: RouteRequest["pool"]; readonly isAvoided: boolean },
): number {
  const pool = target.isRemote === true ? "elsewhere" : "here";
  return (target.isSuspect === true ? 8 : 0) + (of.isAvoided ? 4 : 0) +
    (busyCount < target.slots ? 0 : 2) + (of.pool === undefined || of.pool === pool ? 0 : 1);
}

/** Which share of the prompt the target has in its cache, as far as one can know. */
function cachedShare(
  { beginning, bodyBytes }: RouteRequest,
  is: { readonly isHome: boolean; readonly isShared: boolean },
): number {
  // The last turns are new.
  if (is.isHome) return 0.9;
  if (!is.isShared || beginning === undefined || bodyBytes === 0) return 0;
  return Math.min(0.9, beginning.sharedBytes / bodyBytes);
}

function tokensOf({ bodyBytes }: RouteRequest): number {
  return bodyBytes / BYTES_PER_TOKEN;
}

function expectedMs(
  { target, busyCount }: Candidate,
  speed: Speed,
  newTokens: number,
): number {
  const waiting = Math.max(0, busyCount - target.slots + 1);
  const queueMs = (waiting / target.slots) * speed.serviceMs;
  return queueMs + newTokens * speed.prefillMs + FIRST_TOKENS * speed.decodeMs +
    (target.rttMs ?? 0);
}
