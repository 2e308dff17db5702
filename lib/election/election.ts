/**
 * The election machine of one node. There is no vote: every node makes the same plan from the same records, and
 * each does what the plan says of itself, after a short random wait in which somebody else may have begun. Two hosts
 * of one model do no harm; the one that is not in the plan drains after a while. Pure: its driver says what the
 * node sees and does what the effects say.
 */
import { assertNever } from "../base/errors.ts";
import type { Rng } from "../base/rng.ts";
import type { NodeId } from "../mesh/ids.ts";
import { Avoidance } from "./avoidance.ts";
import { shortageOf } from "./capacity.ts";
import { hostWords } from "./explain.ts";
import { Intents, type Wait } from "./intents.ts";
import { planMesh } from "./plan.ts";
import type {
  AvoidedModel,
  ElectionMember,
  HostCause,
  HostedModel,
  MeshPlan,
  MeshView,
  ModelPlan,
} from "./ports.ts";
import { MemberWatch } from "./watch.ts";

/** After the first view: until then others that are here may not be seen yet. */
const SETTLE_MS = 3_000;
/** Wait before a load, the rest of it by chance: nobody serves the model; its hosts are full. */
const FIRST_WAIT = { baseMs: 200, chanceMs: 1_300 };
const REPLICA_WAIT = { baseMs: 5_000, chanceMs: 10_000 };
/** Wait before a host that is not needed drains. */
const SURPLUS_WAIT = { baseMs: 120_000, chanceMs: 60_000 };
/** An order of which nothing is seen is given again after so long. */
const ORDER_MS = 15_000;

/** What happened. */
export type ElectionInput =
  /** Who is here and what each is like, this node too; on every change of any of it. */
  | { readonly kind: "view"; readonly view: MeshView }
  /** A load of this node failed, or its engine did for good. */
  | { readonly kind: "failed"; readonly id: string }
  /** A person dropped a model here: it is not taken on again for a while. */
  | { readonly kind: "dropped_by_hand"; readonly id: string }
  /** A person asked for a model here: nothing stands against it any more. */
  | { readonly kind: "asked_by_hand"; readonly id: string }
  /** The node goes: it takes nothing on any more. */
  | { readonly kind: "leaving" }
  /** {@link Election.wakeAtMs} has come. Harmless at any other time. */
  | { readonly kind: "tick" };

/** What is to be done. */
export type ElectionEffect =
  /** The reason says why this node is host: "only member left that has it and 6 GiB free for it". */
  | { readonly kind: "load"; readonly id: string; readonly reason: string }
  /** Let running requests end, then stop; or give up a load. */
  | { readonly kind: "drop"; readonly id: string; readonly reason: string }
  /** The node has nothing to serve. */
  | { readonly kind: "stand_by"; readonly reason: string }
  /** This is what the record has to say from now on. */
  | { readonly kind: "avoid"; readonly models: readonly AvoidedModel[] };

/** What the machine needs. */
export interface ElectionOptions {
  readonly self: NodeId;
  readonly rng: Rng;
  /** Makes the plan; simulations share one plan among nodes that see the same. @default {planMesh} */
  readonly plan?: (view: MeshView) => MeshPlan;
}

/** The machine. */
export class Election {
  readonly #self: NodeId;
  readonly #makePlan: (view: MeshView) => MeshPlan;
  readonly #watch = new MemberWatch();
  readonly #avoidance: Avoidance;
  readonly #intents: Intents;
  readonly #orders = new Map<string, number>();
  #view: MeshView | undefined;
  #plan: MeshPlan = { models: [] };
  #settledMs = Number.POSITIVE_INFINITY;
  #isLeaving = false;
  #isStandby = false;
  #told = "[]";

  constructor({ self, rng, plan = planMesh }: ElectionOptions) {
    this.#self = self;
    this.#makePlan = plan;
    this.#avoidance = new Avoidance(rng);
    this.#intents = new Intents(rng);
  }

