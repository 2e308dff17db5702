/** Which of two links to one peer stays. Both ends decide alone and must come to the same answer. */
import type { LinkHealth } from "~/mesh/link_ports.ts";
import type { NodeId } from "~/mesh/ids.ts";

/** What the choice looks at. */
export interface LinkFacts {
  readonly session: string;
  readonly isDialer: boolean;
  readonly health: LinkHealth;
}

/**
 * Whether a link that just came up takes the place of the one that is there.
 *
 * - Another session: its process was started anew, and the old link leads nowhere.
 * - The old one is silent: whoever made the new one has seen that, too.
 * - The same side dialled twice: it gave the first up.
 * - Both sides dialled at once: the dial of the lower node id stays.
 */
export function replaces(
  candidate: LinkFacts,
  current: LinkFacts,
  ids: { readonly self: NodeId; readonly peer: NodeId },
): boolean {
  if (candidate.session !== current.session) return true;
  if (current.health === "silent" || current.health === "closed") return true;
  if (candidate.isDialer === current.isDialer) return true;
  return candidate.isDialer === ids.self < ids.peer;
}
