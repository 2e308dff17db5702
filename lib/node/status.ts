/** Builds the status from what the node knows. Pure: the same facts give the same words. */
import type { StatusEngine, StatusModel, StatusSnapshot } from "~/api/ports.ts";
import { percentOf } from "~/base/progress.ts";
import { GIB } from "~/base/units.ts";
import type { Standing } from "./election/host_election.ts";
import type { MeshFacts } from "./mesh/mesh_desk.ts";
import { idOf, loadingOf, nodeStatusOf, type SlotState } from "./model_slot.ts";
import type { PreparedEngine } from "./ports.ts";

/** Everything that the status tells about. */
export interface StatusFacts {
  readonly version: string;
  readonly nodeId: string;
  readonly apiPort: number;
  readonly slot: SlotState;
  readonly engine: PreparedEngine | undefined;
  /** Memory that this node offers for models, in bytes; 0 while unknown. */
  readonly offeredBytes: number;
  readonly inflightRequests: number;
  readonly queuedRequests: number;
  readonly upMs: number;
  /** Requests answered per model since the start, and when the last one came (Unix ms). */
  readonly usage: (modelId: string) => ModelUsage;
  readonly nowMs: number;
  readonly mesh: MeshFacts;
  /** Why it does what it does. */
  readonly standing: Standing;
  /** Why models have the hosts that they have, by name. */
  readonly reasons: ReadonlyMap<string, string>;
}

/** How much a model was used. */
export interface ModelUsage {
  readonly requests: number;
  /** Wall clock in milliseconds; undefined when it was never asked. */
  readonly lastMs?: number;
}

/** The status as scripts and the page read it. */
export function buildStatus(facts: StatusFacts): StatusSnapshot {
  const { slot, mesh, standing } = facts;
  const loading = loadingOf(slot);
  return {
    version: facts.version,
    node_id: facts.nodeId,
    node_status: statusOf(facts),
    reason: standing.reason,
    is_host: slot.kind === "ready" || slot.kind === "draining",
    is_client: mesh.isClient,
    llama_ready: slot.kind === "ready",
    model_name: idOf(slot) ?? null,
    api_port: facts.apiPort,
    my_vram_gb: toGb(facts.offeredBytes),
    model_size_gb: "model" in slot ? toGb(slot.model.sizeBytes) : 0,
    mesh_id: mesh.meshId,
    mesh_name: null,
    token: mesh.token,
    invite_serial: mesh.inviteSerial,
    peer_port: mesh.peerPort,
    clients: mesh.clients,
    inflight_requests: facts.inflightRequests,
    queued_requests: facts.queuedRequests,
    uptime_secs: Math.floor(facts.upMs / 1000),
    progress: loading === undefined
      ? null
      : { phase: loading.phase, percent: loading.percent ?? null },
    error: slot.kind === "failed" ? slot.reason : null,
    peers: mesh.peers,
    mesh_models: modelsOf(facts),
    engine: engineOf(facts.engine),
  };
}

function statusOf({ slot, mesh, standing }: StatusFacts): StatusSnapshot["node_status"] {
  if (slot.kind !== "empty") return nodeStatusOf(slot);
  if (mesh.isClient) return "client";
  // Alone there is nobody to stand by for.
  return standing.isStandby && mesh.peers.length > 0 ? "standby" : "idle";
}

/** This node's own model first, then those of others by name. */
function modelsOf(facts: StatusFacts): readonly StatusModel[] {
  const { slot, mesh } = facts;
  const name = slot.kind === "failed" ? undefined : idOf(slot);
  const others = [...mesh.elsewhere.keys()].filter((id) => id !== name).sort();
  const names = name === undefined ? others : [name, ...others];
  return names.map((id) => modelOf(id, facts, id === name));
}

function modelOf(name: string, facts: StatusFacts, isOwn: boolean): StatusModel {
  const { slot, mesh } = facts;
  const usage = facts.usage(name);
  const elsewhere = mesh.elsewhere.get(name);
  const hosts = (elsewhere?.hosts ?? 0) + (isOwn && slot.kind === "ready" ? 1 : 0);
  return {
    name,
    status: hosts > 0 ? "warm" : "loading",
    why: facts.reasons.get(name) ?? null,
    node_count: hosts,
    size_gb: isOwn ? ownGb(slot) : toGb(elsewhere?.sizeBytes ?? 0),
    request_count: usage.requests,
    last_active_secs_ago: usage.lastMs === undefined
      ? null
      : Math.max(0, Math.floor((facts.nowMs - usage.lastMs) / 1000)),
  };
}

function ownGb(slot: SlotState): number {
  return "model" in slot ? toGb(slot.model.sizeBytes) : expectedGb(slot);
}

/** What a running download says about the size, before the file is here. */
function expectedGb(slot: SlotState): number {
  if (slot.kind !== "preparing") return 0;
  const sizes = [...slot.transfers.values()]
    .filter((transfer) => transfer.what.startsWith("model") && percentOf(transfer) !== undefined)
    .map((transfer) => transfer.totalBytes ?? 0);
  return toGb(Math.max(0, ...sizes));
}

function engineOf(engine: PreparedEngine | undefined): StatusEngine {
  if (engine === undefined) {
    return { name: null, version: null, build: null, rpc_version: null, devices: [] };
  }
  const { install, facts } = engine;
  return {
    name: install.source,
    version: facts.version ?? null,
    build: facts.build ?? null,
    rpc_version: facts.rpcVersion ?? null,
    devices: facts.devices.map((device) => ({
      name: device.name,
      description: device.description,
      total_bytes: device.totalBytes,
      free_bytes: device.freeBytes,
    })),
  };
}

/** GB as people mean them (1024³ bytes), with two decimals. */
function toGb(sizeBytes: number): number {
  return Math.round((sizeBytes / GIB) * 100) / 100;
}
