/** A plan in plain words: why a member serves a model, why another does not, and what would help. */
import { formatBytes } from "../base/units.ts";
import type { NodeId } from "../mesh/ids.ts";
import { shortageOf, totalOf } from "./capacity.ts";
import { isHostable, readModels } from "./model_facts.ts";
import type {
  ElectionMember,
  GivenUp,
  HostCause,
  MeshView,
  ModelPlan,
  ModelSource,
  OfferedModel,
} from "./ports.ts";
import { makePlan } from "./plan.ts";
import type { Obstacle, Option } from "./seats.ts";

/** Characters of a node id that people see. */
const SHORT_CHARS = 8;

/** Why a member serves a model: "only member left that has it and 6 GiB free for it". */
export function hostWords(cause: HostCause): string {
  switch (cause.kind) {
    case "asked_here":
      return "asked for there";
    case "keeps":
      return cause.state === "serving" ? "serves it already" : `is ${cause.state} it already`;
    case "first": {
      const room = `${formatBytes(cause.neededBytes)} free for it`;
      // Others may have it, but not the room, or serve what was asked for there.
      const has = cause.source === "disk" ? `that has it and ${room}` : `with ${room}`;
      const choice = cause.rivals === 0
        ? `only member left ${has}`
        : `best of ${cause.rivals + 1} members with ${room}`;
      return `${choice}${sourceWords(cause.source)}${insteadWords(cause.instead)}`;
    }
    case "replica": {
      const full = cause.hosts === 1 ? "its host is full" : `all ${cause.hosts} hosts are full`;
      return `one more, as ${full}${sourceWords(cause.source)}${insteadWords(cause.instead)}`;
    }
  }
}

function sourceWords(source: ModelSource): string {
  return source === "disk" ? "" : ", has to fetch it";
}

function insteadWords(instead: GivenUp | undefined): string {
  if (instead === undefined) return "";
  const why = instead.why === "unused" ? "nobody used for an hour" : "others serve too";
  return `, gives up ${quote(instead.id)}, which ${why}`;
}

/** Why a member does not serve a model. */
function obstacleWords(obstacle: Obstacle): string {
  switch (obstacle.kind) {
    case "holds_it":
      return "holds it";
    case "avoids":
      return obstacle.cause === "failed"
        ? "failed to load it, and tries again later"
        : "was told to drop it";
    case "stalled":
      return `is stuck loading ${quote(obstacle.id)}`;
    case "no_file":
      return "does not have it and cannot fetch it";
    case "other_file":
      return "has another file of that name";
    case "too_small": {
      const { device, neededBytes, freeBytes } = obstacle.shortage;
      return `needs ${formatBytes(neededBytes)} of ${device}, has ${formatBytes(freeBytes)}`;
    }
    case "occupied":
      return `would have room without ${obstacle.by.map(quote).join(" and ")}`;
    case "reserved":
      return `is kept for ${obstacle.ids.map(quote).join(" and ")}, asked for there`;
  }
}

/** One member, in what is said of a model. */
export interface MemberVerdict {
  readonly node: NodeId;
  readonly isHost: boolean;
  readonly words: string;
}

/** What is to be said of one model. */
export interface Explanation {
  readonly id: string;
  /** One sentence. */
  readonly summary: string;
  /** Everybody who is here, hosts first. */
  readonly members: readonly MemberVerdict[];
  /** What would make it fit, when nobody can hold it. */
  readonly advice: string | undefined;
}

