// deno-lint-ignore-file camelcase -- the status has the field names that scripts rely on
/** A running node for tests of the management door: in memory, and it does what it is told. */
import type {
  InviteRequest,
  Joined,
  MadeInvite,
  ManagedNode,
  MemberInfo,
  ModelExplanation,
  NodeEvent,
  NumberedEvent,
  Revoked,
  RevokeRequest,
  StatusPeer,
  StatusSnapshot,
  SubscribeOptions,
} from "~/api/ports.ts";
import type { DoorEnv } from "~/base/http_door.ts";

/** A management token for tests; long enough to be taken for one. */
export const TEST_TOKEN = "test-management-token-0123456789abcdef";

const SNAPSHOT: StatusSnapshot = {
  version: "0.1.0",
  node_id: "1f9ae0c2d4b35768",
  node_status: "serving",
  is_host: true,
  is_client: false,
  llama_ready: true,
  model_name: "SmolLM2-135M-Instruct",
  api_port: 9337,
  my_vram_gb: 12.4,
  model_size_gb: 0.09,
  mesh_id: null,
  mesh_name: null,
  token: "secret-invite-token",
  invite_serial: null,
  peer_port: null,
  clients: 0,
  inflight_requests: 1,
  queued_requests: 0,
  uptime_secs: 3723,
  progress: null,
  error: null,
  reason: "host of SmolLM2-135M-Instruct: asked for here",
  peers: [],
  mesh_models: [{
    name: "SmolLM2-135M-Instruct",
    status: "warm",
    why: "1f9ae0c2: asked for there",
    node_count: 1,
    size_gb: 0.09,
    request_count: 42,
    last_active_secs_ago: 3,
  }],
  engine: {
    name: "Debian packages",
    version: "0.7.0",
    build: 11669,
    rpc_version: "8.0.0",
    devices: [{
      name: "CPU",
      description: "AMD EPYC 7763",
      total_bytes: 16 * 2 ** 30,
      free_bytes: 11 * 2 ** 30,
    }],
  },
};

/** A status that serves; members can be replaced. */
export function snapshotOf(changes: Partial<StatusSnapshot> = {}): StatusSnapshot {
  return { ...SNAPSHOT, ...changes };
}

/** Id of a mesh, of the node in {@link snapshotOf} and of two others: 43 characters each. */
export const MESH_ID = "mesh".padEnd(42, "0") + "A";
export const SELF_ID = "selfself".padEnd(42, "1") + "A";
export const PEER_ID = "peerpeer".padEnd(42, "2") + "A";
export const RELAY_ID = "relayrelay".padEnd(42, "3") + "A";
/** A serial as issuers make them. */
export const TEST_SERIAL = "mesh000000000000.0123456789a";

/** A member linked with the node; members can be replaced. */
export function peerOf(changes: Partial<StatusPeer> = {}): StatusPeer {
  return {
    id: PEER_ID,
    role: "member",
    rights: ["request", "serve", "split", "invite"],
    state: "live",
    models: ["Qwen3-4B"],
    vram_gb: 24,
    serving: "Qwen3-4B",
    loading: null,
    rtt_ms: 1.26,
    version: "0.1.0",
    reached: "direct",
    via: null,
    address: "192.0.2.7:4433",
    dialable: "yes",
    ...changes,
  };
}

/** A member linked with the node, as `members` tells it. */
export function memberOf(changes: Partial<MemberInfo> = {}): MemberInfo {
  return {
    id: PEER_ID,
    role: "member",
    rights: ["request", "serve", "split", "invite"],
    state: "live",
    is_self: false,
    reached: "direct",
    via: null,
    address: "192.0.2.7:4433",
    rtt_ms: 1.26,
    version: "0.1.0",
    serving: ["Qwen3-4B"],
    models: ["Qwen3-4B"],
    certificate_expires_unix_s: 1_800_000_000,
    issuer: MESH_ID,
    invite_serial: TEST_SERIAL,
    clients: null,
    ...changes,
  };
}

/** The node itself, as `members` tells it. */
export function selfOf(changes: Partial<MemberInfo> = {}): MemberInfo {
  return memberOf({
    id: SELF_ID,
    is_self: true,
    reached: "self",
    address: null,
    rtt_ms: null,
    invite_serial: null,
    clients: 0,
    ...changes,
  });
}

