/** What commands print about the mesh, for people. Names and versions come from other nodes. */
import type { MembersAnswer } from "~/api/io/client.ts";
import type { MadeInvite, MemberInfo, Revoked, StatusPeer, StatusSnapshot } from "~/api/ports.ts";
import { formatDurationS } from "~/base/duration.ts";
import { formatMs } from "~/base/units.ts";
import { formatTable, printable } from "./table.ts";

/** Characters of an id in tables: enough to name a node to `revoke`. */
const ID_CHARS = 12;

/** The mesh of a node in one line; for the line "Mesh" of its status. */
export function meshLine(
  { mesh_id: meshId, mesh_name: name, peers, clients }: StatusSnapshot,
): string {
  if (meshId === null) return "none, this machine only";
  const known = name === null ? meshId : `${printable(name)} (${meshId})`;
  return `${known}, ${counted(peers.length, "peer")}, ${counted(clients, "client")}`;
}

/** The peers of a node as a table; no lines when there are none. */
export function peerLines(peers: readonly StatusPeer[]): readonly string[] {
  if (peers.length === 0) return [];
  const head = ["PEER", "ROLE", "MAY", "STATE", "REACHED", "RTT", "VERSION", "SERVES"];
  return formatTable(
    head,
    peers.map((peer) => [
      peer.id.slice(0, ID_CHARS),
      peer.role,
      peer.rights.join(","),
      peer.state,
      reachOf(peer),
      roundTripOf(peer),
      peer.version ?? "-",
      peer.serving ?? (peer.loading === null ? "-" : `loading ${peer.loading}`),
    ]),
  );
}

/**
 * All members as a table under a line that says of which mesh.
 *
 * @param nowUnixS tells how long certificates still hold
 */
export function formatMembers(
  { mesh_id: meshId, members }: MembersAnswer,
  nowUnixS: number,
): string {
  if (meshId === null) return "This node is in no mesh";
  const head = ["NODE", "ROLE", "MAY", "STATE", "REACHED", "RTT", "VERSION", "HOLDS", "SERVES"];
  const rows = members.map((member) => [
    member.id.slice(0, ID_CHARS),
    member.role,
    member.rights.join(","),
    member.state,
    member.is_self ? "this node" : reachOf(member),
    roundTripOf(member),
    member.version ?? "-",
    holdsOf(member, nowUnixS),
    member.serving.join(", ") || "-",
  ]);
  const clients = members.find(({ is_self: isSelf }) => isSelf)?.clients ?? 0;
  const title = `Mesh ${meshId}: ${counted(members.length, "node")}` +
    (clients === 0 ? "" : `, ${counted(clients, "client")} on this one`);
  return [title, ...formatTable(head, rows)].join("\n");
}

/** What to say beside a new token; the token itself is not in it. */
export function inviteNote({ role, serial, expires_unix_s: expiresUnixS }: MadeInvite): string {
  const until = new Date(expiresUnixS * 1000).toISOString().replace(/\.\d+Z$/, "Z");
  return `Whoever has it can join as ${role} until ${until}. To take it back: mesh-llm revoke ${serial}`;
}

/** What else ended with what was revoked, a sentence each. */
export function revokeNotes(revoked: Revoked, isNode: boolean): readonly string[] {
  const { revoked: named, closed_invites: invites, ended_nodes: ended } = revoked;
  const others = ended.filter((id) => id !== named).map((id) => id.slice(0, ID_CHARS));
  const out = others.length === 0 ? [] : [`Out of the mesh with it: ${others.join(", ")}`];
  if (!isNode) return [`Nobody can join by an invite of this serial any more`, ...out];
  const closed = invites.length === 0
    ? "No invite was ended: the one that it came by is not known here, or somebody else's; who has its " +
      "token can still join"
    : `Ended too: the invite that it came by (${invites.join(", ")}), and every one that it made`;
  return [closed, ...out];
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function reachOf(node: Pick<MemberInfo, "reached" | "via" | "address">): string {
  if (node.via !== null) return `${node.reached} by ${node.via.slice(0, ID_CHARS)}`;
  return node.address === null ? node.reached : `${node.reached} ${node.address}`;
}

function roundTripOf({ rtt_ms: rttMs }: { readonly rtt_ms: number | null }): string {
  if (rttMs === null) return "-";
  return rttMs < 10 ? `${rttMs.toFixed(1)} ms` : formatMs(rttMs);
}

function holdsOf({ certificate_expires_unix_s: endS }: MemberInfo, nowUnixS: number): string {
  if (endS === null) return "-";
  return endS <= nowUnixS ? "expired" : formatDurationS(endS - nowUnixS);
}
