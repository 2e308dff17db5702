/** The view of a mesh by model: who asks for it, who has it, which file is meant, how many hosts its use justifies. */
import type { NodeId } from "../mesh/ids.ts";
import { compareText, sumDemand } from "./demand.ts";
import type { ElectionMember, HostedModel, ModelNeed, OfferedModel } from "./ports.ts";
import { UNUSED_MS } from "./usage.ts";

/** Models that one member may ask for: others give memory for them. */
const WANTS_MAX = 8;
/** Shares of busy slots: an idle host stays where each has so much to do, by what is claimed to come in. */
export const KEEP_SHARE = 0.3;
/** And one is added to full ones where each then has so much: claims lag behind, and hosts in use stay anyway. */
export const ADD_SHARE = 0.15;
/** Believed of a model until its hosts have measured it. */
const SERVICE_MS_DEFAULT = 10_000;
const SLOTS_DEFAULT = 4;
/** Believed at most: a host that claims more must not draw others in. */
const SERVICE_MS_MAX = 120_000;
/** From this share of busy slots on a host is full. */
const FULL_SHARE = 0.75;

/** A member that serves a model or is about to. */
export interface HostOf {
  readonly member: ElectionMember;
  readonly model: HostedModel;
  /** Asked for there: nobody else can take it away. */
  readonly isPinned: boolean;
}

/** One model. */
export interface ModelFacts {
  readonly id: string;
  /** The file that is meant; undefined while nobody knows it. */
  readonly fingerprint: string | undefined;
  /** Other files of that name, best first: one of them will do as long as nobody serves any. */
  readonly otherFiles: readonly string[];
  readonly need: ModelNeed;
  /** Somebody here asked the mesh for it by flag. */
  readonly isWanted: boolean;
  /** Nobody asked for it for an hour, by flag or by request. */
  readonly isUnused: boolean;
  /** Those with the file that is meant, and those that were told to serve another of this name. */
  readonly hosts: readonly HostOf[];
}

/** Who may hold models: of the others only wishes count. */
export function isHostable({ mayServe, isLeaving }: ElectionMember): boolean {
  return mayServe && !isLeaving;
}

/** Every model that is asked for, used or served, by name, in the order of names. */
export function readModels(members: readonly ElectionMember[]): ReadonlyMap<string, ModelFacts> {
  const present = members.filter(({ isLeaving }) => !isLeaving);
  const hostable = present.filter(isHostable);
  const offered = new Set(
    hostable.flatMap((member) =>
      [
        ...member.onDisk,
        ...member.fetchable,
        ...member.hosted,
      ].map(({ id }) => id)
    ),
  );
  const asked = new Map<string, number>();
  for (const member of present) {
    for (const id of new Set([...asksOf(member), ...wantsOf(member)])) {
      asked.set(id, (asked.get(id) ?? 0) + 1);
    }
  }
  const demand = sumDemand(present, (id) => offered.has(id) || asked.has(id));
  const hosted = hostable.flatMap((member) => member.hosted.filter(isOnItsWay));
  const ids = new Set([...asked.keys(), ...demand.keys(), ...hosted.map(({ id }) => id)]);
  const wanted = new Set(present.flatMap(wantsOf));
  return new Map(
    [...ids].sort(compareText).map((id) => {
      const need = { askedBy: asked.get(id) ?? 0, perMinute: demand.get(id) ?? 0 };
      return [id, factsOf(id, { need, isWanted: wanted.has(id), hostable })];
    }),
  );
}

function asksOf({ asksHere }: ElectionMember): readonly string[] {
  return asksHere.slice(0, WANTS_MAX);
}

function wantsOf({ wants }: ElectionMember): readonly string[] {
  return wants.slice(0, WANTS_MAX);
}

/** Serves, or will. */
function isOnItsWay({ state, isStalled }: HostedModel): boolean {
  return state !== "draining" && isStalled !== true;
}

function factsOf(
  id: string,
  { need, isWanted, hostable }: {
    readonly need: ModelNeed;
    readonly isWanted: boolean;
    readonly hostable: readonly ElectionMember[];
  },
): ModelFacts {
  const all = hostable.flatMap((member): HostOf[] => {
    const model = member.hosted.find((hosted) => hosted.id === id && isOnItsWay(hosted));
    return model === undefined ? [] : [{ member, model, isPinned: asksHere(member, id) }];
  });
  const [fingerprint, ...otherFiles] = filesOf(id, all, hostable);
  const hosts = all.filter(({ isPinned, model }) => isPinned || isSameFile(model, fingerprint));
  return {
    id,
    fingerprint,
    otherFiles,
    need,
    isWanted,
    hosts,
    isUnused: !isWanted && need.perMinute === 0 &&
      hosts.every(({ model }) => model.state !== "serving" || !isUsed(model)),
  };
}

