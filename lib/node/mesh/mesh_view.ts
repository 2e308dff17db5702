/** What the status and `members` say about the mesh. Pure. */
import type { MemberInfo, PeerReach, StatusPeer } from "~/api/ports.ts";
import { GIB } from "~/base/units.ts";
import { formatAddress, type PeerAddress } from "~/mesh/address.ts";
import { type Certificate, type Role, roleOf } from "~/mesh/credentials.ts";
import type { NodeId } from "~/mesh/ids.ts";
import type { MemberView } from "~/mesh/membership_ports.ts";
import type { NodeRecord } from "~/mesh/record.ts";

/** What a link adds to what is known of a member. */
export interface LinkView {
  readonly remoteAddress: PeerAddress;
  readonly rttMs: number | undefined;
}

/** What is known of the ways to members. */
export interface Ways {
  /** The link with a peer; undefined when there is none. */
  readonly linkOf: (peer: NodeId) => LinkView | undefined;
  /** The neighbour that passes requests on to a member without a link. */
  readonly relayOf: (member: MemberView) => NodeId | undefined;
}

/** One member as `/api/status` tells it. */
export function peerOf(member: MemberView, ways: Ways): StatusPeer {
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
    ...reachOf(member, ways),
  };
}

/** One member as `members` tells it. */
export function memberOf(member: MemberView, ways: Ways): MemberInfo {
  const { record, certificate } = member.record;
  return {
    id: member.node,
    role: roleOf(certificate.paper.rights),
    rights: [...certificate.paper.rights],
    state: member.health,
    is_self: false,
    ...reachOf(member, ways),
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
  readonly role: Role;
  readonly certificate: Certificate | undefined;
  readonly clients: number;
}): MemberInfo {
  const { certificate, nodeId, version, serving, models, role, clients } = self;
  return {
    id: nodeId,
    role,
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

/** A model of other members. */
export interface RemoteModel {
  /** Members that answer for it now. */
  readonly hosts: number;
  /** Members that are about to. */
  readonly loading: number;
  /** 0 while nobody answers for it. */
  readonly sizeBytes: number;
}

/** Models that members serve or load, by name. */
export function servedElsewhere(
  members: readonly MemberView[],
): ReadonlyMap<string, RemoteModel> {
  const models = new Map<string, RemoteModel>();
  const of = (id: string): RemoteModel => models.get(id) ?? { hosts: 0, loading: 0, sizeBytes: 0 };
  for (const { record: { record } } of members) {
    for (const { id, sizeBytes } of record.serving) {
      const model = of(id);
      const size = Math.max(model.sizeBytes, sizeBytes);
      models.set(id, { ...model, hosts: model.hosts + 1, sizeBytes: size });
    }
    for (const { id } of record.loading) {
      const model = of(id);
      models.set(id, { ...model, loading: model.loading + 1 });
    }
  }
  return models;
}

function reachOf(
  member: MemberView,
  { linkOf, relayOf }: Ways,
): {
  readonly reached: PeerReach;
  readonly via: string | null;
  readonly address: string | null;
  readonly rtt_ms: number | null;
} {
  const link = member.isDirect ? linkOf(member.node) : undefined;
  if (link === undefined) {
    return { reached: "forwarded", via: relayOf(member) ?? null, address: null, rtt_ms: null };
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
