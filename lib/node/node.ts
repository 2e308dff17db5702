/**
 * The running node: what both doors see of it. Owns nothing but the joints; each part has its own
 * owner (`LocalModel`, `EngineDriver`, `RequestBook`, `EventHub`, `NodeMetrics`).
 */
import { getLogger } from "@logtape/logtape";
import type {
  InviteRequest,
  Joined,
  MadeInvite,
  ManagedNode,
  MemberInfo,
  ModelExplanation,
  NumberedEvent,
  Revoked,
  RevokeRequest,
  StatusSnapshot,
  SubscribeOptions,
} from "~/api/ports.ts";
import type { CancelTimer, Clock, Timers } from "~/base/clock.ts";
import { UserError } from "~/base/errors.ts";
import { type NodeId, shortId } from "~/mesh/ids.ts";
import type { MemberEvent } from "~/mesh/membership_ports.ts";
import type { RequestEvent } from "~/proxy/events.ts";
import { plainName } from "~/proxy/models.ts";
import type { RoutingTable, Upstream } from "~/proxy/ports.ts";
import type { Decision, HostElection } from "./election/host_election.ts";
import type { EngineDriver } from "./engine_driver.ts";
import { type EventHub, requestEvent } from "./events.ts";
import type { LocalModel } from "./local_model.ts";
import type { NodeMetrics } from "./metrics.ts";
import { MeshDesk, type MeshPort } from "./mesh/mesh_desk.ts";
import { MeshRouting } from "./mesh_routing.ts";
import { idOf, loadingOf, nodeStatusOf, type SlotState } from "./model_slot.ts";
import type { RequestBook } from "./request_book.ts";
import { LocalRouting } from "./routing.ts";
import { buildStatus } from "./status.ts";

const log = getLogger(["mesh-llm", "node"]);

/** Running requests get this long to end before a model or the node goes, in milliseconds. */
export const DRAIN_MS = 10_000;
/** Many peers come and go at once: pages are told of it together. */
const STATUS_GATHER_MS = 200;

/** What the node tells the election, and asks it. */
export type NodeElection = Pick<
  HostElection,
  | "look"
  | "askedHere"
  | "droppedHere"
  | "began"
  | "ended"
  | "standing"
  | "reasons"
  | "known"
  | "explain"
>;

/** What a node is put together from. */
export interface MeshNodeParts {
  readonly version: string;
  readonly nodeId: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly mesh: MeshPort;
  /** Names of models on this node's disk. */
  readonly diskModels: () => readonly string[];
  readonly election: NodeElection;
  readonly local: LocalModel;
  readonly driver: Pick<EngineDriver, "subscribe" | "endpoint" | "snapshot">;
  readonly book: RequestBook;
  readonly hub: EventHub;
  readonly metrics: NodeMetrics;
  /** Memory that this node offers for models, in bytes; 0 while unknown. */
  readonly offeredBytes: () => number;
  /** Makes the way to the engine at `endpoint`; called once per start of an engine. */
  readonly openUpstream: (endpoint: { readonly port: number; readonly apiKey: string }) => Upstream;
  /** Asked to end the program; must return at once. */
  readonly requestStop: () => void;
}

/** A node that serves one model of its own, and passes on what others serve. */
export class MeshNode implements ManagedNode {
  readonly routing: RoutingTable;
  /** What this node serves itself: all that other nodes get from it, so that no request goes in circles. */
  readonly localRouting: RoutingTable;
  readonly #mesh: MeshDesk;
  readonly #newsListeners = new Set<() => void>();
  #statusLater: CancelTimer | undefined;
  readonly #parts: MeshNodeParts;
  readonly #startedMs: number;
  #apiPort = 0;
  #upstream: { readonly pid: number | undefined; readonly upstream: Upstream } | undefined;
  #restarts = 0;
  #loadStartedMs: number | undefined;
  #told = "";

