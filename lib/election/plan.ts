/**
 * Which member serves which model. A pure function of one view of the mesh: members that see the same make the
 * same plan, whatever order they see it in.
 *
 * What runs stays where it is as long as it is needed; then what somebody asked for gets a host, then what is used;
 * then models whose hosts are all full get one more each. A model asked for where it runs is never taken away.
 */
import { totalOf } from "./capacity.ts";
import { compareText } from "./demand.ts";
import {
  asksHere,
  type HostOf,
  isHostable,
  lot,
  type ModelFacts,
  readModels,
} from "./model_facts.ts";
import type {
  HostCause,
  HostedState,
  MeshPlan,
  MeshView,
  ModelPlan,
  ModelSource,
} from "./ports.ts";
import { type Option, type Seat, Seats, type Taken, TIERS } from "./seats.ts";

/** A plan with what it was made from, for those who explain it. */
export interface MadePlan {
  readonly plan: MeshPlan;
  readonly models: ReadonlyMap<string, ModelFacts>;
  readonly seats: Seats;
}

/** Plans a mesh. */
export function planMesh(view: MeshView): MeshPlan {
  return makePlan(view).plan;
}

/** Plans a mesh and keeps the working. */
export function makePlan(view: MeshView): MadePlan {
  const members = view.members.toSorted((a, b) => compareText(a.node, b.node));
  const models = readModels(members);
  const seats = new Seats(members.filter(isHostable), models);
  for (const model of models.values()) keepHosts(seats, model);
  // One that takes on what it was asked for may free another for what that was asked for.
  for (let round = 0; round <= members.length && placeAsked(seats, models); round += 1) {
    for (const model of models.values()) trim(seats, model);
  }
  for (const model of unserved(seats, models)) {
    const files = [model.fingerprint, ...model.otherFiles];
    files.some((fingerprint) => placeFirst(seats, { ...model, fingerprint }));
  }
  for (const model of full(seats, models)) placeReplica(seats, model);
  return {
    plan: { models: [...models.values()].map((model) => modelPlan(seats, model)) },
    models,
    seats,
  };
}

/** What runs and is needed stays. */
function keepHosts(seats: Seats, model: ModelFacts): void {
  for (const { member, model: hosted, isPinned } of needed(model, 0)) {
    seats.of(member.node)?.taken.push({
      id: model.id,
      fingerprint: hosted.fingerprint,
      needs: hosted.needs,
      cause: { kind: "keeps", state: hosted.state },
      isServing: hosted.state === "serving",
      isPinned,
    });
  }
}

/** The hosts that stay beside `others`; those asked for always do. */
function needed({ hosts, hostsMax }: ModelFacts, others: number): readonly HostOf[] {
  return hosts.toSorted(compareHosts)
    .filter(({ isPinned }, index) => isPinned || index + others < hostsMax);
}

/** Where hosts are to come because somebody asked there, others are not needed any more. */
function trim(seats: Seats, model: ModelFacts): void {
  const coming = seats.holding(model.id).filter(({ member }) =>
    model.hosts.every((host) => host.member.node !== member.node)
  );
  const stay = new Set(needed(model, coming.length));
  for (const host of model.hosts) {
    const seat = seats.of(host.member.node);
    if (seat !== undefined && !stay.has(host)) seats.remove(seat, model.id);
  }
}

const STATE_ORDER: readonly HostedState[] = ["serving", "loading", "fetching", "draining"];

/** Of too many hosts the first ones stay: asked for, ready, used, fast, long there. */
function compareHosts(a: HostOf, b: HostOf): number {
  return Number(b.isPinned) - Number(a.isPinned) ||
    STATE_ORDER.indexOf(a.model.state) - STATE_ORDER.indexOf(b.model.state) ||
    a.model.unusedMs - b.model.unusedMs ||
    b.member.speed - a.member.speed ||
    a.model.sinceUnixS - b.model.sinceUnixS ||
    lot(a.model.id, a.member.node) - lot(a.model.id, b.member.node) ||
    compareText(a.member.node, b.member.node);
}

/** Models asked for at a member are served there, or else it is kept free for them; true when one was placed. */
function placeAsked(seats: Seats, models: ReadonlyMap<string, ModelFacts>): boolean {
  let isNew = false;
  for (const seat of seats.all()) {
    const { member, taken } = seat;
    seat.isReserved = false;
    for (const model of models.values()) {
      if (!asksHere(member, model.id) || taken.some(({ id }) => id === model.id)) continue;
      // Whatever file it has is the one that is meant there.
      const option = seats.optionOf({ ...model, fingerprint: undefined }, seat);
      if ("seat" in option) {
        seats.take(option, { kind: "asked_here" }, true);
        isNew = true;
      } else if (option.kind !== "avoids") {
        // The numbers are coarse: its own engine may find room that they do not show.
        seat.isReserved = true;
      }
    }
  }
  return isNew;
}

