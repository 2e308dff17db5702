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
  ADD_SHARE,
  asksHere,
  type HostOf,
  hostsJustified,
  isFull,
  isHostable,
  KEEP_SHARE,
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
  for (const model of models.values()) seatHosts(seats, model);
  trim(seats, models);
  // What finds a place may free another for what found none: once more, until nothing does.
  while (placeAsked(seats, models)) trim(seats, models);
  while (placeUnserved(seats, models)) trim(seats, models);
  for (const model of full(seats, models)) placeReplica(seats, model);
  return {
    plan: { models: [...models.values()].map((model) => modelPlan(seats, model)) },
    models,
    seats,
  };
}

/** Begins with what runs. */
function seatHosts(seats: Seats, model: ModelFacts): void {
  for (const { member, model: hosted, isPinned } of model.hosts) {
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

/** Takes out the hosts that are not needed. */
function trim(seats: Seats, models: ReadonlyMap<string, ModelFacts>): void {
  for (const model of models.values()) {
    const { here, coming } = heldBy(seats, model);
    const stay = new Set(needed(here, { perMinute: model.need.perMinute, coming }));
    for (const host of here) {
      const seat = seats.of(host.member.node);
      if (seat !== undefined && !stay.has(host)) seats.remove(seat, model.id);
    }
  }
}

/** Hosts that run and are in the plan still, and how many are to come. */
function heldBy(
  seats: Seats,
  { id, hosts }: ModelFacts,
): { readonly here: readonly HostOf[]; readonly coming: number } {
  const nodes = new Set(seats.holding(id).map(({ member }) => member.node));
  const here = hosts.filter(({ member }) => nodes.has(member.node));
  return { here, coming: nodes.size - here.length };
}

/** The hosts that stay: those asked for and those in use always do, and all of them while one is full. */
function needed(
  hosts: readonly HostOf[],
  { perMinute, coming }: { readonly perMinute: number; readonly coming: number },
): readonly HostOf[] {
  let stay: readonly HostOf[] = hosts.toSorted(compareHosts);
  // What is known of a model's use changes with who is left to measure it: until nothing more can go.
  while (!stay.some(isFull)) {
    const justified = hostsJustified(stay, { perMinute, share: KEEP_SHARE });
    const fewer = stay.filter(({ isPinned, model }, index) =>
      isPinned || model.busy > 0 || index + coming < justified
    );
    if (fewer.length === stay.length) break;
    stay = fewer;
  }
  return stay;
}

const STATE_ORDER: readonly HostedState[] = ["serving", "loading", "fetching", "draining"];

/** Of too many hosts the first ones stay: asked for, in use, ready, used lately, fast, long there. */
function compareHosts(a: HostOf, b: HostOf): number {
  return Number(b.isPinned) - Number(a.isPinned) ||
    b.model.busy - a.model.busy ||
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

/** Gives hosts to models that need one; true when one found a place. */
function placeUnserved(seats: Seats, models: ReadonlyMap<string, ModelFacts>): boolean {
  let isNew = false;
  for (const model of unserved(seats, models)) {
    const files = [model.fingerprint, ...model.otherFiles];
    const isPlaced = files.some((fingerprint) => placeFirst(seats, { ...model, fingerprint }));
    isNew = isNew || isPlaced;
  }
  return isNew;
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
    .filter((model) => {
      const { here, coming } = heldBy(seats, model);
      // Only both together add a host: all are full, and what comes in justifies one more.
      return coming === 0 && here.length > 0 && here.every(isFull) &&
        here.length < hostsJustified(here, { perMinute: model.need.perMinute, share: ADD_SHARE });
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
