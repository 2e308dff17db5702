/** Who holds what in a plan that is being made, and who could take a model on. */
import type { NodeId } from "../mesh/ids.ts";
import { leftOver, type Shortage, shortageOf } from "./capacity.ts";
import { isFull, isSameFile, lot, type ModelFacts } from "./model_facts.ts";
import type {
  DeviceNeed,
  ElectionMember,
  GivenUp,
  HostCause,
  ModelSource,
  OfferedModel,
} from "./ports.ts";

/** Models on one member at most, whatever its record says. */
const MODELS_MAX = 16;

/** Busy share of their slots up to which hosts take over what one of them gives up. */
const SPARE_SHARE = 0.5;

/** A model in a seat. */
export interface Taken {
  readonly id: string;
  readonly fingerprint: string | undefined;
  readonly needs: readonly DeviceNeed[];
  readonly cause: HostCause;
  /** Only what serves can give way: what is about to serve was decided a moment ago. */
  readonly isServing: boolean;
  readonly isPinned: boolean;
}

/** One member, and what the plan puts there. */
export interface Seat {
  readonly member: ElectionMember;
  readonly taken: Taken[];
  /** Kept for a model that was asked for there. */
  isReserved: boolean;
}

/** A way to hold a model. */
export interface Option {
  readonly seat: Seat;
  readonly offer: OfferedModel;
  readonly source: ModelSource;
  readonly instead: GivenUp | undefined;
}

/** Why a member cannot hold a model. */
export type Obstacle =
  | { readonly kind: "holds_it" }
  | { readonly kind: "avoids"; readonly cause: "failed" | "dropped" }
  /** A load there gets nowhere. */
  | { readonly kind: "stalled"; readonly id: string }
  | { readonly kind: "no_file" }
  | { readonly kind: "other_file" }
  /** Even with nothing else there. */
  | { readonly kind: "too_small"; readonly shortage: Shortage; readonly source: ModelSource }
  /** It would fit, were it not for these. */
  | { readonly kind: "occupied"; readonly by: readonly string[]; readonly source: ModelSource }
  | { readonly kind: "reserved"; readonly ids: readonly string[]; readonly source: ModelSource };

/** Where a model comes from and what has to go for it, best first. */
export const TIERS: readonly { readonly source: ModelSource; readonly why?: GivenUp["why"] }[] = [
  { source: "disk" },
  { source: "disk", why: "unused" },
  { source: "fetch" },
  { source: "disk", why: "replica" },
  { source: "fetch", why: "unused" },
  { source: "fetch", why: "replica" },
];

/** The seats of all members that may hold models. */
export class Seats {
  readonly #models: ReadonlyMap<string, ModelFacts>;
  readonly #seats: ReadonlyMap<NodeId, Seat>;

