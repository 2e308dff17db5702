// deno-lint-ignore-file camelcase -- the status has the field names that scripts rely on
/** What the management door needs from the running node. */
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

/** Another node of the mesh in the status. */
export interface StatusPeer {
  readonly id: string;
  readonly role: string;
  readonly state: string;
  readonly models: readonly string[];
  readonly vram_gb: number;
  readonly serving: string | null;
  readonly rtt_ms: number | null;
  readonly version: string | null;
}

/** A model as the mesh knows it. */
export interface StatusModel {
  readonly name: string;
  readonly status: "warm" | "loading" | "cold";
  readonly node_count: number;
  readonly size_gb: number;
  readonly request_count: number;
  /** Seconds since its last request; null when there was none. */
  readonly last_active_secs_ago: number | null;
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
  /** Ends the node in an orderly way; resolves when the shutdown has begun. */
  shutdown(): Promise<void>;
}
