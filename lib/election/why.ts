/** Why a model has the hosts that it has: what each of them says of itself, and who needs it. Pure. */
import type { NodeId } from "../mesh/ids.ts";
import { shortNode } from "./explain.ts";
import { asksHere } from "./model_facts.ts";
import type { ElectionMember, ModelNeed } from "./ports.ts";

/** Nodes named in one list. */
const NAMED_MAX = 3;

/**
 * One line for people about a model that is served or about to be.
 *
 * @param need what is known of who asks for it; undefined when no plan was made yet
 * @returns undefined when no member here holds it
 */
export function whyHosted(
  id: string,
  members: readonly ElectionMember[],
  need: ModelNeed | undefined,
): string | undefined {
  const hosts = members.flatMap(({ node, hosted }) => {
    const model = hosted.find((one) => one.id === id && one.state !== "draining");
    return model === undefined ? [] : [{ node, why: model.why ?? `is ${model.state} it already` }];
  });
  if (hosts.length === 0) return undefined;
  const words = hosts.toSorted(byNode).map(({ node, why }) => `${shortNode(node)}: ${why}`);
  return [list(words), ...needWords(id, members, need)].join("; ");
}

function needWords(
  id: string,
  members: readonly ElectionMember[],
  need: ModelNeed | undefined,
): readonly string[] {
  const wishers = members.filter((member) => member.wants.includes(id) && !asksHere(member, id));
  const wanted = wishers.toSorted(byNode).map(({ node }) => shortNode(node));
  const perMinute = Math.round(need?.perMinute ?? 0);
  const asked = perMinute === 1
    ? "about 1 request a minute"
    : `about ${perMinute} requests a minute`;
  return [
    ...(wanted.length === 0 ? [] : [`asked of the mesh at ${list(wanted)}`]),
    ...(perMinute >= 1
      ? [asked]
      : need !== undefined && need.perMinute > 0
      ? ["asked for lately"]
      : []),
  ];
}

function list(words: readonly string[]): string {
  const more = words.length - NAMED_MAX;
  return `${words.slice(0, NAMED_MAX).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

function byNode(a: { readonly node: NodeId }, b: { readonly node: NodeId }): number {
  return a.node < b.node ? -1 : 1;
}