/** Models without a host that should have one, the most urgent first. */
function unserved(seats: Seats, models: ReadonlyMap<string, ModelFacts>): readonly ModelFacts[] {
  return [...models.values()]
    .filter(({ id, isWanted, need }) =>
      (isWanted || need.perMinute > 0) && seats.holding(id).length === 0
    )
    .sort((a, b) =>
      Number(b.isWanted) - Number(a.isWanted) || b.need.perMinute - a.need.perMinute ||
      compareText(a.id, b.id)
    );
}

/** True when there is a place. */
function placeFirst(seats: Seats, model: ModelFacts): boolean {
  for (const tier of TIERS) {
    const options = seats.options(model, tier);
    const [best] = options;
    if (best !== undefined) {
      seats.take(best, firstCause(best, options.length - 1));
      return true;
    }
    if (tier.why === undefined && shift(seats, { model, source: tier.source }, new Set())) {
      return true;
    }
  }
  return false;
}

function firstCause({ source, instead, offer }: Option, rivals: number): HostCause {
  return { kind: "first", source, rivals, instead, neededBytes: totalOf(offer.needs) };
}

interface Wish {
  readonly model: ModelFacts;
  readonly source: ModelSource;
}

/** Makes room by moving what was only just planned to where it can be as well; true when that was possible. */
function shift(seats: Seats, wish: Wish, visited: Set<Seat>): boolean {
  for (const seat of seats.all()) {
    if (visited.has(seat)) continue;
    for (const taken of seat.taken.filter(isMovable)) {
      seats.remove(seat, taken.id);
      const option = seats.optionOf(wish.model, seat);
      if ("seat" in option && option.instead === undefined && option.source === wish.source) {
        visited.add(seat);
        seats.take(option, firstCause(option, 0));
        if (placeElsewhere(seats, taken, visited)) return true;
        seats.remove(seat, wish.model.id);
      }
      seat.taken.push(taken);
    }
  }
  return false;
}

/** Only planned, and nothing gives way for it. */
function isMovable({ cause }: Taken): boolean {
  return cause.kind === "first" && cause.instead === undefined;
}

/** Finds another seat for what was planned, no worse than the one that it had. */
function placeElsewhere(
  seats: Seats,
  { id, fingerprint, cause }: Taken,
  visited: Set<Seat>,
): boolean {
  const facts = seats.modelOf(id);
  if (facts === undefined || cause.kind !== "first") return false;
  const model = { ...facts, fingerprint };
  const options = seats.options(model, { source: cause.source });
  const [best] = options;
  if (best === undefined) return shift(seats, { model, source: cause.source }, visited);
  seats.take(best, firstCause(best, options.length - 1));
  return true;
}

/** Models whose hosts are all full and whose use justifies one more, the most used first. */
function full(seats: Seats, models: ReadonlyMap<string, ModelFacts>): readonly ModelFacts[] {
  return [...models.values()]
    .filter(({ id, isFull, hostsMax }) => {
      const count = seats.holding(id).length;
      return isFull && count > 0 && count < hostsMax;
    })
    .sort((a, b) => b.need.perMinute - a.need.perMinute || compareText(a.id, b.id));
}

/** One more host, where nothing that is used has to go for it, and nothing is fetched. */
function placeReplica(seats: Seats, model: ModelFacts): void {
  for (const tier of TIERS) {
    if (tier.source !== "disk" || tier.why === "replica") continue;
    const [best] = seats.options(model, tier);
    if (best === undefined) continue;
    const { source, instead, offer } = best;
    const hosts = seats.holding(model.id).length;
    const neededBytes = totalOf(offer.needs);
    seats.take(best, { kind: "replica", source, hosts, instead, neededBytes });
    return;
  }
}

function modelPlan(seats: Seats, facts: ModelFacts): ModelPlan {
  const { id, need } = facts;
  const held = seats.holding(id).flatMap(({ member, taken }) =>
    taken.filter((one) => one.id === id).map((one) => ({ node: member.node, ...one }))
  );
  return {
    id,
    need,
    // One without a known file may have been given to any that has one.
    fingerprint: facts.hosts.length > 0
      ? facts.fingerprint
      : held.find(({ fingerprint }) => fingerprint !== undefined)?.fingerprint ?? facts.fingerprint,
    hosts: held.map(({ node, cause }) => ({ node, cause })),
  };
}
