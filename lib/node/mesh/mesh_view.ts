// deno-lint-ignore-file camelcase -- the status has the field names that scripts rely on
/** What the status and `members` say about the mesh. Pure. */
import type { MemberInfo, PeerReach, StatusPeer } from "~/api/ports.ts";
import { GIB } from "~/base/units.ts";
import { formatAddress, type PeerAddress } from "~/mesh/address.ts";
import type { Certificate } from "~/mesh/credentials.ts";
import { roleOf } from "~/mesh/credentials.ts";
import type { NodeId } from "~/mesh/ids.ts";
import type { MemberView } from "~/mesh/membership_ports.ts";
import type { NodeRecord } from "~/mesh/record.ts";

/** What a link adds to what is known of a member. */
export interface LinkView {
  readonly remoteAddress: PeerAddress;
  readonly rttMs: number | undefined;
}

/** Reads the link with a peer; undefined when there is none. */
export type LinkOf = (peer: NodeId) => LinkView | undefined;

/** One member as `/api/status` tells it. */
export function peerOf(member: MemberView, linkOf: LinkOf): StatusPeer {
  const { record, certificate } = member.record;
  const { rights } = certificate.paper;
  return {
    id: member.node,
    role: roleOf(rights),
    rights: [...rights],
    state: member.health,
    models: record.models,
    vram_gb: Math.round((record.offeredBytes / GIB) * 100) / 100,
    serving: record.serving[0]?.id ?? null,
    loading: record.loading[0]?.id ?? null,
    version: record.version,
    dialable: record.dialable,
    ...reachOf(member, linkOf),
  };
}

/** One member as `members` tells it. */
export function memberOf(member: MemberView, linkOf: LinkOf): MemberInfo {
  const { record, certificate } = member.record;
  return {
    id: member.node,
    role: roleOf(certificate.paper.rights),
    rights: [...certificate.paper.rights],
    state: member.health,
    is_self: false,
    ...reachOf(member, linkOf),
    ...saidIn(record),
    ...paperOf(certificate.paper),
    clients: null,
  };
}

/** This node as `members` tells it. */
export function selfOf(self: {
  readonly nodeId: NodeId;
  readonly version: string;
  readonly serving: readonly string[];
  readonly models: readonly string[];
  readonly certificate: Certificate | undefined;
  readonly clients: number;
}): MemberInfo {
  const { certificate, nodeId, version, serving, models, clients } = self;
  return {
    id: nodeId,
    role: roleOf(certificate?.rights ?? []),
    rights: [...certificate?.rights ?? []],
    state: "live",
    is_self: true,
    reached: "self",
    via: null,
    address: null,
    rtt_ms: null,
    version,
    serving,
    models,
    ...paperOf(certificate),
    clients,
  };
}

/** Models that members serve or load, by name, with how many hosts. */
export function servedElsewhere(
  members: readonly MemberView[],
): ReadonlyMap<
  string,
  { readonly hosts: number; readonly loading: number; readonly sizeBytes: number }
> {
  const models = new Map<string, { hosts: number; loading: number; sizeBytes: number }>();
  const entry = (id: string) => {
    const known = models.get(id) ?? { hosts: 0, loading: 0, sizeBytes: 0 };
    models.set(id, known);
    return known;
  };
  for (const { record: { record } } of members) {
    for (const { id, sizeBytes } of record.serving) {
      const model = entry(id);
      model.hosts += 1;
      model.sizeBytes = Math.max(model.sizeBytes, sizeBytes);
    }
    for (const { id } of record.loading) entry(id).loading += 1;
  }
  return models;
}

function reachOf(
  member: MemberView,
  linkOf: LinkOf,
): {
  readonly reached: PeerReach;
  readonly via: string | null;
  readonly address: string | null;
  readonly rtt_ms: number | null;
} {
  const link = member.isDirect ? linkOf(member.node) : undefined;
  if (link === undefined) {
    return { reached: "forwarded", via: member.via[0] ?? null, address: null, rtt_ms: null };
  }
  return {
    reached: member.isPunched ? "punched" : "direct",
    via: null,
    address: formatAddress(link.remoteAddress),
    rtt_ms: link.rttMs === undefined ? null : Math.round(link.rttMs * 100) / 100,
  };
}

function saidIn(record: NodeRecord): Pick<MemberInfo, "version" | "serving" | "models"> {
  return {
    version: record.version,
    serving: record.serving.map(({ id }) => id),
    models: record.models,
  };
}

function paperOf(
  certificate: Certificate | undefined,
): Pick<MemberInfo, "certificate_expires_unix_s" | "issuer" | "invite_serial"> {
  return {
    certificate_expires_unix_s: certificate?.expiresUnixS ?? null,
    issuer: certificate?.issuer ?? null,
    invite_serial: certificate?.inviteSerial ?? null,
  };
}
