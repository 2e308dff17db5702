// deno-lint-ignore-file camelcase -- the status has the field names that scripts rely on
/** A running node for tests of the management door: in memory, and it does what it is told. */
import type {
  ManagedNode,
  NodeEvent,
  NumberedEvent,
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
  inflight_requests: 1,
  queued_requests: 0,
  uptime_secs: 3723,
  progress: null,
  error: null,
  peers: [],
  mesh_models: [{
    name: "SmolLM2-135M-Instruct",
    status: "warm",
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

/** Remembers what was asked of it; events and status are the test's to set. */
export class MemoryNode implements ManagedNode {
  snapshot: StatusSnapshot = snapshotOf();
  /** Thrown by the next writing calls, when set. */
  failure: Error | undefined;
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

  loadModel(name: string): Promise<{ model: string }> {
    return this.#did(`load ${name}`, { model: name });
  }

  dropModel(name: string): Promise<void> {
    return this.#did(`drop ${name}`, undefined);
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
