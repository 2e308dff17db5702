/** The composition root: makes a node of its parts, and gives each its port to the world. */
import { join } from "node:path";
import { getLogger } from "@logtape/logtape";
import { createManagementApp } from "~/api/app.ts";
import { PAGE } from "~/api/io/page.ts";
import { ensureManagementToken, MANAGEMENT_TOKEN_FILE } from "~/api/io/token_file.ts";
import { KeyRing } from "~/base/http_guard.ts";
import { type HttpServer, serveHttp } from "~/base/io/http_server.ts";
import { systemClock, systemRng, systemSecrets, systemTimers } from "~/base/io/system.ts";
import type { ReportProgress, ReportSourceFailure } from "~/base/progress.ts";
import { COMMIT, VERSION } from "~/base/version.ts";
import { engineProcesses } from "~/engine/io/child_process.ts";
import { freePorts } from "~/engine/io/free_port.ts";
import { httpHealthProbe } from "~/engine/io/health.ts";
import type { RunDir } from "~/engine/io/run_dir.ts";
import type { PlanRequest } from "~/engine/memory_plan.ts";
import { CATALOGUE } from "~/models/catalogue.ts";
import { shortId } from "~/mesh/ids.ts";
import { DiskModels } from "~/node/disk_models.ts";
import { type Decision, HostElection } from "~/node/election/host_election.ts";
import { EngineDriver } from "~/node/engine_driver.ts";
import { EventHub } from "~/node/events.ts";
import { Inflight } from "~/node/inflight.ts";
import { localEngineSource } from "~/node/io/engine_source.ts";
import { LocalPlanner } from "~/node/io/launch_planner.ts";
import { LocalModelSource } from "~/node/io/model_source.ts";
import { LocalModel } from "~/node/local_model.ts";
import type { MeshEvents, MeshRuntime } from "~/node/mesh/mesh_runtime.ts";
import { NodeMetrics } from "~/node/metrics.ts";
import { MeshNode } from "~/node/node.ts";
import { RequestBook } from "~/node/request_book.ts";
import type { NodeSettings } from "~/node/settings.ts";
import { createOpenAiApp } from "~/proxy/app.ts";
import { HttpUpstream } from "~/proxy/io/http_upstream.ts";
import { PeerDoor } from "~/proxy/peer_door.ts";
import { type ComposedMesh, composeMesh } from "./compose_mesh.ts";
import type { Env } from "./settings.ts";

const log = getLogger(["mesh-llm", "cli"]);

/** What the program gives to a node that it starts. */
export interface ComposeOptions {
  readonly settings: NodeSettings;
  readonly runDir: RunDir;
  readonly env: Env;
  readonly report: ReportProgress;
  readonly onSourceFailure: ReportSourceFailure;
  /** Called when somebody asks the node to end. */
  readonly requestStop: () => void;
  readonly onMesh: MeshNews;
}

/** What the program tells the person of the mesh. */
export type MeshNews = Pick<MeshEvents, "invite" | "joined" | "clash">;

/** A node with its owner. */
export interface ComposedNode {
  readonly node: MeshNode;
  readonly local: LocalModel;
  readonly settings: NodeSettings;
  readonly mesh: MeshRuntime;
  readonly disk: DiskModels;
  readonly election: HostElection;
  readonly openai: OpenAiApp;
  readonly peers: PeerDoor;
}

type OpenAiApp = ReturnType<typeof createOpenAiApp>;

/** Puts a node together; no door is bound, nothing fetched or started yet. */
export async function composeNode(options: ComposeOptions): Promise<ComposedNode> {
  const { settings } = options;
  const parts = composeLocal(options);
  const { local, planner } = parts;
  // Made in a circle: the mesh tells the node, and the node tells the mesh.
  const made: { node?: MeshNode; peers?: PeerDoor; election?: HostElection } = {};
  const disk = new DiskModels(() => parts.models.described(), () => {
    mesh.runtime.changed();
    made.election?.look();
  });
  const mesh = await composeMesh(settings, {
    facts: () => ({
      engine: local.engine,
      offeredBytes: planner.offeredBytes,
      models: disk.names,
      slot: local.state,
      election: made.election?.record(),
    }),
    events: {
      ...options.onMesh,
      member: (event, id) => made.node?.onMember(event, id),
      demand: (client, asked) => made.election?.clientAsked(client, asked),
      changed: () => made.node?.onMeshChanged(),
      stream: (link, stream) => {
        const { nodeId, certificate } = link.peer;
        if (made.peers === undefined) return stream.cancel();
        void made.peers.serve(stream, { nodeId, rights: certificate.paper.rights });
      },
    },
  });
  const election = made.election = composeElection(settings, {
    ...parts,
    mesh,
    disk,
    decided: (decision) => made.node?.onDecision(decision),
  });
  const node = made.node = composeMeshNode(options, { ...parts, mesh, disk, election });
  const openai = openAiApp(node, settings, (id) => election.demanded(id));
  const peers = made.peers = composePeerDoor(mesh, openai, local);
  if (!settings.isClient) disk.watch(systemTimers);
  local.subscribe(({ kind }) => void (kind === "ready" && disk.refresh()));
  return { node, local, settings, mesh: mesh.runtime, disk, election, openai, peers };
}