/** Remembers what was asked of it; events and status are the test's to set. */
export class MemoryNode implements ManagedNode {
  snapshot: StatusSnapshot = snapshotOf();
  /** Thrown by the next writing calls, when set. */
  failure: Error | undefined;
  memberList: readonly MemberInfo[] = [];
  /** Set: `join` resolves only when this does, or when its signal is aborted. */
  joinGate: Promise<void> | undefined;
  /** Writing calls, in order. */
  readonly calls: string[] = [];
  readonly #events: NumberedEvent[] = [];
  readonly #listeners = new Set<(event: NumberedEvent) => void>();
  readonly #firstId: number;

  constructor(options: { readonly firstId?: number } = {}) {
    this.#firstId = options.firstId ?? 1;
  }

  get listenerCount(): number {
    return this.#listeners.size;
  }

  /** Makes something happen. */
  publish(event: NodeEvent): void {
    const numbered = { id: this.lastEventId() + 1, ...event };
    this.#events.push(numbered);
    for (const listener of this.#listeners) listener(numbered);
  }

  /** Changes the status and says so. */
  change(changes: Partial<StatusSnapshot>): void {
    this.snapshot = { ...this.snapshot, ...changes };
    this.publish({ kind: "status", data: {} });
  }

  status(): StatusSnapshot {
    return this.snapshot;
  }

  lastEventId(): number {
    return this.#firstId - 1 + this.#events.length;
  }

  subscribe(listener: (event: NumberedEvent) => void, options: SubscribeOptions = {}): () => void {
    const { afterId = Infinity } = options;
    for (const event of this.#events.filter(({ id }) => id > afterId)) listener(event);
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  metrics(): Promise<{ contentType: string; text: string }> {
    return Promise.resolve({ contentType: "text/plain; version=0.0.4", text: "mesh_llm_up 1\n" });
  }

  explainModel(name: string): ModelExplanation {
    const words = "asked for there";
    return {
      model: name,
      summary: `host of "${name}" is ${SELF_ID.slice(0, 8)}: ${words}`,
      members: [{ id: SELF_ID, is_host: true, words }],
      advice: null,
    };
  }

  loadModel(name: string): Promise<{ model: string }> {
    return this.#did(`load ${name}`, { model: name });
  }

  dropModel(name: string): Promise<void> {
    return this.#did(`drop ${name}`, undefined);
  }

  async join(token: string, { signal }: { readonly signal: AbortSignal }): Promise<Joined> {
    this.calls.push(`join ${token}`);
    if (this.failure !== undefined) throw this.failure;
    if (this.joinGate !== undefined) {
      const { promise, reject } = Promise.withResolvers<never>();
      signal.addEventListener("abort", () => reject(signal.reason));
      await Promise.race([this.joinGate, promise]).finally(() => this.calls.push("join is over"));
    }
    return { mesh_id: MESH_ID, peers: 2 };
  }

  makeInvite({ role, expiresInS }: InviteRequest): Promise<MadeInvite> {
    const made = { token: "a.new.token", serial: TEST_SERIAL, expires_unix_s: 1_800_000_000, role };
    return this.#did(`invite ${role} for ${expiresInS} s`, made);
  }

  revoke(request: RevokeRequest): Promise<Revoked> {
    const revoked = "node" in request ? request.node : request.serial;
    const kept = request.keep ? ", keep" : "";
    return this.#did(`revoke ${revoked}${kept}`, {
      revoked,
      closed_links: 1,
      closed_invites: [TEST_SERIAL],
      ended_nodes: [PEER_ID, RELAY_ID],
    });
  }

  members(): readonly MemberInfo[] {
    return this.memberList;
  }

  shutdown(): Promise<void> {
    return this.#did("shutdown", undefined);
  }

  #did<T>(call: string, value: T): Promise<T> {
    this.calls.push(call);
    return this.failure === undefined ? Promise.resolve(value) : Promise.reject(this.failure);
  }
}

/** What the server tells an app about a request, with a body in memory. */
export function memoryDoor(options: {
  /** The parts in which the body arrives; "hang" never ends, "fail" breaks off. */
  readonly parts?: readonly (Uint8Array | string | "hang" | "fail")[];
  readonly declaredBytes?: number;
  readonly clientGone?: AbortSignal;
} = {}): DoorEnv {
  const { parts = [], declaredBytes, clientGone = new AbortController().signal } = options;
  return {
    clientGone,
    body: {
      declaredBytes,
      read(sink) {
        for (const part of parts) {
          if (part === "hang") return () => {};
          if (part === "fail") {
            sink.fail(new Error("The client closed the connection"));
            return () => {};
          }
          sink.chunk(typeof part === "string" ? new TextEncoder().encode(part) : part);
        }
        sink.end();
        return () => {};
      },
    },
  };
}