/** Whether a model was asked for at the member itself. */
export function asksHere(member: ElectionMember, id: string): boolean {
  return asksOf(member).includes(id);
}

/** Whether an offer is, or may be, the file that is meant. */
export function isSameFile(
  offer: Pick<OfferedModel, "fingerprint">,
  fingerprint: string | undefined,
): boolean {
  return fingerprint === undefined || offer.fingerprint === undefined ||
    offer.fingerprint === fingerprint;
}

/** Grounds for one of several files with a name, the strongest first. */
const GROUNDS = ["used", "serving", "on its way", "asked for", "on disk", "fetchable"] as const;
type Ground = (typeof GROUNDS)[number];

/** The files with one name, the one that is meant first. */
function filesOf(
  id: string,
  hosts: readonly HostOf[],
  hostable: readonly ElectionMember[],
): readonly string[] {
  const votes = new Map<string, Record<Ground, number>>();
  const vote = (fingerprint: string | undefined, ground: Ground): void => {
    if (fingerprint === undefined) return;
    const counts = votes.get(fingerprint) ?? noVotes();
    counts[ground] += 1;
    votes.set(fingerprint, counts);
  };
  for (const host of hosts) vote(host.model.fingerprint, groundOf(host));
  for (const member of hostable) {
    for (const { fingerprint } of member.onDisk.filter((offer) => offer.id === id)) {
      vote(fingerprint, "on disk");
    }
    for (const { fingerprint } of member.fetchable.filter((offer) => offer.id === id)) {
      vote(fingerprint, "fetchable");
    }
  }
  const order = [...votes].sort(([a, one], [b, other]) => {
    const ground = GROUNDS.find((each) => one[each] !== other[each]);
    return ground === undefined ? compareText(a, b) : other[ground] - one[ground];
  });
  return order.map(([fingerprint]) => fingerprint);
}

function noVotes(): Record<Ground, number> {
  return { used: 0, serving: 0, "on its way": 0, "asked for": 0, "on disk": 0, fetchable: 0 };
}

function groundOf({ model, isPinned }: HostOf): Ground {
  // One that was told to serve another file does so, and nobody has to follow.
  if (isPinned) return "asked for";
  if (model.state !== "serving") return "on its way";
  return isUsed(model) ? "used" : "serving";
}

function isUsed({ unusedMs, busy }: HostedModel): boolean {
  return unusedMs < UNUSED_MS || busy > 0;
}

/** The most hosts that have `share` of their slots in use by so many requests, by what they measured; at least 1. */
export function hostsJustified(
  hosts: readonly HostOf[],
  { perMinute, share }: { readonly perMinute: number; readonly share: number },
): number {
  const serving = hosts.filter(({ model }) => model.state === "serving");
  const measured = serving.flatMap(({ model }) => model.serviceMs ?? []).sort((a, b) => a - b);
  const serviceMs = measured[Math.floor(measured.length / 2)] ?? SERVICE_MS_DEFAULT;
  const counts = serving.flatMap(({ model }) => model.slots > 0 ? [model.slots] : []);
  const slots = counts.length === 0 ? SLOTS_DEFAULT : Math.min(...counts);
  const atOnce = perMinute / 60_000 * Math.min(serviceMs, SERVICE_MS_MAX);
  return Math.max(1, Math.ceil(atOnce / (slots * share)));
}

/** Whether a host has hardly a slot free. Demand is what entry nodes claim, this is what hosts feel. */
export function isFull({ model }: HostOf): boolean {
  return model.state === "serving" && model.busy >= FULL_SHARE;
}

/** A number that puts members in a different order for each model: the same everywhere (FNV-1a, 32 bits). */
export function lot(id: string, node: NodeId): number {
  let hash = 0x811c9dc5;
  for (const char of `${id}\n${node}`) {
    hash = Math.imul(hash ^ (char.codePointAt(0) ?? 0), 0x01000193);
  }
  return hash >>> 0;
}