  constructor(parts: MeshNodeParts) {
    this.#parts = parts;
    this.#startedMs = parts.clock.nowMs();
    const local = this.localRouting = new LocalRouting({
      nodeId: parts.nodeId,
      slot: () => parts.local.state,
      upstream: () => this.#upstreamNow(),
    });
    this.routing = new MeshRouting({
      local,
      remotes: () => parts.mesh.life?.ways.remotes() ?? [],
      known: (name) => parts.election.known(name),
    });
    this.#mesh = new MeshDesk(parts.mesh, () => ({
      nodeId: parts.nodeId,
      version: parts.version,
      serving: local.served().map(({ id }) => id),
      models: parts.diskModels(),
    }));
    parts.local.subscribe((state) => this.#onSlot(state));
    parts.driver.subscribe(({ restarts }) => this.#onRestarts(restarts));
  }

  /** Tells the node which port its OpenAI door got. */
  openedAt(apiPort: number): void {
    this.#apiPort = apiPort;
  }

  /** Takes in what the OpenAI door tells. */
  observe(event: RequestEvent): void {
    const { book, clock, metrics, hub } = this.#parts;
    book.record(event);
    metrics.observe(event);
    this.#observeOwn(event);
    if (event.kind !== "finished") return;
    hub.publish(requestEvent(event, clock.wallMs()));
    log.debug("{endpoint} {outcome} with {status} in {durationMs} ms, request {requestId}", () => ({
      endpoint: event.endpoint,
      outcome: event.outcome,
      status: event.status,
      durationMs: Math.round(event.durationMs),
      requestId: event.requestId,
    }));
  }

  /** What this node's own engine does, for its own callers and for peers. */
  #observeOwn(event: RequestEvent): void {
    const { election, nodeId } = this.#parts;
    if (event.kind !== "sent" && event.kind !== "done") return;
    if (event.nodeId !== nodeId) return;
    if (event.kind === "sent") election.began();
    else election.ended(event.durationMs);
  }

  status(): StatusSnapshot {
    const { version, nodeId, clock, local, book, offeredBytes } = this.#parts;
    return buildStatus({
      version,
      nodeId,
      apiPort: this.#apiPort,
      slot: local.state,
      engine: local.engine,
      offeredBytes: offeredBytes(),
      inflightRequests: book.openCount,
      queuedRequests: book.waitingCount,
      upMs: clock.nowMs() - this.#startedMs,
      usage: (id) => book.usageOf(id),
      nowMs: clock.wallMs(),
      mesh: this.#mesh.facts(),
      standing: this.#parts.election.standing(),
      reasons: this.#parts.election.reasons(),
    });
  }

  /** Calls `listener` when other models may be answered than before, until the returned function is called. */
  onNews(listener: () => void): () => void {
    this.#newsListeners.add(listener);
    return () => this.#newsListeners.delete(listener);
  }

  /** Takes in what happened to another member. */
  onMember(event: MemberEvent, node: NodeId): void {
    // For the person at the terminal, who gave somebody a token or waits for a computer to come back.
    if (event === "joined") log.info("Node {node} is here", { node: shortId(node) });
    if (event === "left") log.info("Node {node} has left", { node: shortId(node) });
    if (event === "gone") log.info("Nothing is heard of node {node}", { node: shortId(node) });
    this.#parts.hub.publish({ kind: "peer", data: { id: node, event } });
    this.onMeshChanged();
  }

  /** This node takes a model on, drops it or stands by. */
  onDecision({ kind, model, reason }: Decision): void {
    const { hub, local } = this.#parts;
    const data = { name: model, state: local.state.kind, phase: null, percent: null };
    hub.publish({ kind: "model", data: { ...data, decision: kind, reason } });
    this.#tellStatusLater();
  }

  /** Peers, papers or addresses changed. */
  onMeshChanged(): void {
    this.#parts.election.look();
    this.#tellStatusLater();
    this.#tellNews();
  }

  lastEventId(): number {
    return this.#parts.hub.lastId;
  }

  subscribe(listener: (event: NumberedEvent) => void, options?: SubscribeOptions): () => void {
    return this.#parts.hub.subscribe(listener, options);
  }

  metrics(): Promise<{ readonly contentType: string; readonly text: string }> {
    return this.#parts.metrics.text();
  }

  async loadModel(name: string): Promise<{ readonly model: string }> {
    const { local, election } = this.#parts;
    const model = await local.load(name);
    election.askedHere(model, name);
    return { model };
  }

  async dropModel(name: string): Promise<void> {
    const { local, election } = this.#parts;
    const served = idOf(local.state);
    if (served === undefined || plainName(served) !== plainName(name)) {
      const instead = served === undefined ? "it serves no model" : `it serves "${served}"`;
      throw new UserError(`Cannot drop "${name}": this node does not serve it, ${instead}`);
    }
    election.droppedHere(served);
    await local.drop(DRAIN_MS);
  }

  join(token: string, { signal }: { readonly signal: AbortSignal }): Promise<Joined> {
    return this.#mesh.join(token, signal);
  }

  makeInvite(request: InviteRequest): Promise<MadeInvite> {
    return this.#mesh.makeInvite(request);
  }

  revoke(request: RevokeRequest): Promise<Revoked> {
    return this.#mesh.revoke(request);
  }

  members(): readonly MemberInfo[] {
    return this.#mesh.members();
  }

  explainModel(name: string): ModelExplanation {
    const { id, summary, members, advice } = this.#parts.election.explain(name);
    return {
      model: id,
      summary,
      members: members.map(({ node, isHost, words }) => ({ id: node, is_host: isHost, words })),
      advice: advice ?? null,
    };
  }

  shutdown(): Promise<void> {
    this.#parts.requestStop();
    return Promise.resolve();
  }

  #upstreamNow(): Upstream | undefined {
    const { driver, openUpstream } = this.#parts;
    const endpoint = driver.endpoint();
    if (endpoint === undefined) return undefined;
    const { pid } = driver.snapshot;
    if (this.#upstream === undefined || this.#upstream.pid !== pid) {
      this.#upstream = { pid, upstream: openUpstream(endpoint) };
    }
    return this.#upstream.upstream;
  }

  #onSlot(state: SlotState): void {
    const { clock, hub, metrics } = this.#parts;
    const status = nodeStatusOf(state);
    const model = idOf(state) ?? null;
    const loading = loadingOf(state);
    if (state.kind === "starting") this.#loadStartedMs ??= clock.nowMs();
    if (state.kind === "ready" && this.#loadStartedMs !== undefined) {
      metrics.modelLoaded(state.model.id, clock.nowMs() - this.#loadStartedMs);
    }
    if (state.kind !== "starting") this.#loadStartedMs = undefined;
    // Transfers report many times a second; pages need to hear of what they would show differently.
    const told = JSON.stringify([status, state.kind, model, loading]);
    if (told === this.#told) return;
    this.#told = told;
    const data = { name: model, state: state.kind, phase: loading?.phase ?? null };
    hub.publish({ kind: "model", data: { ...data, percent: loading?.percent ?? null } });
    hub.publish({ kind: "status", data: {} });
    this.#parts.mesh.changed();
    this.#tellNews();
  }

  #tellStatusLater(): void {
    this.#statusLater ??= this.#parts.timers.after(STATUS_GATHER_MS, () => {
      this.#statusLater = undefined;
      this.#parts.hub.publish({ kind: "status", data: {} });
    });
  }

  #tellNews(): void {
    for (const listener of this.#newsListeners) listener();
  }

  #onRestarts(restarts: number): void {
    const name = idOf(this.#parts.local.state);
    if (restarts > this.#restarts && name !== undefined) this.#parts.metrics.engineRestarted(name);
    this.#restarts = restarts;
  }
}

/** Logs why the model is served no more; its engine tells of restarts itself. */
export function logSlot(state: SlotState): void {
  if (state.kind === "failed") log.error("{reason}", { reason: state.reason });
}