  /** Takes in what happened and says what is to be done, in this order. */
  handle(input: ElectionInput, nowMs: number): readonly ElectionEffect[] {
    switch (input.kind) {
      case "view":
        if (this.#view === undefined) this.#settledMs = nowMs + SETTLE_MS;
        this.#view = input.view;
        break;
      case "failed":
        this.#orders.delete(input.id);
        this.#avoidance.failed(input.id, nowMs);
        break;
      case "dropped_by_hand":
        this.#avoidance.dropped(input.id, nowMs);
        break;
      case "asked_by_hand":
        this.#avoidance.forgive(input.id);
        break;
      case "leaving":
        this.#isLeaving = true;
        break;
      case "tick":
        break;
      default:
        return assertNever(input);
    }
    return [...this.#tellAvoided(nowMs), ...this.#decide(nowMs)];
  }

  /** The plan by which this node acts, for status and explanations. */
  get plan(): MeshPlan {
    return this.#plan;
  }

  /** When to send a tick; undefined when nothing happens by itself. */
  wakeAtMs(nowMs: number): number | undefined {
    const settle = this.#settledMs > nowMs && Number.isFinite(this.#settledMs)
      ? [this.#settledMs]
      : [];
    const next = [
      ...settle,
      ...[...this.#orders.values()].filter((dueMs) => dueMs > nowMs),
      ...[this.#intents, this.#watch, this.#avoidance].flatMap((part) =>
        part.wakeAtMs(nowMs) ?? []
      ),
    ];
    return next.length === 0 ? undefined : Math.min(...next);
  }

  #tellAvoided(nowMs: number): readonly ElectionEffect[] {
    const models = this.#avoidance.list(nowMs);
    const text = JSON.stringify(models);
    if (text === this.#told) return [];
    this.#told = text;
    return [{ kind: "avoid", models }];
  }

  #decide(nowMs: number): readonly ElectionEffect[] {
    const seen = this.#view;
    if (seen === undefined) return [];
    const view = this.#refresh(seen, nowMs);
    const self = view.members.find(({ node }) => node === this.#self);
    if (self === undefined) return [];
    this.#settleOrders(self, nowMs);
    if (this.#isLeaving || self.isLeaving || !self.mayServe) return [];
    const planned = plannedFor(this.#plan, this.#self);
    const loads = this.#arrivals(self, planned).filter(({ cause }) =>
      cause.kind === "asked_here" || nowMs >= this.#settledMs
    );
    const surplus = nowMs < this.#settledMs ? [] : this.#surplus(self, planned);
    this.#intents.follow(
      [
        ...loads.map(({ id, cause }) => ({ key: `load ${id}`, wait: waitOf(cause) })),
        ...surplus.map(({ id }) => ({ key: `drop ${id}`, wait: SURPLUS_WAIT })),
      ],
      nowMs,
    );
    const effects = [
      ...this.#load(self, { loads, surplus, nowMs }),
      ...this.#drop(surplus, nowMs),
    ];
    return [...effects, ...this.#standBy(self, planned.size + effects.length)];
  }

  /** Makes the plan of now; the view is what it was made from. */
  #refresh(seen: MeshView, nowMs: number): MeshView {
    const make = (): MeshView => {
      const view = this.#withOwn(this.#watch.correct(seen, nowMs), nowMs);
      this.#plan = this.#makePlan(view);
      return view;
    };
    const view = make();
    return this.#watch.observe(seen, this.#plan, nowMs) ? make() : view;
  }

  /** What this node avoids it knows before its record says it. */
  #withOwn(view: MeshView, nowMs: number): MeshView {
    const avoids = this.#avoidance.list(nowMs);
    const isSame = (own: ElectionMember): boolean =>
      JSON.stringify(own.avoids) === JSON.stringify(avoids);
    if (view.members.every((member) => member.node !== this.#self || isSame(member))) return view;
    return {
      members: view.members.map((member) =>
        member.node === this.#self ? { ...member, avoids } : member
      ),
    };
  }

  /** What is to come here. */
  #arrivals(
    self: ElectionMember,
    planned: ReadonlyMap<string, HostCause>,
  ): readonly Arrival[] {
    const hosted = new Set(self.hosted.map(({ id }) => id));
    const avoided = new Set(self.avoids.map(({ id }) => id));
    const isFree = self.hosted.length < self.modelsMax;
    // The plan counts in coarse steps; what was asked for here may find room in the engine's own count.
    const asked = self.asksHere.filter((id) => isFree && !planned.has(id) && !avoided.has(id));
    return [
      ...[...planned].map(([id, cause]) => ({ id, cause })),
      ...asked.map((id) => ({ id, cause: { kind: "asked_here" } as const })),
    ].filter(({ id }) => !hosted.has(id));
  }

  /** What runs here and is not to, or not any more. */
  #surplus(
    self: ElectionMember,
    planned: ReadonlyMap<string, HostCause>,
  ): readonly HostedModel[] {
    return self.hosted.filter(({ id, state }) =>
      state !== "draining" && !planned.has(id) && !self.asksHere.includes(id)
    );
  }

  /** Loads what is due, or first makes room for it. */
  #load(self: ElectionMember, { loads, surplus, nowMs }: LoadWork): readonly ElectionEffect[] {
    const effects: ElectionEffect[] = [];
    for (const { id, cause } of loads) {
      if (!this.#intents.isDue(`load ${id}`, nowMs) || this.#isOrdered(`load ${id}`, nowMs)) {
        continue;
      }
      if (hasRoom(self, id)) {
        effects.push({ kind: "load", id, reason: hostWords(cause) });
        this.#orders.set(`load ${id}`, nowMs + ORDER_MS);
        continue;
      }
      for (const { id: other } of surplus) {
        if (!this.#mayDrop(other) || this.#isOrdered(`drop ${other}`, nowMs)) continue;
        effects.push({ kind: "drop", id: other, reason: `makes room for ${id}` });
        this.#orders.set(`drop ${other}`, nowMs + ORDER_MS);
      }
    }
    return effects;
  }

  #drop(surplus: readonly HostedModel[], nowMs: number): readonly ElectionEffect[] {
    const effects: ElectionEffect[] = [];
    for (const { id } of surplus) {
      if (!this.#intents.isDue(`drop ${id}`, nowMs) || this.#isOrdered(`drop ${id}`, nowMs)) {
        continue;
      }
      if (!this.#mayDrop(id)) continue;
      effects.push({ kind: "drop", id, reason: "enough other members serve it" });
      this.#orders.set(`drop ${id}`, nowMs + ORDER_MS);
    }
    return effects;
  }

  /** Nothing is dropped before another host answers, unless it gives way for good. */
  #mayDrop(id: string): boolean {
    const hosts = modelOf(this.#plan, id)?.hosts ?? [];
    return hosts.length === 0 ||
      hosts.some(({ node }) =>
        node !== this.#self &&
        this.#view?.members.some((member) =>
            member.node === node &&
            member.hosted.some((model) => model.id === id && model.state === "serving")
          ) === true
      );
  }

  #isOrdered(order: string, nowMs: number): boolean {
    return (this.#orders.get(order) ?? nowMs) > nowMs;
  }

  /** Orders that were obeyed are over. */
  #settleOrders(self: ElectionMember, nowMs: number): void {
    for (const [order, dueMs] of this.#orders) {
      const [verb, id] = [order.slice(0, 4), order.slice(5)];
      const model = self.hosted.find((one) => one.id === id);
      const isDone = verb === "load"
        ? model !== undefined
        : model === undefined || model.state === "draining";
      if (isDone || dueMs <= nowMs) this.#orders.delete(order);
    }
  }

  #standBy(self: ElectionMember, busy: number): readonly ElectionEffect[] {
    const isStandby = busy === 0 && self.hosted.length === 0;
    if (isStandby === this.#isStandby) return [];
    this.#isStandby = isStandby;
    if (!isStandby) return [];
    const unserved = this.#plan.models.filter(({ hosts }) => hosts.length === 0);
    const reason = unserved.length === 0
      ? "every model that is asked for has a host"
      : `cannot hold ${unserved.map(({ id }) => id).join(", ")}`;
    return [{ kind: "stand_by", reason }];
  }
}

interface Arrival {
  readonly id: string;
  readonly cause: HostCause;
}

interface LoadWork {
  readonly loads: readonly Arrival[];
  readonly surplus: readonly HostedModel[];
  readonly nowMs: number;
}

function waitOf(cause: HostCause): Wait {
  if (cause.kind === "asked_here") return { baseMs: 0, chanceMs: 0 };
  return cause.kind === "replica" ? REPLICA_WAIT : FIRST_WAIT;
}

/** Whether a model can be loaded beside all that is still there. */
function hasRoom(
  { hosted, modelsMax, devices, onDisk, fetchable }: ElectionMember,
  id: string,
): boolean {
  if (hosted.length >= modelsMax) return false;
  const offer = [...onDisk, ...fetchable].find((one) => one.id === id);
  // Alone it may load whatever the coarse numbers say: the engine counts exactly.
  if (offer === undefined || hosted.length === 0) return true;
  return shortageOf(offer.needs, devices, hosted.map(({ needs }) => needs)) === undefined;
}

function modelOf(plan: MeshPlan, id: string): ModelPlan | undefined {
  return plan.models.find((model) => model.id === id);
}

function plannedFor(plan: MeshPlan, node: NodeId): ReadonlyMap<string, HostCause> {
  return new Map(
    plan.models.flatMap(({ id, hosts }) =>
      hosts.filter((host) => host.node === node).map(({ cause }) => [id, cause] as const)
    ),
  );
}
