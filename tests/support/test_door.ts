/** The OpenAI door with memory twins around it, for tests without sockets. */
import { KeyRing } from "~/base/http_guard.ts";
import { createOpenAiApp, type OpenAiAppOptions, type ProxyLimits } from "~/proxy/app.ts";
import type { FinishedRequest, RequestEvent } from "~/proxy/events.ts";
import type { LoadingModel, RoutingTable, ServedModel, Target, Upstream } from "~/proxy/ports.ts";
import { MemoryUpstream } from "./memory_upstream.ts";
import { VirtualTime } from "./virtual_time.ts";

/** A routing table that tests fill by hand. */
export class TestTable implements RoutingTable {
  servedModels: ServedModel[] = [];
  loadingModels: LoadingModel[] = [];
  readonly targetsOf = new Map<string, Target[]>();

  /** Adds a served model with one target. */
  serve(id: string, upstream: Upstream, options: { slots?: number; nodeId?: string } = {}): void {
    const { slots = 4, nodeId = "node-a" } = options;
    this.servedModels.push({ id, createdUnixS: 1_700_000_000, meta: { n_ctx: 4096 } });
    this.targetsOf.set(id, [{ nodeId, upstream, slots }]);
  }

  /** Adds another target to a served model. */
  alsoServe(id: string, target: Target): void {
    this.targetsOf.get(id)?.push(target);
  }

  served(): readonly ServedModel[] {
    return this.servedModels;
  }

  loading(): readonly LoadingModel[] {
    return this.loadingModels;
  }

  targets(modelId: string): readonly Target[] {
    return this.targetsOf.get(modelId) ?? [];
  }
}

/** What a test may set. */
export interface TestDoorOptions {
  readonly keys?: readonly string[];
  readonly hosts?: "loopback" | "any";
  readonly limits?: Partial<ProxyLimits>;
  /** Serve no model at all to begin with. */
  readonly isEmpty?: boolean;
  readonly slots?: number;
  readonly continuesAnswers?: boolean;
}

/** A door, what is behind it, and what it told. */
export class TestDoor {
  readonly time = new VirtualTime();
  readonly table = new TestTable();
  /** What peers may ask for. */
  readonly localTable = new TestTable();
  readonly engine = new MemoryUpstream();
  readonly events: RequestEvent[] = [];
  /** Models that callers of this door asked for. */
  readonly demanded: string[] = [];
  readonly app: ReturnType<typeof createOpenAiApp>;

  constructor(options: TestDoorOptions = {}) {
    if (options.isEmpty !== true) {
      const { slots } = options;
      this.table.serve("tiny", this.engine, slots === undefined ? {} : { slots });
    }
    this.app = createOpenAiApp(appOptions(this, options));
  }

  /** Asks as a program on this machine does. */
  async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers);
    if (!headers.has("host")) headers.set("host", "localhost:9337");
    return await this.app.request(path, { ...init, headers });
  }

  /** Posts a JSON text, or a value to make one of. */
  post(path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
    const text = typeof body === "string" ? body : JSON.stringify(body);
    return this.fetch(path, { method: "POST", body: text, ...init });
  }

  /** The requests that ended, oldest first. */
  get finished(): FinishedRequest[] {
    return this.events.filter((event) => event.kind === "finished");
  }
}

function appOptions(door: TestDoor, options: TestDoorOptions): OpenAiAppOptions {
  let lastId = 0;
  return {
    nodeId: "node-here",
    table: door.table,
    localTable: door.localTable,
    policy: { hosts: options.hosts ?? "loopback" },
    keys: options.keys === undefined ? undefined : new KeyRing(options.keys),
    clock: door.time,
    timers: door.time,
    rng: { next: () => 0 },
    demanded: (id) => door.demanded.push(id),
    ...(options.continuesAnswers === undefined
      ? {}
      : { continuesAnswers: options.continuesAnswers }),
    newRequestId: () => `made-${++lastId}`,
    observe: (event) => door.events.push(event),
    metrics: () => Promise.resolve({ contentType: "text/plain; version=0.0.4", text: "a 1\n" }),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  };
}

/** The `error` of an error answer. */
export async function errorOf(
  response: Response,
): Promise<
  { message: string; type: string; param: unknown; code: unknown } & Record<string, unknown>
> {
  const body = await response.json();
  return body.error;
}