/** Explains what becomes of a model; of one that nobody asks for, what would if somebody did. */
export function explainModel(view: MeshView, id: string): Explanation {
  const isKnown = readModels(view.members).has(id);
  const [first, ...others] = view.members;
  // One more wish changes nothing of what runs, and shows where the model would go.
  const asked = isKnown || first === undefined
    ? view
    : { members: [{ ...first, wants: [id, ...first.wants] }, ...others] };
  const { plan, models, seats } = makePlan(asked);
  const found = plan.models.find((model) => model.id === id);
  const facts = models.get(id);
  const hosts = new Map(found?.hosts.map(({ node, cause }) => [node, cause]));
  const members = view.members.map(({ node, isLeaving }): MemberVerdict => {
    const cause = hosts.get(node);
    if (cause !== undefined) return { node, isHost: true, words: hostWords(cause) };
    const seat = seats.of(node);
    if (seat === undefined || facts === undefined) {
      return { node, isHost: false, words: isLeaving ? "leaves" : "serves nothing" };
    }
    const words = verdictWords(seats.optionOf(facts, seat), hosts.size > 0);
    return { node, isHost: false, words };
  });
  const order = members.toSorted((a, b) =>
    Number(b.isHost) - Number(a.isHost) || (a.node < b.node ? -1 : 1)
  );
  const summary = summaryOf(id, { found, view, isKnown });
  return { id, summary, members: order, advice: hosts.size > 0 ? undefined : adviceOf(view, id) };
}

function verdictWords(option: Option | Obstacle, isHosted: boolean): string {
  if (!("seat" in option)) return obstacleWords(option);
  return isHosted ? "would have room, and is not needed" : "has room";
}

interface Case {
  readonly found: ModelPlan | undefined;
  readonly view: MeshView;
  readonly isKnown: boolean;
}

function summaryOf(id: string, { found, view, isKnown }: Case): string {
  const hosts = found?.hosts ?? [];
  const would = isKnown ? "" : "if it were asked for: ";
  const [host] = hosts;
  if (host === undefined) return `no member can hold ${quote(id)}: ${lackOf(view, id)}`;
  if (hosts.length === 1) {
    return `${would}host of ${quote(id)} is ${shortNode(host.node)}: ${hostWords(host.cause)}`;
  }
  return `${would}hosts of ${quote(id)} are ${hosts.map(({ node }) => shortNode(node)).join(", ")}`;
}

/** What stands against a model everywhere. */
function lackOf(view: MeshView, id: string): string {
  const able = view.members.filter(isHostable);
  const offers = offersOf(view, id);
  if (able.length === 0) return "nobody here serves models";
  if (offers.length === 0) return "nobody has it on disk, and nobody can fetch it";
  const isRoomy = offers.some(({ member, offer }) =>
    shortageOf(offer.needs, member.devices, []) === undefined
  );
  if (isRoomy) return "every member that is large enough is taken";
  const needed = Math.min(...offers.map(({ offer }) => totalOf(offer.needs)));
  const sizes = able.map(({ node, devices }) => ({
    node,
    bytes: devices.reduce((sum, { capacityBytes }) => sum + capacityBytes, 0),
  }));
  const most = sizes.reduce((best, one) => one.bytes > best.bytes ? one : best);
  return `it needs ${formatBytes(needed)}, the most that is free is ${
    formatBytes(most.bytes)
  } on ` +
    shortNode(most.node);
}

function offersOf(
  { members }: MeshView,
  id: string,
): readonly { readonly member: ElectionMember; readonly offer: OfferedModel }[] {
  return members.filter(isHostable).flatMap((member) => {
    const offer = [...member.onDisk, ...member.fetchable].find((one) => one.id === id);
    return offer === undefined ? [] : [{ member, offer }];
  });
}

/** What would let a model run that nobody can hold. */
function adviceOf(view: MeshView, id: string): string {
  if (offersOf(view, id).length === 0) {
    return "Put it on the disk of a member that has room for it (mesh-llm download): " +
      "a minute later it can take it on";
  }
  const { models, seats } = makePlan({
    members: view.members.map((member, index) =>
      index === 0 ? { ...member, wants: [id, ...member.wants] } : member
    ),
  });
  const facts = models.get(id);
  for (const seat of facts === undefined ? [] : seats.all()) {
    const obstacle = facts === undefined ? undefined : seats.optionOf(facts, seat);
    if (obstacle === undefined || !("kind" in obstacle) || obstacle.kind !== "occupied") continue;
    return `It would fit on ${shortNode(seat.member.node)} once ${
      obstacle.by.map(quote).join(" and ")
    } is dropped there`;
  }
  return "Add a member that has it and room for it, or choose a smaller model";
}

function quote(text: string): string {
  return `"${text}"`;
}

/** A node id as people see it. */
export function shortNode(node: NodeId): string {
  return node.slice(0, SHORT_CHARS);
}
