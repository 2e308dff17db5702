// deno-lint-ignore-file camelcase -- the status has the field names that scripts rely on
/** What the management door needs from the running node. */
import { UserError } from "~/base/errors.ts";
import type { JsonObject } from "~/base/json.ts";

/** One device in the status. */
export interface StatusDevice {
  readonly name: string;
  readonly description: string;
  readonly total_bytes: number;
  readonly free_bytes: number;
}

/** The engine in the status; null members are not known (yet). */
export interface StatusEngine {
  /** Where it came from, in words. */
  readonly name: string | null;
  readonly version: string | null;
  readonly build: number | null;
  readonly rpc_version: string | null;
  readonly devices: readonly StatusDevice[];
}

/** What a node of the mesh is there for: `client` asks, `member` does everything. */
export type MeshRole = "member" | "client";

/**
 * How requests get to another node: over a link that one of both dialled, over one that both dialled at
 * once through their routers ("punched"), or handed on by a third node.
 */
export type PeerReach = "direct" | "punched" | "forwarded";

/** Another node of the mesh in the status. */
export interface StatusPeer {
  readonly id: string;
  readonly role: MeshRole;
  /** What its certificate allows: "request", "serve", "split", "invite". */
  readonly rights: readonly string[];
  /** "live", or "suspect" when nothing was heard of it for 2 s. */
  readonly state: string;
  /** On its disk. */
  readonly models: readonly string[];
  readonly vram_gb: number;
  /** The model that it answers for. */
  readonly serving: string | null;
  /** The model that it is about to answer for. */
  readonly loading: string | null;
  /** Smoothed round trip of the link; null when there is none, or none was measured yet. */
  readonly rtt_ms: number | null;
  readonly version: string | null;
  readonly reached: PeerReach;
  /** Id of the node that forwards; null when it is linked with this one. */
  readonly via: string | null;
  /** "ip:port" of the other end of the link; null when there is no link. */
  readonly address: string | null;
  /** Whether others can dial it, as it says itself. */
  readonly dialable: "yes" | "no" | "unknown";
}

/** A node of the mesh, this one included, as `members` tells it. */
export interface MemberInfo {
  readonly id: string;
  readonly role: MeshRole;
  readonly rights: readonly string[];
  /** As in {@link StatusPeer}; "live" for this node. */
  readonly state: string;
  readonly is_self: boolean;
  readonly reached: "self" | PeerReach;
  readonly via: string | null;
  readonly address: string | null;
  readonly rtt_ms: number | null;
  readonly version: string | null;
  /** Models that it answers for. */
  readonly serving: readonly string[];
  /** On its disk. */
  readonly models: readonly string[];
  /** When its certificate ends, Unix seconds; null when it has none. */
  readonly certificate_expires_unix_s: number | null;
  /** Who signed its certificate: the mesh id, or the id of a node that may invite. */
  readonly issuer: string | null;
  /** Serial of the invite it came by; null for the originator. */
  readonly invite_serial: string | null;
  /** Clients that hang on it; null when only it knows. */
  readonly clients: number | null;
}

/** How long a join may take: several peers, each with its own time to answer, are tried. */
export const JOIN_TIMEOUT_MS = 30_000;

/** What a join came to. */
export interface Joined {
  readonly mesh_id: string;
  /** Other members that are here now. */
  readonly peers: number;
}

/** What an invite is to allow, and for how long. */
export interface InviteRequest {
  readonly role: MeshRole;
  readonly expiresInS: number;
}

/** An invite that was made. */
export interface MadeInvite {
  /** A secret: who has it can join. */
  readonly token: string;
  /** Names the invite when it is to be revoked. */
  readonly serial: string;
  readonly expires_unix_s: number;
  readonly role: MeshRole;
}

/** What is to end: a node, or an invite, certificate or grant by its serial. */
export type RevokeRequest =
  & ({ readonly node: string } | { readonly serial: string })
  /** Sign again what a revoked issuer issued, rather than end it too. */
  & { readonly keep: boolean };

/** What a revocation did at once. */
export interface Revoked {
  /** The node id or serial that ended. */
  readonly revoked: string;
  /** Links of this node that were closed for it. */
  readonly closed_links: number;
  /** Serials of invites that revoked nodes came by: they admit nobody any more. */
  readonly closed_invites: readonly string[];
  /** Everybody known here who is out of the mesh by it. */
  readonly ended_nodes: readonly string[];
}

/** A model as the mesh knows it. */
export interface StatusModel {
  readonly name: string;
  readonly status: "warm" | "loading" | "cold";
  /** Why its hosts serve it, in their own words, and who asks for it; null when nothing is known of that. */
  readonly why: string | null;
  readonly node_count: number;
  readonly size_gb: number;
  readonly request_count: number;
  /** Seconds since its last request; null when there was none. */
  readonly last_active_secs_ago: number | null;
}

