/** Where the OpenAI door can send requests: this node's own engine, and every node that it reaches. */
import type { LoadingRecord, ServedRecord } from "~/mesh/record.ts";
import type {
  KnownModel,
  LoadingModel,
  RoutingTable,
  ServedModel,
  Target,
  Upstream,
} from "~/proxy/ports.ts";

/** A node that can be asked over a link. */
export interface RemoteHost {
  readonly nodeId: string;
  readonly serving: readonly ServedRecord[];
  readonly loading: readonly LoadingRecord[];
  /** The same object for as long as the way to the node is the same: requests under way are counted by it. */
  readonly upstream: Upstream;
  /** Round trip of the way to it in milliseconds; undefined while unknown. */
  readonly rttMs: number | undefined;
  readonly isSuspect: boolean;
}

/** What the table is read from. */
export interface MeshRoutingOptions {
  /** What this node serves itself. */
  readonly local: RoutingTable;
  /** Who can be asked now, each node once; the same array while that does not change. */
  readonly remotes: () => readonly RemoteHost[];
  /** What a name means that nobody serves. */
  readonly known: (name: string) => KnownModel | undefined;
}

/** More slots than any engine has: a record cannot draw everything to its node. */
const SLOTS_MAX = 256;

/** The routing table of a node in a mesh. */
export class MeshRouting implements RoutingTable {
  readonly #options: MeshRoutingOptions;
  #told: {
    readonly own: readonly ServedModel[];
    readonly remotes: readonly RemoteHost[];
    readonly models: readonly ServedModel[];
  } | undefined;

  constructor(options: MeshRoutingOptions) {
    this.#options = options;
  }

  /** One entry for each name: this node's own, or else that of the lowest node id. */
  served(): readonly ServedModel[] {
    const own = this.#options.local.served();
    const remotes = this.#options.remotes();
    if (remotes.length === 0) return own;
    if (this.#told?.own === own && this.#told.remotes === remotes) return this.#told.models;
    const models = [...own, ...othersOf(own, remotes)];
    this.#told = { own, remotes, models };
    return models;
  }

  /** What somebody loads and nobody serves. */
  loading(): readonly LoadingModel[] {
    const served = new Set(this.served().map(({ id }) => id));
    const models = new Map<string, LoadingModel>();
    const add = (model: LoadingModel): void => {
      if (!served.has(model.id) && !models.has(model.id)) models.set(model.id, model);
    };
    for (const model of this.#options.local.loading()) add(model);
    for (const { loading } of byId(this.#options.remotes())) {
      for (const { id, phase } of loading) add({ id, phase });
    }
    return [...models.values()];
  }

  known(name: string): KnownModel | undefined {
    return this.#options.known(name);
  }

  /** This node first, then the nearest; suspects last. */
  targets(modelId: string): readonly Target[] {
    const own = this.#options.local.targets(modelId);
    const hosts = this.#options.remotes().filter(({ serving }) =>
      serving.some(({ id }) => id === modelId)
    );
    if (hosts.length === 0) return own;
    return [...own, ...hosts.sort(byNearness).map((host) => targetOf(host, modelId))];
  }
}

/** What only others serve, by name. */
function othersOf(
  own: readonly ServedModel[],
  remotes: readonly RemoteHost[],
): readonly ServedModel[] {
  const models = new Map<string, ServedModel>();
  const mine = new Set(own.map(({ id }) => id));
  for (const { serving } of byId(remotes)) {
    for (const record of serving) {
      if (!mine.has(record.id) && !models.has(record.id)) {
        models.set(record.id, servedModel(record));
      }
    }
  }
  return [...models.values()].sort((a, b) => compare(a.id, b.id));
}

function servedModel({ id, createdUnixS, meta, slots, sizeBytes }: ServedRecord): ServedModel {
  return { id, createdUnixS, meta: { ...meta, n_slots: slots, size: sizeBytes } };
}

function targetOf(host: RemoteHost, modelId: string): Target {
  const { nodeId, upstream, isSuspect, serving } = host;
  const served = serving.find(({ id }) => id === modelId);
  const contextTokens = served?.meta["n_ctx"];
  return {
    nodeId,
    upstream,
    slots: Math.min(Math.max(1, served?.slots ?? 1), SLOTS_MAX),
    isRemote: true,
    isSuspect,
    ...(host.rttMs === undefined ? {} : { rttMs: host.rttMs }),
    ...(served?.fingerprint === undefined ? {} : { fingerprint: served.fingerprint }),
    ...(typeof contextTokens === "number" ? { contextTokens } : {}),
  };
}

function byNearness(a: RemoteHost, b: RemoteHost): number {
  return Number(a.isSuspect) - Number(b.isSuspect) ||
    (a.rttMs ?? Number.MAX_VALUE) - (b.rttMs ?? Number.MAX_VALUE) ||
    compare(a.nodeId, b.nodeId);
}

function byId(remotes: readonly RemoteHost[]): readonly RemoteHost[] {
  return remotes.toSorted((a, b) => compare(a.nodeId, b.nodeId));
}

/** By code units, which is the same everywhere. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