interface LocalParts {
  readonly local: LocalModel;
  readonly driver: EngineDriver;
  readonly planner: LocalPlanner;
  readonly models: LocalModelSource;
  readonly inflight: Inflight;
}

/** What serves a model here. */
function composeLocal(options: ComposeOptions): LocalParts {
  const { settings } = options;
  const inflight = new Inflight(systemTimers);
  const driver = composeDriver(options);
  const planner = new LocalPlanner({
    requested: planRequestOf(settings),
    ...(settings.device === undefined ? {} : { device: settings.device }),
  });
  const models = localModels(settings, options.env);
  const local = new LocalModel({
    clock: systemClock,
    engines: localEngineSource(settings),
    models,
    planner,
    driver,
    inflight,
    report: options.report,
    onSourceFailure: options.onSourceFailure,
  });
  return { local, driver, planner, models, inflight };
}

interface MeshParts extends LocalParts {
  readonly mesh: ComposedMesh;
  readonly disk: DiskModels;
}

/** What decides what this node serves. */
function composeElection(
  settings: NodeSettings,
  { local, planner, mesh: { nodeId, runtime }, disk, decided }: MeshParts & {
    readonly decided: (decision: Decision) => void;
  },
): HostElection {
  return new HostElection({
    nodeId,
    clock: systemClock,
    timers: systemTimers,
    rng: systemRng,
    local,
    others: () => runtime.life?.session.members() ?? [],
    mayServe: () => !settings.isClient && runtime.life?.role !== "client",
    hasRecord: () => !settings.isClient && runtime.life?.role !== "client",
    isHeard: () => runtime.life?.clientVoice.isHeard ?? false,
    askMembers: (id) => runtime.life?.clientVoice.ask(id),
    disk: () => disk.models,
    // Of the others the size is known only to whoever asks for the download.
    catalogue: CATALOGUE.flatMap(({ name, pinned }) =>
      pinned === undefined ? [] : [{ id: name, sizeBytes: pinned.sizeBytes }]
    ),
    requested: planRequestOf(settings),
    wants: settings.wants,
    measure: (engine) => planner.memory(engine),
    changed: () => runtime.changed(),
    speak: () => runtime.speak(),
    decided,
  });
}

function composeMeshNode(
  { requestStop }: ComposeOptions,
  parts: MeshParts & { readonly election: HostElection },
): MeshNode {
  const { local, driver, planner, inflight, mesh, disk, election } = parts;
  const book = new RequestBook({ inflight, wallMs: () => systemClock.wallMs() });
  const startedMs = systemClock.nowMs();
  const metrics = new NodeMetrics({
    version: VERSION,
    commit: COMMIT ?? "unknown",
    sources: {
      residentBytes: () => Deno.memoryUsage().rss,
      upMs: () => systemClock.nowMs() - startedMs,
      queuedRequests: () => book.waitingCount,
      isReady: () => local.state.kind === "ready",
    },
  });
  return new MeshNode({
    version: VERSION,
    nodeId: mesh.nodeId,
    clock: systemClock,
    timers: systemTimers,
    mesh: mesh.runtime,
    diskModels: () => disk.names,
    local,
    election,
    driver,
    book,
    hub: new EventHub({ firstId: systemClock.wallMs() }),
    metrics,
    offeredBytes: () => planner.offeredBytes,
    openUpstream: (endpoint) => new HttpUpstream(endpoint),
    requestStop,
  });
}

/** The door for requests that come over links. */
function composePeerDoor(
  { nodeId, runtime }: ComposedMesh,
  openai: OpenAiApp,
  local: LocalModel,
): PeerDoor {
  return new PeerDoor({
    nodeId,
    fetch: (request, env) => openai.fetch(request, env),
    wayTo: (peer) => runtime.life?.ways.wayTo(peer),
    misused: (peer, what) => {
      log.warn("Node {peer} broke the protocol, its link is closed: {what}", {
        peer: shortId(peer),
        what,
      });
      runtime.life?.session.table.drop(peer, "protocol");
    },
    isDraining: () => local.state.kind === "draining",
    timers: systemTimers,
  });
}