/** What becomes of a model, in plain words. */
export interface ModelExplanation {
  readonly model: string;
  /** One sentence. */
  readonly summary: string;
  /** Everybody who is here, hosts first. */
  readonly members: readonly {
    readonly id: string;
    readonly is_host: boolean;
    readonly words: string;
  }[];
  /** What would make it fit, when nobody can hold it. */
  readonly advice: string | null;
}

/** What a node is doing. */
export type NodeStatus =
  | "idle"
  | "client"
  | "standby"
  | "downloading"
  | "loading"
  | "serving"
  | "coordinator"
  | "worker"
  | "draining"
  | "failed";

/** The whole status, with the field names that scripts rely on. */
export interface StatusSnapshot {
  readonly version: string;
  readonly node_id: string;
  readonly node_status: NodeStatus;
  /** Why it serves what it serves, or nothing: "host of X: only member left that has it and 6 GiB free for it". */
  readonly reason: string | null;
  readonly is_host: boolean;
  readonly is_client: boolean;
  readonly llama_ready: boolean;
  readonly model_name: string | null;
  readonly api_port: number;
  readonly my_vram_gb: number;
  readonly model_size_gb: number;
  readonly mesh_id: string | null;
  readonly mesh_name: string | null;
  /** Invite token: a secret. The door blanks it for callers who may not see it. */
  readonly token: string | null;
  /** Serial of that token: what to revoke when it got into wrong hands. */
  readonly invite_serial: string | null;
  /** UDP port of the peer links; null when there is none. */
  readonly peer_port: number | null;
  /** Clients that hang on this node. */
  readonly clients: number;
  readonly inflight_requests: number;
  readonly queued_requests: number;
  readonly uptime_secs: number;
  /** What is loading or downloading now: phase and percent; null when nothing is. */
  readonly progress: { readonly phase: string; readonly percent: number | null } | null;
  /** Why `node_status` is "failed", with the engine's last words; null otherwise. */
  readonly error: string | null;
  readonly peers: readonly StatusPeer[];
  readonly mesh_models: readonly StatusModel[];
  readonly engine: StatusEngine;
}

/** Something that happened; pages and scripts follow these. Never carries prompts or answers. */
export interface NodeEvent {
  readonly kind: "peer" | "model" | "request" | "status";
  readonly data: JsonObject;
}

/** An event with its place in the node's history: ids grow, across restarts of the node too. */
export interface NumberedEvent extends NodeEvent {
  readonly id: number;
}

/** Where a subscription begins. */
export interface SubscribeOptions {
  /** First replays the events after this id, as far as they are kept. Absent: only what comes. */
  readonly afterId?: number;
}

/** Why the node says no although the request is well made. */
export type RefusalKind = "not_found" | "conflict";

/** The node says no, and the request is not to blame: what it names is not there, or the time is not right. */
export class NodeRefusal extends UserError {
  override readonly name = "NodeRefusal";
  readonly kind: RefusalKind;

  constructor(kind: RefusalKind, message: string) {
    super(message);
    this.kind = kind;
  }
}

/** The node as the management door sees it. */
export interface ManagedNode {
  status(): StatusSnapshot;
  /** Id of the newest event, 0 or the number before the first one when there was none. */
  lastEventId(): number;
  /**
   * Calls `listener` for each event until the returned function is called. For an event of kind
   * "status" the door sends the whole status of that moment; its `data` is not looked at.
   */
  subscribe(listener: (event: NumberedEvent) => void, options?: SubscribeOptions): () => void;
  /** Prometheus text. */
  metrics(): Promise<{ readonly contentType: string; readonly text: string }>;
  /**
   * Starts serving a model; resolves when the work has begun, not when it is ready.
   *
   * @throws {UserError} when the name resolves to nothing or the model does not fit
   */
  loadModel(name: string): Promise<{ readonly model: string }>;
  /**
   * Stops serving a model.
   *
   * @throws {UserError} when this node does not serve it
   */
  dropModel(name: string): Promise<void>;
  /**
   * Joins the mesh of an invite token.
   *
   * @param options.signal aborted when nobody waits for it any more
   * @throws {UserError} one sentence on why it cannot be: malformed, expired, revoked, nobody reached,
   * in another mesh already (a {@link NodeRefusal} where it is not the token's fault)
   */
  join(token: string, options: { readonly signal: AbortSignal }): Promise<Joined>;
  /** @throws {UserError} when this node may not invite, or is in no mesh */
  makeInvite(request: InviteRequest): Promise<MadeInvite>;
  /** @throws {UserError} when nobody is known by that name, or this node may not revoke it */
  revoke(request: RevokeRequest): Promise<Revoked>;
  /** Everybody who is here, this node first; empty outside of a mesh. */
  members(): readonly MemberInfo[];
  /** Tells which member serves a model and why, and what stands against the others; changes nothing. */
  explainModel(name: string): ModelExplanation;
  /** Ends the node in an orderly way; resolves when the shutdown has begun. */
  shutdown(): Promise<void>;
}