  /** @param members in the order of their ids */
  constructor(members: readonly ElectionMember[], models: ReadonlyMap<string, ModelFacts>) {
    this.#models = models;
    this.#seats = new Map(
      members.map((member) => [member.node, { member, taken: [], isReserved: false }]),
    );
  }

  all(): Iterable<Seat> {
    return this.#seats.values();
  }

  /** What is known of a model. */
  modelOf(id: string): ModelFacts | undefined {
    return this.#models.get(id);
  }

  /** The seat of a member; undefined for one that may not hold models. */
  of(node: NodeId): Seat | undefined {
    return this.#seats.get(node);
  }

  /** Seats that hold a model. */
  holding(id: string): readonly Seat[] {
    return [...this.#seats.values()].filter((seat) => seat.taken.some((taken) => taken.id === id));
  }

  /** How a member could hold a model now, or what stands against it. */
  optionOf(model: ModelFacts, seat: Seat): Option | Obstacle {
    const found = offerOf(model, seat);
    if (!("offer" in found)) return found;
    const { offer, source } = found;
    const needs = seat.taken.map((taken) => taken.needs);
    const isFree = !seat.isReserved && seat.taken.length < modelsMaxOf(seat);
    if (isFree && shortageOf(offer.needs, seat.member.devices, needs) === undefined) {
      return { seat, offer, source, instead: undefined };
    }
    const shortage = shortageOf(offer.needs, seat.member.devices, []);
    if (shortage !== undefined) return { kind: "too_small", shortage, source };
    if (seat.isReserved) return { kind: "reserved", ids: seat.member.asksHere, source };
    const instead = this.#whatGivesWay(seat, offer.needs);
    if (instead !== undefined) return { seat, offer, source, instead };
    return { kind: "occupied", by: seat.taken.map(({ id }) => id), source };
  }

  /** One model whose going makes room; what nobody uses goes before what others serve too. */
  #whatGivesWay(seat: Seat, needs: readonly DeviceNeed[]): GivenUp | undefined {
    if (seat.taken.length > modelsMaxOf(seat)) return undefined;
    const ways = seat.taken.flatMap((taken): GivenUp[] => {
      const why = this.#whyGivesWay(taken);
      const others = seat.taken.filter((other) => other !== taken).map((other) => other.needs);
      if (why === undefined) return [];
      if (shortageOf(needs, seat.member.devices, others) !== undefined) return [];
      return [{ id: taken.id, why }];
    });
    return ways.find(({ why }) => why === "unused") ?? ways[0];
  }

  #whyGivesWay({ id, isPinned, isServing }: Taken): GivenUp["why"] | undefined {
    if (isPinned || !isServing) return undefined;
    if (this.#models.get(id)?.isUnused === true) return "unused";
    return this.#canDoWithout(id) ? "replica" : undefined;
  }

  /**
   * Whether the other hosts of a model could carry what one of them does. Those that are still to come count: whoever
   * gives a model up waits until another serves it.
   */
  #canDoWithout(id: string): boolean {
    const nodes = new Set(this.holding(id).map(({ member }) => member.node));
    const hosts = this.#models.get(id)?.hosts.filter(({ member }) => nodes.has(member.node)) ?? [];
    const busy = hosts.reduce((sum, { model }) => sum + model.busy, 0);
    return nodes.size > 1 && !hosts.some(isFull) && busy <= (nodes.size - 1) * SPARE_SHARE;
  }

  /** Every way to hold a model within one tier, best first. */
  options(model: ModelFacts, { source, why }: (typeof TIERS)[number]): readonly Option[] {
    const found = [...this.#seats.values()].flatMap((seat) => {
      const option = this.optionOf(model, seat);
      return "seat" in option ? [option] : [];
    });
    return found
      .filter((option) => option.source === source && option.instead?.why === why)
      .map((option) => ({ option, rank: rankOf(option) }))
      .sort((a, b) => compareRanks(a.rank, b.rank))
      .map(({ option }) => option);
  }

  /** Puts a model where `option` says. */
  take({ seat, offer, instead }: Option, cause: HostCause, isPinned = false): void {
    if (instead !== undefined) this.remove(seat, instead.id);
    const { id, fingerprint, needs } = offer;
    seat.taken.push({ id, fingerprint, needs, cause, isServing: false, isPinned });
  }

  remove(seat: Seat, id: string): void {
    const index = seat.taken.findIndex((taken) => taken.id === id);
    if (index >= 0) seat.taken.splice(index, 1);
  }
}

function modelsMaxOf({ member }: Seat): number {
  return Math.min(MODELS_MAX, Math.max(1, member.modelsMax));
}

type Offer = { readonly offer: OfferedModel; readonly source: ModelSource };

/** The file that a member has or could fetch. */
function offerOf(model: ModelFacts, { member, taken }: Seat): Offer | Obstacle {
  const { id, fingerprint } = model;
  if (taken.some((one) => one.id === id)) return { kind: "holds_it" };
  const avoided = member.avoids.find((one) => one.id === id);
  if (avoided !== undefined) return { kind: "avoids", cause: avoided.cause };
  const stalled = member.hosted.find((one) => one.isStalled === true);
  if (stalled !== undefined) return { kind: "stalled", id: stalled.id };
  // What is being let go lies on the disk too, whether or not the record still has room to say so.
  const isHere = (one: OfferedModel): boolean => one.id === id && isSameFile(one, fingerprint);
  const onDisk = member.onDisk.find(isHere) ??
    member.hosted.find((one) => isHere(one) && one.state !== "fetching");
  if (onDisk !== undefined) return { offer: onDisk, source: "disk" };
  const fetchable = member.fetchable.find(isHere);
  if (fetchable !== undefined) return { offer: fetchable, source: "fetch" };
  const hasOther = [...member.onDisk, ...member.hosted].some((one) => one.id === id);
  return { kind: hasOther ? "other_file" : "no_file" };
}

/** Ready first, then fast, then the one that keeps least room idle, then by lot. */
function rankOf({ seat, offer, instead }: Option): readonly number[] {
  const { member, taken } = seat;
  const stays = taken.filter(({ id }) => id !== instead?.id);
  return [
    // Something has to go first that is on its way out or not needed any more.
    member.hosted.some(({ id }) => stays.every((one) => one.id !== id)) ? 1 : 0,
    -member.speed,
    leftOver(member.devices, [...stays.map(({ needs }) => needs), offer.needs]),
    lot(offer.id, member.node),
  ];
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  for (const [index, rank] of a.entries()) {
    const difference = rank - (b[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