function composeDriver({ settings: { homeDir }, runDir }: ComposeOptions): EngineDriver {
  return new EngineDriver({
    clock: systemClock,
    timers: systemTimers,
    rng: systemRng,
    secrets: systemSecrets,
    processes: engineProcesses({ runDir, logPath: join(homeDir, "logs", "llama-server.log") }),
    probe: httpHealthProbe(),
    ports: freePorts,
    parentEnv: Deno.env.toObject(),
    cacheDir: join(homeDir, "cache"),
  });
}

/** What the user asked of the memory plan. */
export function planRequestOf(
  settings: Pick<NodeSettings, "ctxSize" | "parallel" | "maxMemoryBytes">,
): PlanRequest {
  const { ctxSize, parallel, maxMemoryBytes } = settings;
  return {
    ...(ctxSize === undefined ? {} : { ctxSize }),
    ...(parallel === undefined ? {} : { parallel }),
    ...(maxMemoryBytes === undefined ? {} : { maxBytes: maxMemoryBytes }),
  };
}

/** The models of this machine. */
export function localModels(
  settings: Pick<NodeSettings, "modelsDir" | "ctxSize" | "parallel" | "maxMemoryBytes">,
  env: Env,
): LocalModelSource {
  return new LocalModelSource({
    modelsDir: settings.modelsDir,
    env,
    requested: planRequestOf(settings),
  });
}

/**
 * How long answers of the management door may take to leave when it closes: the one to the call that asked
 * for the end is among them, and its caller would take a cut for a refusal.
 */
const CONSOLE_GRACE_MS = 1_000;

/** Both doors, bound. */
export interface OpenDoors {
  readonly api: HttpServer;
  readonly console: HttpServer;
  /** Ends both: running requests get `graceMs` milliseconds, event streams end at once. */
  close(graceMs: number): Promise<void>;
}

/**
 * Binds both doors.
 *
 * @throws {UserError} when a port is taken
 */
export async function openDoors({ node, settings, openai }: ComposedNode): Promise<OpenDoors> {
  const closing = new AbortController();
  const listen = settings.listenAll ? "all" : "loopback";
  const management = await managementApp(node, { settings, closing: closing.signal });
  const api = await serveHttp({
    listen,
    port: settings.apiPort,
    purpose: "OpenAI API",
    portFlag: "--port",
    fetch: (request, env) => openai.fetch(request, env),
  });
  const console = await serveHttp({
    listen,
    port: settings.consolePort,
    purpose: "management API",
    portFlag: "--console",
    fetch: (request, env) => management.fetch(request, env),
  }).catch(async (error) => {
    await api.close({ graceMs: 0 });
    throw error;
  });
  node.openedAt(api.port);
  return {
    api,
    console,
    async close(graceMs) {
      closing.abort();
      const consoleMs = Math.min(graceMs, CONSOLE_GRACE_MS);
      await Promise.all([api.close({ graceMs }), console.close({ graceMs: consoleMs })]);
    },
  };
}

function openAiApp(
  node: MeshNode,
  settings: NodeSettings,
  demanded: (modelId: string) => void,
): OpenAiApp {
  return createOpenAiApp({
    nodeId: node.status().node_id,
    table: node.routing,
    localTable: node.localRouting,
    policy: { hosts: settings.listenAll ? "any" : "loopback" },
    keys: settings.apiKeys.length === 0 ? undefined : new KeyRing(settings.apiKeys),
    clock: systemClock,
    timers: systemTimers,
    rng: systemRng,
    demanded,
    continuesAnswers: settings.continuesAnswers,
    newRequestId: () => `req-${crypto.randomUUID()}`,
    observe: (event) => node.observe(event),
    metrics: () => node.metrics(),
  });
}

async function managementApp(
  node: MeshNode,
  { settings, closing }: { readonly settings: NodeSettings; readonly closing: AbortSignal },
): Promise<ReturnType<typeof createManagementApp>> {
  return createManagementApp({
    node,
    page: PAGE,
    managementToken: await ensureManagementToken(
      join(settings.homeDir, MANAGEMENT_TOKEN_FILE),
      systemSecrets,
    ),
    apiKeys: settings.apiKeys,
    policy: { hosts: settings.listenAll ? "any" : "loopback" },
    timers: systemTimers,
    closing,
  });
}
